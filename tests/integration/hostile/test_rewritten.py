"""What a route makes of a request is well-formed, and climbs no more than what was judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.hostile.conftest import Stage
from tests.integration.hostile.conversation import assert_unharmed, converse
from tests.integration.hostile.upstream import Upstream
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.proxies import running


def _to(**fields: Any) -> dict[str, Any]:
    return {"cluster": "upstream", **fields}


def _regex(pattern: str, substitution: str) -> dict[str, Any]:
    return {"pattern": {"regex": pattern}, "substitution": substitution}


ROUTES = [
    route({"prefix": "/strip"}, _to(prefix_rewrite="/")),
    route({"prefix": "/gone"}, _to(regex_rewrite=_regex("^/gone(.*)$", "\\1"))),
    route({"prefix": "/header"}, _to(host_rewrite_header="x-host")),
    route({"prefix": "/path"}, _to(host_rewrite_path_regex=_regex("^/path/(.+)$", "\\1"))),
    route({"prefix": "/"}, _to()),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    upstream = Upstream()
    listener = http_listener("edge", [virtual_host(*ROUTES)], normalize_path=True, merge_slashes=True)
    bootstrap = static([listener], [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("rewritten")) as proxy:
        yield Stage(proxy.port("edge"), upstream)
    upstream.close()


def sent(stage: Stage, target: str, lines: str = "") -> list[tuple[str, str | None]] | int:
    """The target and the host that the upstream got, or the status that refused the request."""
    stage.upstream.requests.clear()
    data = f"GET {target} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n".encode("latin-1")
    (status,) = converse(stage.port, [data], expect=1).statuses
    assert_unharmed(stage.port, stage.upstream)
    got = [(str(request.start[1]), request.value("host")) for request in stage.upstream.requests[:-1]]  # type: ignore[index]
    return got if status == 200 else status


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/strip/x", "//x"),
        ("/stripx", "/x"),
        ("/strip", "/"),
        ("/strip?..", "/?.."),
        ("/strip...", "/..."),
        ("/strip../x", None),
        ("/strip..", None),
        ("/strip./x", None),
        ("/strip%2e./x", None),
        ("/strip..;/x", None),
        ("/strip;x/y", None),
        ("/gone/x", "/x"),
        ("/gone", "/"),
        ("/gone?x", "/?x"),
        ("/gonex", "/x"),
        ("/gone..", None),
        ("/gone../x", None),
    ],
)
def test_a_rewritten_target_is_a_path_and_does_not_climb(
    stage: Stage, target: str, wanted: str | None
) -> None:
    assert sent(stage, target) == ([(wanted, "a.test")] if wanted else 400)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((host, host) for host in ("b.test", "b.test:81", "[::1]:81", "b_b")),
        *((host, None) for host in ("b test", "b,c", "u@b", "b/x", "b:x", "\xff", "", "[::1", "b\tc", "b?")),
    ],
)
def test_a_host_from_a_header_is_a_host(stage: Stage, value: str, wanted: str | None) -> None:
    assert sent(stage, "/header", f"X-Host: {value}\r\n") == ([("/header", wanted)] if wanted else 400)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("/path/b.test", "b.test"), ("/path/b%20c", None), ("/path/u@b", None), ("/path/b/c", None)],
)
def test_a_host_from_a_path_is_a_host(stage: Stage, target: str, wanted: str | None) -> None:
    assert sent(stage, target) == ([(target, wanted)] if wanted else 400)
