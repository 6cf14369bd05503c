//! Shared-memory regions; the one crate that may say `unsafe` beside the Python binding.
