"""Example meshes: the shop and the stand-ins for the bookinfo services."""
