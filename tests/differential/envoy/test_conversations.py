"""meshproxy holds connections as the real Envoy does: framing, ends, limits, timeouts, access logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.differential.envoy import differences
from tests.differential.envoy.conversations import CONVERSATIONS, Conversation
from tests.differential.envoy.logs import both
from tests.differential.envoy.observe import Headers, settle
from tests.differential.envoy.origins import hasty, scripted
from tests.differential.envoy.talk import Heard, talk
from tests.support.bootstrap import cluster, file_log, http_listener, static, virtual_host
from tests.support.origin import Origin
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

LOG = (
    "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
    "%BYTES_RECEIVED% %BYTES_SENT%\n"
)


@dataclass(frozen=True)
class Held:
    """What there is to see of one conversation."""

    heard: list[Heard | None]
    ended: bool
    upstream: list[tuple[str, str, Headers, bytes]]

    @property
    def statuses(self) -> tuple[int, ...]:
        return tuple(answer.status for answer in self.heard if answer)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(scripted("origin"), early=hasty) as one:
        yield one


@pytest.fixture(scope="module")
def proxies(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("conversations")

    def bootstrap(kind: str) -> dict[str, object]:
        listeners = []
        for case in CONVERSATIONS:
            log = file_log(folder / f"{kind}.log", f"{case.name} {LOG}")
            hosts = [virtual_host(*case.routes)]
            # A client that does not close at once is not to hold up the tests.
            manager = {"delayed_close_timeout": "0.1s", **case.manager}
            listeners.append(http_listener(case.name, hosts, access_log=[log], **manager))
        return static(listeners, [cluster("origin", origin.port)])

    with side_by_side(bootstrap, folder) as pair:
        yield pair


def hold(proxy: Proxy, case: Conversation, origin: Origin) -> Held:
    before = len(origin.received)
    heard, ended = talk(proxy.port(case.name), case.steps, ends=case.ends)
    upstream = [(r.method, r.target, settle(r.headers, {}), r.body) for r in origin.received[before:]]
    return Held(heard, ended, upstream)


@pytest.mark.parametrize("case", CONVERSATIONS, ids=lambda case: case.name)
def test_same_conversation_as_envoy(case: Conversation, proxies: list[Proxy], origin: Origin) -> None:
    ours, envoys = (hold(proxy, case, origin) for proxy in proxies)
    if stricter := differences.CONVERSATIONS.get(case.name):
        assert ours.statuses == stricter.statuses
        assert ours != envoys, "no difference any more: drop its entry"
    else:
        assert ours == envoys


def test_same_access_log_as_envoy(proxies: list[Proxy]) -> None:
    """Runs after the conversations: what both wrote down of them is equal."""
    ours, envoys = both(proxies[0].folder.parent, len(CONVERSATIONS))
    assert ours == envoys
