"""A mesh of local processes: who starts what, what belongs together, and that nothing outlives its owner."""
