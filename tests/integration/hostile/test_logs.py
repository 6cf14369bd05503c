"""What the access log and the counters say of hostile bytes: Envoy's flags, details and names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hostile.conversation import converse
from tests.integration.hostile.upstream import Reply, Upstream
from tests.support.bootstrap import cluster, file_log, http_listener, route, static, virtual_host
from tests.support.proxies import Proxy, running
from tests.support.wait import until

BOTH_FRAMINGS = b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("logs")
    log = file_log(folder / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
    hosts = [virtual_host(route({"prefix": "/"}, "upstream"))]
    listener = http_listener("edge", hosts, access_log=[log], normalize_path=True)
    with running("meshproxy", static([listener], [cluster("upstream", upstream.port)]), folder) as one:
        yield one


def logged(proxy: Proxy, data: bytes) -> str:
    """The line of the access log that one conversation makes."""
    log: Path = proxy.folder / "log"
    before = text_of(log)
    converse(proxy.port("edge"), [data], expect=1)
    logged = until(lambda: text_of(log).removeprefix(before), "a line is logged")
    return logged.splitlines()[0]


def text_of(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def get(lines: bytes = b"", target: bytes = b"/") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (get(BOTH_FRAMINGS), "400 DPE http1.content_length_and_chunked_not_allowed"),
        (get(b"Transfer-Encoding: gzip\r\n"), "501 DPE http1.invalid_transfer_encoding"),
        (get(b"Content-Length: x\r\n"), "400 DPE http1.invalid_content_length"),
        (get(b"X Y: v\r\n"), "400 DPE http1.codec_error"),
        (get(b"X: \0\r\n"), "400 DPE http1.invalid_characters"),
        (get(b"Host: b\r\n"), "400 DPE http1.invalid_host"),
        (get(target=b"/\x7f"), "400 DPE http1.invalid_url"),
        (get(b"X: y\r\n" * 200), "431 DPE http1.too_many_headers"),
        (get(b"X: " + b"y" * 70_000 + b"\r\n"), "431 DPE http1.headers_too_large"),
        (get(target=b"/" + b"y" * 70_000), "414 DPE http1.headers_too_large"),
        (get(b"Connection: a b\r\n"), "400 DPE http1.connection_header_rejected"),
        (get(target=b"/a/..%2fb"), "400 - path_normalization_failed"),
        (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", "200 - max_forwards_reached"),
        (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n", "400 DPE max_forwards_invalid"),
    ],
)  # fmt: skip
def test_a_refused_request_says_why(proxy: Proxy, data: bytes, line: str) -> None:
    errors = proxy.stat("http.edge.downstream_cx_protocol_error")
    assert logged(proxy, data) == line
    counted = proxy.stat("http.edge.downstream_cx_protocol_error") - errors
    assert counted == (1 if " http1." in line else 0)


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(b"nonsense\r\n\r\n"), "502 UPE upstream_reset_before_response_started{protocol_error}"),
        (Reply(b"", "close"), "503 UC upstream_reset_before_response_started{connection_termination}"),
        (
            Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
            "200 UPE upstream_reset_after_response_started{protocol_error}",
        ),
    ],
    ids=["head", "nothing", "chunk"],
)
def test_a_broken_reply_says_so(proxy: Proxy, upstream: Upstream, reply: Reply, line: str) -> None:
    upstream.script = lambda _request: reply
    errors = proxy.stat("cluster.upstream.upstream_cx_protocol_error")
    assert logged(proxy, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") == line
    counted = proxy.stat("cluster.upstream.upstream_cx_protocol_error") - errors
    assert counted == (1 if " UPE " in line else 0)
