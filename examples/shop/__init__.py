"""A web shop of four small services, for `meshloom demo` and for trying things out."""
