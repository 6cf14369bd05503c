"""Translation: a MeshModel and a Proxy in, Envoy v3 resources out. Pure: no I/O, no clock, no randomness."""
