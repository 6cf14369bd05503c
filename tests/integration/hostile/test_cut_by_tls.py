"""Upstreams over TLS: whoever is on the way can end the connection, only the upstream can end a body."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hostile.conversation import converse
from tests.support.bootstrap import TYPE, cluster, http_listener, route, static, virtual_host
from tests.support.certificates import Authority, dns
from tests.support.proxies import running

OK = b"HTTP/1.1 200 OK\r\n"
TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


class Origin:
    """Answers each connection's first request with `answer`, and ends it with or without close_notify."""

    def __init__(self, chain: str, key: str) -> None:
        self.answer, self.says_goodbye = b"", True
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65_536)
            connection.sendall(self.answer)
            if self.says_goodbye:
                connection.unwrap()
            else:
                connection.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Origin, int]]:
    folder: Path = tmp_path_factory.mktemp("cut")
    authority = Authority()
    origin = Origin(*authority.issue(dns("a.test")).files(folder / "origin"))
    socket_ = {"name": "tls", "typed_config": {"@type": TLS, "sni": "a.test"}}
    listener = http_listener("edge", [virtual_host(route({"prefix": "/"}, "origin"))])
    bootstrap = static([listener], [cluster("origin", origin.port, transport_socket=socket_)])
    with running("meshproxy", bootstrap, folder) as proxy:
        yield origin, proxy.port("edge")
    origin.close()


@pytest.mark.parametrize("says_goodbye", [True, False], ids=["close_notify", "no close_notify"])
@pytest.mark.parametrize(
    ("answer", "needs_goodbye"),
    [
        (OK + b"\r\nok", True),
        (OK + b"Connection: close\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\n\r\nok", True),
        (OK + b"Content-Length: 2\r\n\r\nok", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
    ],
)
def test_only_close_notify_ends_a_body_without_a_length(
    stage: tuple[Origin, int], answer: bytes, needs_goodbye: bool, says_goodbye: bool
) -> None:
    origin, port = stage
    origin.answer, origin.says_goodbye = answer, says_goodbye
    answers = converse(port, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], expect=1)
    if says_goodbye or not needs_goodbye:
        assert [(message.start, message.body) for message in answers.messages] == [(200, b"ok")]
    else:
        assert answers.truncated
