"""A mesh's CA in memory, and each workload's own SDS socket, as its supervisor would hold it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meshloom.auth.ca.authority import Authority, make_root
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.identity.svid import Svid, make_request
from meshloom.auth.identity.workload import WorkloadIdentity
from meshloom.auth.sds.service import SecretServer
from meshloom.auth.spiffe import Identity


def make_authority() -> Authority:
    key = KeyType.P256.generate()
    root = make_root(key, "test", datetime.now(UTC))
    return Authority.build(root, key, (), (root,))


def issue(authority: Authority, identity: Identity) -> Svid:
    now = datetime.now(UTC)
    key, _csr = make_request(identity, KeyType.P256)
    leaf = authority.issue(identity, key.public_key(), timedelta(hours=1), now)
    return Svid.accept(key, authority.chain_pem(leaf), identity, now)


@asynccontextmanager
async def sds_socket(authority: Authority, identity: Identity) -> AsyncIterator[Path]:
    """A path short enough for a socket, which pytest's own are not."""
    workload = WorkloadIdentity(identity)
    workload.replace(issue(authority, identity))
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        server = SecretServer(workload, Path(folder, "sds.sock"))
        await server.start()
        try:
            yield server.path
        finally:
            await server.stop()
