"""The proxy's reports to Mixer."""
