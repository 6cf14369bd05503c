"""The `meshloom` command: runs a mesh on one machine, and talks to one that runs anywhere."""
