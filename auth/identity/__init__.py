"""The workload's side of identity: make a key, have it certified, renew in time, and never be without."""
