"""The overload manager gives up what Envoy's gives up, when Envoy's does."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy.origins import scripted
from tests.support.bootstrap import TYPE, cluster, file_log, http_listener, route, static, virtual_host
from tests.support.client import Response, fetch
from tests.support.origin import Origin
from tests.support.proxies import KINDS, Proxy, running
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")

MONITOR = "envoy.resource_monitors.injected_resource"
INJECTED = TYPE + "envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig"
CONNECTIONS = (
    TYPE + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)
PATIENCE = 5.0
MOST_CONNECTIONS = 8


def action(name: str, **trigger: Any) -> dict[str, Any]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": MONITOR, **trigger}]}


@dataclass
class Pressed:
    """A proxy, and the pressure that it finds."""

    proxy: Proxy
    file: Path

    def press(self, pressure: float) -> None:
        """Returns when the proxy has seen it."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(pressure))
        os.replace(fresh, self.file)
        wanted = round(pressure * 100)
        until(lambda: self.proxy.stat(f"overload.{MONITOR}.pressure") == wanted)

    def ask(self, listener: str = "plain") -> Response:
        return fetch(self.proxy.port(listener), "GET", "/")

    def active(self, name: str) -> int:
        return self.proxy.stat(f"overload.envoy.overload_actions.{name}.active")


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(scripted("origin")) as one:
        yield one


@pytest.fixture(scope="module", params=KINDS)
def pressed(
    request: pytest.FixtureRequest, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pressed]:
    folder = tmp_path_factory.mktemp(f"overload-{request.param}")
    file = folder / "pressure"
    file.write_text("0")
    log = file_log(folder / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
    hosts = [virtual_host(route({"prefix": "/"}, "origin"))]
    manager = {
        "refresh_interval": "0.05s",
        "resource_monitors": [
            {"name": MONITOR, "typed_config": {"@type": INJECTED, "filename": str(file)}},
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": CONNECTIONS,
                    "max_active_downstream_connections": MOST_CONNECTIONS,
                },
            },
        ],
        "actions": [
            action("shrink_heap", threshold={"value": 0.9}),
            action("disable_http_keepalive", threshold={"value": 0.92}),
            action(
                "stop_accepting_requests", scaled={"scaling_threshold": 0.93, "saturation_threshold": 0.95}
            ),
            action("reject_incoming_connections", threshold={"value": 0.97}),
            action("stop_accepting_connections", threshold={"value": 0.98}),
        ],
    }
    listeners = [
        http_listener("plain", hosts, access_log=[log]),
        {**http_listener("exempt", hosts), "bypass_overload_manager": True, "ignore_global_conn_limit": True},
    ]
    bootstrap = {**static(listeners, [cluster("origin", origin.port)]), "overload_manager": manager}
    flags = ("--file-flush-interval-msec", "50") if request.param == "envoy" else ()
    with running(request.param, bootstrap, folder, *flags) as proxy:
        made = Pressed(proxy, file)
        yield made
        made.press(0)


@pytest.fixture(autouse=True)
def relieved(pressed: Pressed) -> Iterator[None]:
    yield
    pressed.press(0)
    until(lambda: pressed.active("stop_accepting_connections") == 0)


def test_nothing_is_given_up_without_pressure(pressed: Pressed) -> None:
    pressed.press(0.5)
    answer = pressed.ask()
    assert (answer.status, dict(answer.headers).get("connection")) == (200, None)
    assert pressed.active("disable_http_keepalive") == 0


def test_connections_are_not_kept_first(pressed: Pressed) -> None:
    pressed.press(0.92)
    until(lambda: pressed.active("disable_http_keepalive") == 1)
    answer = pressed.ask()
    assert (answer.status, dict(answer.headers).get("connection")) == (200, "close")
    assert pressed.proxy.stat("http.plain.downstream_cx_overload_disable_keepalive") > 0


def test_requests_are_refused_next(pressed: Pressed) -> None:
    pressed.press(0.95)
    until(lambda: pressed.active("stop_accepting_requests") == 1)
    answer = pressed.ask()
    assert (answer.status, answer.body) == (503, b"envoy overloaded")
    assert pressed.proxy.stat("http.plain.downstream_rq_overload_close") > 0
    assert pressed.proxy.stat("overload.envoy.overload_actions.stop_accepting_requests.scale_percent") == 100
    log = pressed.proxy.folder / "log"
    until(lambda: "503 - overload\n" in log.read_text())


def test_a_scaled_trigger_refuses_some(pressed: Pressed) -> None:
    pressed.press(0.94)
    scale = "overload.envoy.overload_actions.stop_accepting_requests.scale_percent"
    until(lambda: 45 <= pressed.proxy.stat(scale) <= 55)
    statuses = {pressed.ask().status for _ in range(60)}
    assert statuses == {200, 503}


def test_connections_are_turned_away_then(pressed: Pressed) -> None:
    pressed.press(0.97)
    until(lambda: pressed.active("reject_incoming_connections") == 1)
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        pressed.ask()


def test_connections_are_left_in_the_queue_last_and_taken_afterwards(pressed: Pressed) -> None:
    pressed.press(0.98)
    until(lambda: pressed.active("stop_accepting_connections") == 1)
    with socket.create_connection(("127.0.0.1", pressed.proxy.port("plain")), 0.3) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        pressed.press(0)
        waiting.settimeout(PATIENCE)
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_listener_may_be_left_alone(pressed: Pressed) -> None:
    pressed.press(0.95)
    until(lambda: pressed.active("stop_accepting_requests") == 1)
    assert pressed.ask("exempt").status == 200


def test_connections_beyond_the_limit_are_closed(pressed: Pressed) -> None:
    port = pressed.proxy.port("plain")
    with contextlib.ExitStack() as open_ones:
        for _ in range(MOST_CONNECTIONS):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert one.recv(12) == b"HTTP/1.1 200"
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as beyond:
            beyond.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert beyond.recv(1) == b""
        assert pressed.ask("exempt").status == 200
    stats = pressed.proxy.get("/stats?filter=global_cx_overflow").splitlines()
    assert any(line.startswith("listener.") and not line.endswith(": 0") for line in stats)
    until(lambda: pressed.proxy.stat("http.plain.downstream_cx_active") == 0)
