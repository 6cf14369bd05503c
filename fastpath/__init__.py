"""The compiled core: the Rust extension `_core` and the Cython readers of shared memory."""
