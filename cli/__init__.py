"""The `meshloom` command."""
