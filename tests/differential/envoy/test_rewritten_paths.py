"""Made-up paths through every kind of match, rewrite and redirect: what Envoy makes of them, or none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy.test_paths import PIECES, RULES, Made, made_of, merged
from tests.integration.hostile.upstream import Upstream
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.client import Response
from tests.support.proxies import Proxy, running

pytestmark = pytest.mark.xdist_group("differential-envoy")

PATHS = 250
STARTS = ("/pp/", "/p", "/s", "/r/", "/to", "/fixed", "/secure", "/regex", "/x")


def _regex(pattern: str, substitution: str) -> dict[str, Any]:
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def _forwarded(match: dict[str, Any], **rewrite: Any) -> dict[str, Any]:
    return route(match, {"cluster": "upstream", **rewrite})


ROUTES = [
    _forwarded({"prefix": "/pp/"}, prefix_rewrite="/"),
    _forwarded({"prefix": "/p"}, prefix_rewrite="/new/q"),
    _forwarded({"path_separated_prefix": "/s"}, prefix_rewrite="/segment"),
    _forwarded({"safe_regex": {"regex": "/r/[^/]*/.*"}}, regex_rewrite=_regex("^/r/([^/]*)", "/\\1/r")),
    {"match": {"prefix": "/to"}, "redirect": {"prefix_rewrite": "/there", "host_redirect": "h.test"}},
    {"match": {"prefix": "/fixed"}, "redirect": {"path_redirect": "/one", "strip_query": True}},
    {"match": {"prefix": "/secure"}, "redirect": {"https_redirect": True}},
    {"match": {"prefix": "/regex"}, "redirect": {"regex_rewrite": _regex("^/regex(.*)$", "/y\\1")}},
    _forwarded({"path": "/x"}, prefix_rewrite="/exact"),
    _forwarded({"prefix": "/"}),
]


def paths() -> list[str]:
    """The same ones each time."""
    drawn = random.Random(11)
    return [
        drawn.choice(STARTS) + "".join(drawn.choices(PIECES, k=drawn.randint(0, 5))) for _ in range(PATHS)
    ]


@pytest.fixture(scope="module")
def proxies(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("rewritten")
    listeners = [http_listener(name, [virtual_host(*ROUTES)], **rules) for name, rules in RULES.items()]
    bootstrap = static(listeners, [cluster("upstream", upstream.port)])
    with (
        running("meshproxy", bootstrap, folder / "m") as ours,
        running("envoy", bootstrap, folder / "e") as envoy,
    ):
        yield [ours, envoy]


def outcomes(proxy: Proxy, name: str, upstream: Upstream) -> list[Made]:
    """What the upstream got, or where the client was sent."""
    upstream.requests.clear()

    def seen(answer: Response) -> str | None:
        if upstream.requests:
            _, target = upstream.requests.pop().start  # type: ignore[misc]
            return str(target)
        return answer.header("location")

    return made_of(proxy, name, paths(), seen)


def _ends_at_parameters(target: str) -> bool:
    """Whether a `path_separated_prefix` of ours takes what Envoy's does not."""
    return target.startswith("/s") and target[2:].lower().startswith((";", "\\", "%2f", "%5c", "%3b"))


@pytest.mark.parametrize("name", RULES)
def test_the_same_path_as_envoy_or_none(name: str, proxies: list[Proxy], upstream: Upstream) -> None:
    ours, envoys = (outcomes(proxy, name, upstream) for proxy in proxies)
    rows = zip(paths(), ours, envoys, strict=True)
    differing = [row for row in rows if row[1] != merged(row[2], name) and not _ends_at_parameters(row[0])]
    assert [row for row in differing if row[1].status != 400 or "normalize_path" not in RULES[name]] == []
    assert upstream.violations == []
