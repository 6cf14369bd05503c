"""Sessions are resumed where they may be, by any worker, and never past a change of whom we trust."""

from __future__ import annotations

import base64
import datetime
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.differential.tls.listeners import Asked, ask, client, downstream, listener, text
from tests.support.bootstrap import Json, static
from tests.support.certificates import Authority, Identity, dns, uri
from tests.support.proxies import Proxy, running

CLIENT = "spiffe://mesh.test/ns/shop/sa/orders"
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@contextmanager
def serving(folder: Path, socket: Json, *flags: str) -> Iterator[Proxy]:
    with running("meshproxy", static([listener("l", socket)], []), folder, *flags) as proxy:
        yield proxy


def mutual(ca: Authority, **fields: Any) -> Json:
    rules = {"validation_context": {"trusted_ca": text(ca.root())}}
    fields.setdefault("require_client_certificate", True)
    return downstream(ca.issue(dns("a.test")), common=rules, **fields)


def twice(port: int, context: ssl.SSLContext, other: int | None = None) -> tuple[Asked, Asked]:
    """Two connections, the second with the session of the first."""
    first, session = ask(port, context)
    return first, ask(other or port, context, session=session)[0]


def speaking(folder: Path, identity: Identity, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client(folder / "client", identity)
    context.minimum_version = context.maximum_version = version
    return context


@VERSIONS
def test_a_session_is_resumed_by_any_worker(ca: Authority, tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = speaking(tmp_path, ca.issue(uri(CLIENT)), version)
    with serving(tmp_path, mutual(ca), "--concurrency", "3") as proxy:
        again = [twice(proxy.port("l"), context)[1] for _ in range(10)]

        assert all(asked.inside and asked.resumed for asked in again)
        prefix = f"listener.127.0.0.1_{proxy.port('l')}.ssl."
        assert proxy.stat(prefix + "session_reused") == 10
        assert proxy.stat(prefix + "handshake") == 20
        assert proxy.stat(prefix + "no_certificate") == 0


@VERSIONS
def test_without_tickets_nothing_is_resumed(ca: Authority, tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = speaking(tmp_path, ca.issue(uri(CLIENT)), version)
    with serving(tmp_path, mutual(ca, disable_stateless_session_resumption=True)) as proxy:
        first, second = twice(proxy.port("l"), context)

    assert (first.inside, second.inside, second.resumed) == (True, True, False)


@VERSIONS
def test_a_ticket_ends_with_the_certificate_that_the_client_showed(
    ca: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    brief = ca.issue(uri(CLIENT), ends=datetime.timedelta(seconds=4))
    context = speaking(tmp_path, brief, version)
    with serving(tmp_path, mutual(ca)) as proxy:
        first, session = ask(proxy.port("l"), context)
        resumed = ask(proxy.port("l"), context, session=session)[0]
        over = brief.leaf.not_valid_after_utc + datetime.timedelta(seconds=1)
        while datetime.datetime.now(datetime.UTC) <= over:
            time.sleep(0.05)
        late = ask(proxy.port("l"), context, session=session)[0]

    assert (first.inside, resumed.resumed, late.inside) == (True, True, False)


@VERSIONS
def test_shared_keys_resume_elsewhere_but_only_under_the_same_trust(
    ca: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    old, new = os.urandom(80), os.urandom(80)
    more = Authority("more")

    def socket(*keys: bytes, roots: str) -> Json:
        inline = [{"inline_bytes": base64.b64encode(key).decode()} for key in keys]
        rules = {"validation_context": {"trusted_ca": text(roots)}}
        fields = {"require_client_certificate": True, "session_ticket_keys": {"keys": inline}}
        return downstream(server, common=rules, **fields)

    server, context = ca.issue(dns("a.test")), speaking(tmp_path, ca.issue(uri(CLIENT)), version)
    names = ("first", "rotated", "trusts_more", "forgot")
    sockets = (
        socket(old, roots=ca.root()),
        socket(new, old, roots=ca.root()),
        socket(old, roots=ca.root() + more.root()),
        socket(new, roots=ca.root()),
    )
    listeners = [listener(name, made) for name, made in zip(names, sockets, strict=True)]
    with running("meshproxy", static(listeners, []), tmp_path / "p") as proxy:
        again = {name: twice(proxy.port("first"), context, proxy.port(name))[1] for name in names}

    assert all(asked.inside for asked in again.values())
    assert {name: asked.resumed for name, asked in again.items()} == {
        "first": True,
        "rotated": True,
        "trusts_more": False,
        "forgot": False,
    }
