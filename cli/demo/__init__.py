"""`meshloom demo`: a story in six steps on the shop, every number of it measured in that run."""
