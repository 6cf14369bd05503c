"""Workloads that join by themselves."""
