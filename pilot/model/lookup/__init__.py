"""The translator's questions to a mesh model, each one a pure function."""
