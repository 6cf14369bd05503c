"""The catalogue of HTTP/1 before an upstream that speaks HTTP/2: refused alike, and understood alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.integration.hostile import test_lawful, test_refused
from tests.integration.hostile.cases import Case
from tests.integration.hostile.conftest import edge_listener
from tests.integration.hostile.lawful import CLASSES, Lawful
from tests.integration.hostile.strict import Message
from tests.integration.http2.stage import http2_cluster
from tests.support.bootstrap import static
from tests.support.http2_origin import Http2Origin, Received, Step, answer
from tests.support.proxies import running

# RFC 9113 8.2.2: these concern a connection of HTTP/1. What frames a body there is a frame here.
CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"}


@dataclass
class Requests:
    """What reached the origin, in the words of HTTP/1."""

    requests: list[Message] = field(default_factory=list)

    def take(self, received: Received) -> list[Step]:
        plain = [("host" if name == ":authority" else name, value) for name, value in received.headers]
        forbidden = CONNECTION_SPECIFIC.intersection(name for name, _ in received.headers)
        assert not forbidden, f"{forbidden} in {received.headers}"
        trailers = tuple(name for name, _ in received.trailers or ())
        start = (received.method, received.target)
        self.requests.append(Message(start, tuple(_crumbs(plain)), received.body, trailers=trailers))
        return answer()


def _crumbs(fields: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Cookies may have been joined (RFC 9113 8.2.3)."""
    for name, value in fields:
        yield from ((name, crumb) for crumb in (value.split("; ") if name == "cookie" else [value]))


@dataclass(frozen=True)
class Stage:
    port: int
    upstream: Requests


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    upstream = Requests()
    with Http2Origin(script=upstream.take) as origin:
        bootstrap = static([edge_listener()], [http2_cluster("upstream", origin.port)])
        with running("meshproxy", bootstrap, tmp_path_factory.mktemp("hostile")) as proxy:
            yield Stage(proxy.port("edge"), upstream)
        assert origin.violations == []


@pytest.mark.parametrize("cases", test_refused.CLASSES.values(), ids=test_refused.CLASSES.keys())
def test_nothing_hostile_becomes_a_request(stage: Stage, cases: Sequence[Case]) -> None:
    assert [fault for case in cases if (fault := test_refused.judge(stage, case, test_refused.whole))] == []


@pytest.mark.parametrize("cases", CLASSES.values(), ids=CLASSES.keys())
def test_what_is_lawful_arrives(stage: Stage, cases: Sequence[Lawful]) -> None:
    assert [fault for case in cases if (fault := test_lawful.judge(stage, case, 0))] == []
