"""What Pilot offers over gRPC beside xDS: the rule API and the workload registry."""
