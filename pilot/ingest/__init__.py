"""YAML in, typed objects and diagnostics out."""
