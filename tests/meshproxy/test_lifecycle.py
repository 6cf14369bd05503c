"""meshproxy as it is started: signals, deaths, reloads, generations."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.background import Background
from tests.support.bootstrap import address, cluster, file_log, http_listener, route, static, virtual_host
from tests.support.client import Client, fetch, request
from tests.support.origin import Answer, Origin, Received, answer
from tests.support.proxies import Proxy, running
from tests.support.server import free_port
from tests.support.wait import until


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as server:
        yield server


def proxy_to(origin: Origin, port: int = 0, **fields: Any) -> dict[str, Any]:
    hosts = [virtual_host(route({"prefix": "/"}, "up"))]
    listener = http_listener("web", hosts) | {"address": address(port)}
    return static([listener], [cluster("up", origin.port)]) | fields


def worker_pids(proxy: Proxy) -> list[int]:
    """The children that are not the agent, in order of their start."""
    pid = proxy.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if is_worker(child)]


def is_worker(pid: str) -> bool:
    """A child may end while it is looked at; then it is none any more."""
    try:
        return b"meshproxy.agent" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Load(Background):
    """Asks again and again on fresh connections, from threads, until told to stop."""

    def __init__(self, port: int, threads: int = 4) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._port = port
        super().__init__(*[self._ask] * threads)

    def _ask(self) -> None:
        while not self.stop.is_set():
            try:
                status = fetch(self._port).status
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            else:
                self.answered += 1
                if status != 200:
                    self.failures.append(str(status))

    def more(self, requests: int = 50) -> None:
        """Wait until so many more requests were answered."""
        goal = self.answered + requests
        until(lambda: self.answered >= goal, f"{requests} more answers; failures: {self.failures[:3]}")


def test_a_bootstrap_is_served(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy:
        reply = fetch(proxy.port("web"), "GET", "/x")

    assert reply.status == 200


def test_sigkill_of_a_worker_loses_only_its_own_connections(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path, "--concurrency", "2") as proxy:
        port = proxy.port("web")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(port, 2.0)) for _ in range(24)]
            for client in clients:
                client.send(request())
                client.response()
            time.sleep(0.3)  # a worker that is killed in its first moments is taken for a crash
            os.kill(worker_pids(proxy)[0], signal.SIGKILL)

            with Load(port) as load:
                load.more(200)
            alive = sum(answers(client) for client in clients)

    assert load.failures == []
    assert 0 < alive < 24


def answers(client: Client) -> bool:
    try:
        client.send(request())
        return client.response().status == 200
    except (OSError, ValueError):
        return False


def test_sigterm_lets_a_request_in_flight_end(tmp_path: Path, origin: Origin) -> None:
    def slow(received: Received) -> Answer:
        return Answer(answer(200, b"late").data, wait=0.6 if received.target == "/slow" else 0.0)

    origin.script = slow
    with running("meshproxy", proxy_to(origin), tmp_path, "--drain-time-s", "5") as proxy:
        with Client(proxy.port("web")) as client:
            client.send(request("GET", "/slow"))
            until(lambda: any(r.target == "/slow" for r in origin.received), "the request is under way")
            proxy.process.send_signal(signal.SIGTERM)
            reply = client.response()

        assert (reply.status, reply.body) == (200, b"late")
        assert proxy.process.wait(5) == 0


def test_a_bad_bootstrap_never_displaces_a_good_one(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy:
        port = proxy.port("web")
        good = (tmp_path / "bootstrap.json").read_text()

        (tmp_path / "bootstrap.json").write_text(good.replace('"prefix": "/"', '"prefixx": "/"'))
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: proxy.stat("server.reload_failed") == 1, "the reload is refused")

        assert "prefixx" in proxy.stderr()
        assert fetch(port).status == 200
        assert proxy.get("/ready") == "LIVE\n"


def test_sighup_takes_up_a_changed_bootstrap(tmp_path: Path, origin: Origin) -> None:
    other = free_port()
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy, Load(proxy.port("web")) as load:
        changed = json.loads((tmp_path / "bootstrap.json").read_text())
        second = http_listener("second", [virtual_host(route({"prefix": "/"}, "up"))])
        changed["static_resources"]["listeners"].append(second | {"address": address(other)})
        (tmp_path / "bootstrap.json").write_text(json.dumps(changed))

        proxy.process.send_signal(signal.SIGHUP)

        until(lambda: "second::" in proxy.get("/listeners"), "the second listener")
        until(lambda: _status(other) == 200, "it answers")
        load.more()
    assert load.failures == []


def _status(port: int) -> int:
    try:
        return fetch(port).status
    except OSError:
        return 0


def test_hot_restart_loses_no_request(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    family = ("--base-id", str(os.getpid() * 10 + 3), "--drain-time-s", "2")
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(running("meshproxy", proxy_to(origin, port), tmp_path / "0", *family))
        load = stack.enter_context(Load(port))
        load.more()

        flags = (*family, "--restart-epoch", "1", "--parent-shutdown-time-s", "2")
        new = stack.enter_context(running("meshproxy", proxy_to(origin, port), tmp_path / "1", *flags))
        assert old.process.wait(15) == 0
        load.more()

        assert load.failures == []
        assert new.stat("server.hot_restart_epoch") == 1


def test_generations_share_an_admin_address_one_after_the_other(tmp_path: Path, origin: Origin) -> None:
    port, admin = free_port(), free_port()
    fixed = {"admin": {"address": address(admin)}}
    family = ("--base-id", str(os.getpid() * 10 + 4), "--drain-time-s", "2")
    with running("meshproxy", proxy_to(origin, port) | fixed, tmp_path / "0", *family) as old:
        flags = (*family, "--restart-epoch", "1", "--parent-shutdown-time-s", "10")
        with running("meshproxy", proxy_to(origin, port) | fixed, tmp_path / "1", *flags) as new:
            assert new.stat("server.hot_restart_epoch") == 1
            assert old.process.wait(15) == 0


def test_a_taken_admin_address_ends_the_start(tmp_path: Path, origin: Origin) -> None:
    admin = free_port()
    fixed = proxy_to(origin) | {"admin": {"address": address(admin)}}
    with (
        running("meshproxy", fixed, tmp_path / "0"),
        pytest.raises(AssertionError, match="exited with 1"),
        running("meshproxy", fixed, tmp_path / "1"),
    ):
        pass


def test_quitquitquit_ends_it_and_a_get_does_not(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy:
        host, port = proxy.admin.rsplit(":", 1)
        assert fetch(int(port), "GET", "/quitquitquit", host=host).status == 405
        assert fetch(int(port), "POST", "/quitquitquit", host=host).status == 200

        assert proxy.process.wait(10) == 0


def test_drained_listeners_leave_the_admin_endpoint(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy:
        port = proxy.port("web")
        fetch(int(proxy.admin.rsplit(":", 1)[1]), "POST", "/drain_listeners")

        until(lambda: _status(port) == 0, "nobody listens")
        assert b"DRAINING" in fetch(int(proxy.admin.rsplit(":", 1)[1]), "GET", "/ready").body


def test_a_killed_agent_is_replaced_while_traffic_flows(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy, Load(proxy.port("web")) as load:
        pid = proxy.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        (agent,) = {int(child) for child in children} - set(worker_pids(proxy))
        address_file = tmp_path / "admin-address"
        address_file.unlink()

        os.kill(agent, signal.SIGKILL)

        until(address_file.exists, "another agent")
        proxy.admin = address_file.read_text()
        until(lambda: fetch(int(proxy.admin.rsplit(":", 1)[1]), "GET", "/ready").status == 200, "ready")
        load.more()
    assert load.failures == []


def test_a_killed_arbiter_leaves_its_workers_serving(tmp_path: Path, origin: Origin) -> None:
    with running("meshproxy", proxy_to(origin), tmp_path) as proxy:
        port = proxy.port("web")
        pid = proxy.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        proxy.process.kill()
        proxy.process.wait()

        with Load(port) as load:
            load.more(100)
        fetch(int(proxy.admin.rsplit(":", 1)[1]), "POST", "/quitquitquit")

        assert load.failures == []
        until(lambda: not any(alive(int(child)) for child in children), "all have ended")


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_new_arbiter_takes_over_from_orphans_without_a_lost_request(tmp_path: Path, origin: Origin) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(running("meshproxy", proxy_to(origin, port), tmp_path / "0"))
        pid = old.process.pid
        orphans = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        load = stack.enter_context(Load(port))
        load.more()
        old.process.kill()
        old.process.wait()
        load.more()

        stack.enter_context(running("meshproxy", proxy_to(origin, port), tmp_path / "1"))

        until(lambda: not any(alive(child) for child in orphans), "the orphans have made room")
        load.more()
        assert load.failures == []


def test_access_logs_are_reopened(tmp_path: Path, origin: Origin) -> None:
    path = tmp_path / "access"
    bootstrap = proxy_to(origin)
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = [file_log(path, "%RESPONSE_CODE%\n")]
    with running("meshproxy", bootstrap, tmp_path) as proxy:
        port = proxy.port("web")
        fetch(port)
        until(lambda: path.exists() and path.read_text() == "200\n", "a line")

        path.rename(tmp_path / "access.1")
        proxy.process.send_signal(signal.SIGUSR1)

        until(lambda: fetch(port).status == 200 and path.exists() and path.read_text(), "a new file")
