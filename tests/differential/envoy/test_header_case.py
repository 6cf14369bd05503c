"""Names in HTTP/1 heads are spelled as the real Envoy spells them (`header_key_format`), line for line."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http2.stage import OPTIONS, http2_cluster
from tests.support.bootstrap import TYPE, cluster, direct, http_listener, route, static, virtual_host
from tests.support.http2_client import Http2Client
from tests.support.http2_origin import Http2Origin
from tests.support.http2_origin import answer as http2_answer
from tests.support.proxies import KINDS, Proxy, running, side_by_side
from tests.support.server import LoopbackServer
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")

Json = dict[str, Any]
PATIENCE = 5.0


def preserve(**fields: Any) -> Json:
    kind = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
    name = "envoy.http.stateful_header_formatters.preserve_case"
    return {"stateful_formatter": {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}}


FORMATS: dict[str, Json] = {
    "plain": {},
    "proper": {"header_key_format": {"proper_case_words": {}}},
    "kept": {"header_key_format": preserve()},
    "phrase": {"header_key_format": preserve(forward_reason_phrase=True)},
    "others": {"header_key_format": preserve(formatter_type_on_envoy_headers="PROPER_CASE")},
}
# What differs from run to run.
VOLATILE = re.compile(
    rb"(?im)^(date|x-request-id|x-envoy-upstream-service-time|x-envoy-expected-rq-timeout-ms): .*?\r$"
)

REQUESTS: dict[str, bytes] = {
    "mixed": b"GET %s HTTP/1.1\r\nHOST: a.test\r\nX-MiXeD-Name: 1\r\naccept: x\r\nUSER-agent: me\r\n\r\n",
    "twice": b"GET %s HTTP/1.1\r\nhost: a.test\r\nX-Two: 1\r\nx-TWO: 2\r\nx-other: 3\r\nX-OTHER: 4\r\n\r\n",
    "odd": b"GET %s HTTP/1.1\r\nHost: a.test\r\nx_un-der: 1\r\nfoo$b#$are: 2\r\n9x-a1b: 3\r\n'q: 4\r\n\r\n",
    "length": b"POST %s HTTP/1.1\r\nHost: a.test\r\nCONTENT-length: 2\r\nContent-TYPE: a/b\r\n\r\nhi",
    "chunks": b"POST %s HTTP/1.1\r\nHost: a.test\r\nTRANSFER-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "trailers": (
        b"POST %s HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTransfer-encoding: chunked\r\nX-End: a\r\n\r\n"
        b"2\r\nhi\r\n0\r\nX-EnD: 1\r\nX-Other-End: 2\r\n\r\n"
    ),
    "empty-post": b"POST %s HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "ours": (
        b"GET %s HTTP/1.1\r\nHost: a.test\r\nX-REQUEST-ID: mine\r\nX-FORWARDED-Proto: https\r\n"
        b"X-EnvoY-Force-Trace: 1\r\nX-Taken: away\r\nX-ADDED: 0\r\n\r\n"
    ),
    "hop": (
        b"GET %s HTTP/1.1\r\nHost: a.test\r\nCONNECTION: keep-alive, TE\r\nTe: trailers\r\nKEEP-Alive: 5\r\n"
        b"PROXY-Connection: keep-alive\r\nX-Forwarded-FOR: 1.2.3.4\r\n"
        b"VIA: 1.1 a\r\n\r\n"
    ),
    "absolute": b"GET http://b.test%s HTTP/1.1\r\nHOST: b.test\r\nX-ENVOY-Original-Path: /a\r\n\r\n",
    "many": (
        b"GET %s HTTP/1.1\r\nHost: a.test\r\n"
        + b"".join(b"X-%c-%c: 1\r\nx-%c-%c: 2\r\n" % (n, n + 32, n + 32, n) for n in range(65, 91))
        + b"\r\n"
    ),
    "head": b"HEAD %s HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "close": b"GET %s HTTP/1.1\r\nHost: a.test\r\nCONNECTION: close\r\n\r\n",
    "upgrade": b"GET %s HTTP/1.1\r\nHost: a.test\r\nCONNECTION: upgrade\r\nUPGRADE: websocket\r\n\r\n",
}
ANSWERS: dict[str, bytes] = {
    "usual": (
        b"HTTP/1.1 200 Fine By Me\r\nCONTENT-Length: 0\r\nX-oNe: 1\r\nx-one: 2\r\nSERVER:\r\nDATE: b\r\n\r\n"
    ),
    "chunks": (
        b"HTTP/1.1 404 Where\r\nTransfer-ENCODING: chunked\r\nX-ADDED: 1\r\nX-TAKEN: 1\r\n\r\n"
        b"2\r\nhi\r\n0\r\nX-EnD: 1\r\nX-Two: 2\r\n\r\n"
    ),
    "phraseless": (
        b"HTTP/1.1 503 \r\nConnection: KEEP-alive\r\nContent-Length: 0\r\n"
        b"X-ENVOY-upstream-SERVICE-time: 9\r\n\r\n"
    ),
    "spaces": b"HTTP/1.1 202  So\tMany Spaces  \r\ncontent-LENGTH: 0\r\n\r\n",
    "bodiless": b"HTTP/1.1 204 Nothing\r\nX-A: 1\r\n\r\n",
    "interim": (
        b"HTTP/1.1 103 Early Word\r\nLINK: x\r\n\r\nHTTP/1.1 200 Then\r\nLINK: y\r\nContent-Length: 0\r\n\r\n"
    ),
    "switch": b"HTTP/1.1 101 Go On\r\ncONNECTION: upgrade\r\nuPGRADE: websocket\r\nSec-X: 1\r\n\r\n",
}
EXCHANGES = [
    *((name, "usual") for name in REQUESTS if name != "upgrade"),
    *(("mixed", name) for name in ANSWERS if name not in ("usual", "interim", "switch")),
    ("head", "chunks"),
    ("upgrade", "switch"),
    ("close", "chunks"),
]


def section(stream: socket.socket, got: bytes = b"") -> bytes:
    """A head, with what came behind it."""
    while b"\r\n\r\n" not in got:
        more = stream.recv(65536)
        if not more:
            break
        got += more
    return got


def message(stream: socket.socket, *, bodiless: bool = False) -> bytes:
    """A whole message, its body as it is framed."""
    got = section(stream)
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: chunked", head)
    while not bodiless and (
        (length and len(body) < int(length[1]))
        or (chunked and not re.search(rb"(?:^|\n)0\r\n(?:.+\r\n)*\r\n$", body))
    ):
        more = stream.recv(65536)
        assert more, got
        body += more
    return head + b"\r\n\r\n" + body


@dataclass
class Recorder(LoopbackServer):
    """Answers each request with the bytes of `reply`, and keeps its bytes."""

    reply: bytes = b""
    received: list[bytes] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        while got := section(connection):
            head, _, body = got.partition(b"\r\n\r\n")
            if not head:
                return
            if b"chunked" in head.lower():
                while not body.endswith(b"\r\n\r\n") and body != b"0\r\n\r\n":
                    body += connection.recv(65536)
            self.received.append(head + b"\r\n\r\n" + body)
            connection.sendall(self.reply)


def lines(seen: bytes) -> tuple[bytes, list[bytes], bytes]:
    """The first line, those of the fields in order of the alphabet, and the body."""
    head, _, body = VOLATILE.sub(rb"\1: *\r", seen).partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    return first, sorted(rest.split(b"\r\n")), body


def upstream(name: str, port: int, options: Json, form: str = "explicit_http_config") -> Json:
    more: Json = {"http2_protocol_options": {}} if form == "use_downstream_protocol_config" else {}
    http1 = {"enable_trailers": True, **options}
    chosen = {"@type": TYPE + OPTIONS, form: {"http_protocol_options": http1, **more}}
    return cluster(name, port, typed_extension_protocol_options={OPTIONS: chosen})


@pytest.fixture(scope="module")
def origin() -> Iterator[Recorder]:
    with Recorder() as one:
        yield one


@pytest.fixture(scope="module")
def http2_origin() -> Iterator[Http2Origin]:
    with Http2Origin(lambda _received: http2_answer(200, b"hi", ("x-low", "1"))) as one:
        yield one


@pytest.fixture(scope="module")
def proxies(
    origin: Recorder, http2_origin: Http2Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Proxy]]:
    names = [*FORMATS, "same", "old", "two"]
    own: Json = {
        "request_headers_to_add": [{"header": {"key": "X-Added", "value": "1"}}],
        "request_headers_to_remove": ["x-taken"],
        "response_headers_to_add": [{"header": {"key": "X-Added", "value": "2"}}],
        "response_headers_to_remove": ["x-taken"],
    }
    routes = [direct({"prefix": "/direct"}, 403, "no"), *(route({"prefix": f"/{one}"}, one) for one in names)]
    listeners = [
        http_listener(
            name,
            [virtual_host(*routes, **own)],
            http_protocol_options={"enable_trailers": True, **options},
            upgrade_configs=[{"upgrade_type": "websocket"}],
            use_remote_address=True,
            via="1.1 proxy",
        )
        for name, options in FORMATS.items()
    ]
    clusters = [
        *(upstream(name, origin.port, options) for name, options in FORMATS.items()),
        upstream("same", origin.port, FORMATS["proper"], "use_downstream_protocol_config"),
        cluster("old", origin.port, http_protocol_options={"enable_trailers": True, **FORMATS["phrase"]}),
        http2_cluster("two", http2_origin.port),
    ]
    with side_by_side(static(listeners, clusters), tmp_path_factory.mktemp("case")) as pair:
        yield pair


def converse(port: int, request: bytes, *, bodiless: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(request)
        return message(client, bodiless=bodiless)


@pytest.mark.parametrize("to", [*FORMATS, "same", "old"])
@pytest.mark.parametrize("through", FORMATS)
def test_heads_are_spelled_as_envoys(through: str, to: str, proxies: list[Proxy], origin: Recorder) -> None:
    for request, reply in EXCHANGES:
        origin.reply = ANSWERS[reply]
        seen = []
        for proxy in proxies:
            before = len(origin.received)
            target = f"/{to}".encode()
            answer = converse(proxy.port(through), REQUESTS[request] % target, bodiless=request == "head")
            seen.append((lines(answer), [lines(one) for one in origin.received[before:]]))
        assert seen[0] == seen[1], (request, reply)


@pytest.mark.parametrize("through", FORMATS)
def test_answers_of_our_own_and_over_http2_are_spelled_as_envoys(through: str, proxies: list[Proxy]) -> None:
    told = [b"GET /direct HTTP/1.1\r\nHOST: a\r\nDATE: x\r\n\r\n", b"GET /none HTTP/1.1\r\nHOST: a\r\n\r\n"]
    told += [b"GET /none HTTP/1.0\r\nHOST: a\r\n\r\n", b"GET /none HTTP/1.1\r\nX-Bad\r\n\r\n"]
    told += [b"GET /two HTTP/1.1\r\nHOST: a\r\nX-LOW: 1\r\n\r\n"]
    for request in told:
        ours, envoys = (lines(converse(proxy.port(through), request)) for proxy in proxies)
        assert ours == envoys, request


@pytest.mark.parametrize("to", FORMATS)
def test_a_request_that_came_over_http2_is_spelled_as_envoys(
    to: str, proxies: list[Proxy], origin: Recorder
) -> None:
    for reply in ("usual", "chunks"):
        origin.reply = ANSWERS[reply]
        seen = []
        for proxy in proxies:
            before = len(origin.received)
            with Http2Client(proxy.port("others")) as client:
                end = [("x-end", "1")]
                answer = client.answer(
                    client.request("POST", f"/{to}", ("x-a", "1"), body=b"hi", trailers=end)
                )
            assert all(name == name.lower() for name, _ in answer.headers)
            seen.append([lines(one) for one in origin.received[before:]])
        assert seen[0] == seen[1], reply


def test_to_http2_names_are_in_lower_case(proxies: list[Proxy], http2_origin: Http2Origin) -> None:
    converse(proxies[0].port("kept"), REQUESTS["mixed"] % b"/two")
    assert http2_origin.received[-1].header("x-mixed-name") == "1"


@pytest.mark.parametrize(
    ("through", "to", "first"),
    [
        ("phrase", "phrase", b"HTTP/1.1 103 Early Word\r\nLINK: x\r\n\r\nHTTP/1.1 200 Then\r\nLINK: y\r\n"),
        ("proper", "plain", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nLink: y\r\n"),
    ],
)
def test_interim_answers_which_envoy_drops_are_spelled_like_others(
    through: str, to: str, first: bytes, proxies: list[Proxy], origin: Recorder
) -> None:
    origin.reply = ANSWERS["interim"]
    with socket.create_connection(("127.0.0.1", proxies[0].port(through)), PATIENCE) as client:
        client.sendall(REQUESTS["mixed"] % f"/{to}".encode())
        got = b""
        while got.count(b"\r\n\r\n") < 2:
            got += section(client)
    assert got.startswith(first)


@pytest.mark.parametrize("form", FORMATS)
def test_health_checks_are_spelled_as_envoys(form: str, tmp_path: Path) -> None:
    check = {
        "timeout": "2s",
        "interval": "60s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {
            "path": "/check",
            "method": "POST",
            "request_headers_to_add": [{"header": {"key": "X-mine", "value": "1"}}],
        },
    }
    seen = []
    for kind in KINDS:
        with Recorder(reply=ANSWERS["usual"]) as checked:
            checks = {**upstream("checked", checked.port, FORMATS[form]), "health_checks": [check]}
            with running(kind, static([], [checks]), tmp_path / kind):
                until(lambda: checked.received, f"a check by {kind}")
            seen.append(lines(checked.received[0]))
    assert seen[0] == seen[1]


def test_a_changed_cluster_spells_so_on_the_connections_that_it_has(origin: Recorder, tmp_path: Path) -> None:
    path = tmp_path / "clusters.json"

    def put(form: str) -> None:
        kind = TYPE + "envoy.config.cluster.v3.Cluster"
        resources = [{"@type": kind, **upstream("origin", origin.port, FORMATS[form])}]
        path.with_suffix(".new").write_text(json.dumps({"version_info": form, "resources": resources}))
        path.with_suffix(".new").rename(path)

    put("plain")
    origin.reply = ANSWERS["usual"]
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "origin"))])
    files = {"dynamic_resources": {"cds_config": {"path_config_source": {"path": str(path)}}}}
    with running("meshproxy", static([listener], []) | files, tmp_path / "proxy") as proxy:

        def host_line() -> bytes:
            converse(proxy.port("l"), REQUESTS["mixed"] % b"/")
            return origin.received[-1].split(b"\r\n")[1]

        assert host_line() == b"host: a.test"
        put("proper")
        until(lambda: host_line() == b"Host: a.test", "the new spelling")
