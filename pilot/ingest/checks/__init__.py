"""What a schema cannot say: rules between fields, one function per kind, with Istio's wording.

Each takes a typed spec and yields every fault it finds; paths are relative to the spec.
"""
