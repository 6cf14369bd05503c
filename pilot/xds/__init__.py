"""Serving: subscriptions, ACK and NACK, ordered pushes, over gRPC. Knows nothing of what resources mean."""
