"""Discovery and rules: YAML and registries in, xDS out."""
