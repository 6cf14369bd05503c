"""Auth: who a workload is. The CA that signs identities, the client that obtains them, and SDS that serves
them."""
