"""The certificate authority: its key and chain, what it signs, for whom, and the gRPC call that asks for
it."""
