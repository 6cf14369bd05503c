"""Serving: subscriptions, ACK and NACK, ordered pushes, over gRPC. What a resource means is not known here."""
