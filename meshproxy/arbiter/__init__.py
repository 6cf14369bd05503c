"""The supervisor: sockets, shared memory, fork, watch, replace, upgrade. It never serves nor threads."""
