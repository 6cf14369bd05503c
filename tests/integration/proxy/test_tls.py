"""TLS on both sides: identities are checked, told on, and needed."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.integration.proxy.pki import Authority, Identity
from tests.support.bootstrap import TYPE, cluster, http_listener, route, virtual_host
from tests.support.client import fetch, request
from tests.support.origin import Answer, Received, answer
from tests.support.proxies import Proxy

TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3."
CLIENT = "spiffe://cluster.local/ns/shop/sa/orders"
SERVER = "spiffe://cluster.local/ns/shop/sa/mail"


def inline(text: str) -> dict[str, str]:
    return {"inline_string": text}


def common(identity: Identity, ca: str, *allowed: str) -> dict[str, Any]:
    names = [{"san_type": "URI", "matcher": {"exact": uri}} for uri in allowed]
    return {
        "tls_certificates": [
            {"certificate_chain": inline(identity.chain), "private_key": inline(identity.key)}
        ],
        "validation_context": {"trusted_ca": inline(ca), "match_typed_subject_alt_names": names},
    }


def downstream(identity: Identity, ca: str, *allowed: str, required: bool = True) -> dict[str, Any]:
    config = {
        "@type": TLS + "DownstreamTlsContext",
        "require_client_certificate": required,
        "common_tls_context": common(identity, ca, *allowed),
    }
    return {"name": "tls", "typed_config": config}


def upstream(identity: Identity, ca: str, *allowed: str) -> dict[str, Any]:
    config = {
        "@type": TLS + "UpstreamTlsContext",
        "sni": "outbound_.80_._.mail.shop.svc.cluster.local",
        "common_tls_context": common(identity, ca, *allowed),
    }
    return {"name": "tls", "typed_config": config}


def listener(name: str, to: str, socket: dict[str, Any] | None = None, **hcm: Any) -> dict[str, Any]:
    made = http_listener(name, [virtual_host(route({"prefix": "/"}, to))], **hcm)
    if socket:
        made["filter_chains"][0]["transport_socket"] = socket
    return made


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


def pair(start: Start, ca: Authority, port: int, client: Identity, server: Identity) -> Proxy:
    """Plain HTTP in, mutual TLS between two proxies, plain HTTP out."""
    xfcc = {
        "forward_client_cert_details": "APPEND_FORWARD",
        "set_current_client_cert_details": {"uri": True, "dns": True},
    }
    inner = start([listener("in", "app", downstream(server, ca.root()), **xfcc)], [cluster("app", port)])
    peer = cluster("peer", inner.port("in"), transport_socket=upstream(client, ca.root(), SERVER))
    return start([listener("out", "peer")], [peer])


def test_a_request_crosses_mutual_tls_with_its_identities(
    start: Start, origin: MakeOrigin, ca: Authority
) -> None:
    app = origin(lambda received: answer(200, received.body))
    proxy = pair(start, ca, app.port, ca.issue(CLIENT), ca.issue(SERVER))
    body = b"x" * 200_000
    for _ in range(3):
        assert fetch(proxy.port("out"), "POST", "/", body=body).body == body
    told = app.received[0].header("x-forwarded-client-cert") or ""
    assert f"By={SERVER}" in told
    assert f"URI={CLIENT}" in told
    assert "Hash=" in told
    assert proxy.stat("cluster.peer.ssl.handshake") == 1


def test_a_server_of_another_identity_is_refused(start: Start, origin: MakeOrigin, ca: Authority) -> None:
    app = origin(lambda _: answer())
    proxy = pair(start, ca, app.port, ca.issue(CLIENT), ca.issue("spiffe://cluster.local/ns/shop/sa/thief"))
    reply = fetch(proxy.port("out"))
    assert reply.status == 503
    assert app.received == []
    assert proxy.stat("cluster.peer.ssl.fail_verify_san") >= 1


def test_a_certificate_with_two_identities_is_refused(
    start: Start, origin: MakeOrigin, ca: Authority
) -> None:
    app = origin(lambda _: answer())
    proxy = pair(start, ca, app.port, ca.issue(CLIENT), ca.issue(SERVER, CLIENT))
    assert fetch(proxy.port("out")).status == 503
    assert app.received == []


def connect(port: int, ca: str, identity: tuple[str, str] | None) -> ssl.SSLSocket:
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca)
    if identity:
        context.load_cert_chain(*identity)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname="a.test")


def ask(connection: ssl.SSLSocket) -> bytes:
    with connection:
        connection.sendall(request("GET", "/", ("Connection", "close")))
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def test_only_trusted_clients_get_in(start: Start, origin: MakeOrigin, ca: Authority, tmp_path: Path) -> None:
    def script(_received: Received) -> Answer:
        return answer(200, b"inside")

    server = ca.issue(SERVER, dns=("a.test",))
    socket = downstream(server, ca.root(), CLIENT)
    proxy = start([listener("l", "app", socket)], [cluster("app", origin(script).port)])
    port = proxy.port("l")
    good = ca.issue(CLIENT).files(tmp_path / "good")
    assert ask(connect(port, ca.root(), good)).endswith(b"inside")
    stranger = Authority("another root").issue(CLIENT).files(tmp_path / "stranger")
    wrong = ca.issue("spiffe://cluster.local/ns/shop/sa/other").files(tmp_path / "wrong")
    for identity in (None, stranger, wrong):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(connect(port, ca.root(), identity))


def test_tls_12_and_resumption_work(start: Start, origin: MakeOrigin, ca: Authority) -> None:
    server = ca.issue(SERVER, dns=("a.test",))
    socket = downstream(server, ca.root(), required=False)
    proxy = start([listener("l", "app", socket)], [cluster("app", origin(lambda _: answer(200, b"ok")).port)])
    import socket as sockets

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca.root())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    first = context.wrap_socket(sockets.create_connection(("127.0.0.1", proxy.port("l")), 5))
    assert first.version() == "TLSv1.2"
    session = first.session
    assert ask(first).endswith(b"ok")
    again = context.wrap_socket(sockets.create_connection(("127.0.0.1", proxy.port("l")), 5), session=session)
    assert again.session_reused
    assert ask(again).endswith(b"ok")
