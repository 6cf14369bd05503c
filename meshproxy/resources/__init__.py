"""xDS resources as the agent sees them: bytes with a name, a version, and what they refer to."""
