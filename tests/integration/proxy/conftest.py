"""Starts meshproxy on a bootstrap made by the test, and origins that play what it asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.origin import Origin, Script
from tests.support.proxies import Proxy, running

Start = Callable[..., Proxy]
MakeOrigin = Callable[[Script], Origin]


@pytest.fixture
def origin() -> Iterator[MakeOrigin]:
    made: list[Origin] = []

    def make(script: Script) -> Origin:
        made.append(Origin(script))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a proxy on listeners and clusters."""
    with contextlib.ExitStack() as stack:
        count = iter(range(100))

        def begin(listeners: list[dict[str, Any]], clusters: list[dict[str, Any]], *flags: str) -> Proxy:
            folder = tmp_path / f"proxy{next(count)}"
            return stack.enter_context(running("meshproxy", static(listeners, clusters), folder, *flags))

        yield begin


@pytest.fixture
def simple(start: Start) -> Callable[..., Proxy]:
    """A proxy whose listener `l` sends everything to one cluster of these ports."""

    def begin(*ports: int, hcm: dict[str, Any] | None = None, **action: Any) -> Proxy:
        to = {"cluster": "origin", **action}
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, to))], **(hcm or {}))
        return start([listener], [cluster("origin", *ports)])

    return begin
