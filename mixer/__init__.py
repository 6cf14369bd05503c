"""Telemetry out of the proxies, for people and for back ends."""
