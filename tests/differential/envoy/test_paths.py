"""Thousands of made-up paths: meshproxy and the real Envoy make the same of each, or meshproxy refuses it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import http_listener, static, virtual_host
from tests.support.client import Client, Response
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

PATHS = 1500
PIECES = (
    *("/", "/", "/", "//", ".", "..", "/../", "/./", "\\", ";", ";x=1", "..;", "a", "b", "admin", "~", "-"),
    *(
        "?",
        "?q=/../x",
        "%2e",
        "%2E",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%25",
        "%252e",
        "%252f",
        "%61",
        "%41",
        "%7e",
    ),
    *("%7e", "%7E", "%3b", "%3f", "%23", "%20", "%00", "%", "%2", "%zz", "%c3%a9", "%c0%ae", "%e0%80%ae"),
    *("|", '"', "<", ">", "^", "`", "{", "}", "[", "]"),
)
RULES: dict[str, dict[str, Any]] = {
    "none": {},
    "base": {"normalize_path": True},
    "merge": {"normalize_path": True, "merge_slashes": True},
    "forward": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
    },
    "redirect": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    },
    "reject": {"normalize_path": True, "path_with_escaped_slashes_action": "REJECT_REQUEST"},
}


def paths() -> list[str]:
    """The same ones each time."""
    drawn = random.Random(7)
    return ["/" + "".join(drawn.choices(PIECES, k=drawn.randint(1, 9))) for _ in range(PATHS)]


@dataclass(frozen=True)
class Made:
    """What became of a path: the one that routes saw, or the answer without one."""

    status: int
    path: str | None


def listener(name: str, rules: dict[str, Any]) -> dict[str, Any]:
    """Answers by itself, and tells the path in a header."""
    seen = {
        "header": {"key": "x-seen", "value": "%REQ(:PATH)%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": [seen]}
    return http_listener(name, [virtual_host(answer)], **rules)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("paths")
    bootstrap = static([listener(name, rules) for name, rules in RULES.items()], [])
    with side_by_side(bootstrap, folder) as pair:
        yield pair


def told(answer: Response) -> str | None:
    """The path that routes saw, or where the client was sent."""
    return answer.header("x-seen") if answer.status == 200 else answer.header("location")


def made_of(
    proxy: Proxy, name: str, targets: Sequence[str], seen: Callable[[Response], str | None] = told
) -> list[Made]:
    """What became of each target, with the path that `seen` finds."""
    outcomes = []
    client = Client(proxy.port(name))
    for target in targets:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        answer = client.response()
        outcomes.append(Made(answer.status, seen(answer)))
        if answer.header("connection") == "close":
            client.socket.close()
            client = Client(proxy.port(name))
    client.socket.close()
    return outcomes


def merged(made: Made, name: str) -> Made:
    """Envoy leaves two slashes where a path is nothing but slashes; we leave one."""
    only_slashes = made.path is not None and made.path.partition("?")[0] == "//"
    if made.path is None or not only_slashes or "merge_slashes" not in RULES[name]:
        return made
    return replace(made, path=made.path[1:])


@pytest.mark.parametrize("name", RULES)
def test_the_same_path_as_envoy_or_none(name: str, proxies: list[Proxy]) -> None:
    targets = paths()
    ours, envoys = (made_of(proxy, name, targets) for proxy in proxies)
    differing = [row for row in zip(targets, ours, envoys, strict=True) if row[1] != merged(row[2], name)]
    assert [row for row in differing if row[1].status != 400] == []
    # Paths in which somebody behind the proxy could still climb.
    refused = [row for row in differing if row[1].status == 400]
    assert len(refused) < PATHS / 2
    assert bool(refused) is ("normalize_path" in RULES[name])
