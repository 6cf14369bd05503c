"""Typed objects of the mesh, the mesh model built from them, and lookups over it. Pure: no I/O, no clock."""
