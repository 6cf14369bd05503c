"""The same rules, the same requests: the real Envoy and our own proxy decide alike, and as Istio has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from meshloom.pilot.model.outbound_ports import HTTP_PROXY_PORT
from yarl import URL

from tests.peers.bookinfo import platform, rules, running_bookinfo
from tests.peers.proxy import Node, Run, pod_ip, running_proxy
from tests.support.pilot import running_pilot
from tests.support.proxies import KINDS, Kind
from tests.support.wait import until_async

RULES = Path(__file__).with_name("decisions.yaml")
# What an upstream sees of a request, and a client of a response, that rules decide.
SEEN = ("host", "x-rule", "x-added", "x-removed", "x-envoy-original-path", "x-forwarded-proto")
TOLD = ("location", "x-response", "content-type")


@dataclass(frozen=True)
class Ask:
    """One request; `host` is reviews:9080 unless the point is another one."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str = "reviews:9080"


@dataclass(frozen=True)
class Outcome:
    """What was decided. `path` and `seen` are from the upstream; empty where none was asked."""

    status: int
    served_by: str
    path: str
    seen: Mapping[str, str]
    told: Mapping[str, str]
    body: str


# Request, expected status, and who serves it (or where a redirect leads).
CASES: Mapping[str, tuple[Ask, int, str]] = {
    "exact": (Ask("/exact"), 200, "reviews-v1"),
    "exact with a query": (Ask("/exact?a=b"), 200, "reviews-v1"),
    "any case": (Ask("/aNY-casE/x"), 200, "reviews-v1"),
    "regex, whole path": (Ask("/rx/abc"), 200, "reviews-v1"),
    "method": (Ask("/", "DELETE"), 200, "reviews-v2"),
    "method by regex": (Ask("/method", "PUT"), 200, "reviews-v2"),
    "canary": (Ask("/", headers={"user-agent": "Mozilla/5.0 Firefox/1"}), 200, "reviews-v2"),
    "part of a regex is no match": (Ask("/", headers={"user-agent": "firefox"}), 200, "reviews-v1"),
    "both headers": (Ask("/", headers={"X-EXACT": "a", "x-prefix": "bcd"}), 200, "reviews-v2"),
    "one of two headers": (Ask("/", headers={"x-exact": "a"}), 200, "reviews-v1"),
    "present": (Ask("/", headers={"x-present": ""}), 200, "reviews-v2"),
    "present, another value": (Ask("/", headers={"x-present": "1", "x-not": "there"}), 200, "reviews-v2"),
    "present, but": (Ask("/", headers={"x-present": "1", "x-not": "here"}), 200, "reviews-v1"),
    "present, but never": (Ask("/", headers={"x-present": "1", "x-never": "x"}), 200, "reviews-v1"),
    "query without value": (Ask("/?q"), 200, "reviews-v3"),
    "query, empty": (Ask("/?q="), 200, "reviews-v3"),
    "query, other value": (Ask("/?q=x"), 200, "reviews-v1"),
    "query regex and presence": (Ask("/?there&q=12"), 200, "reviews-v3"),
    "authority": (Ask("/authority", host="reviews.default:9080"), 200, "reviews-v3"),
    "other authority": (Ask("/authority"), 200, "reviews-v1"),
    "host in capitals": (Ask("/exact", host="REVIEWS.Default:9080"), 200, "reviews-v1"),
    "rewrite": (Ask("/foo/bar?x=y"), 200, "reviews-v1"),
    "rewrite inside a word": (Ask("/foobar"), 200, "reviews-v1"),
    "rewrite of an exact path": (Ask("/old?k=v"), 200, "reviews-v1"),
    "rewrite by regex": (Ask("/swap/one/two?k=v"), 200, "reviews-v1"),
    "redirect": (Ask("/redirect/x?k=v"), 307, "http://elsewhere.example/there?k=v"),
    "redirect of a prefix": (Ask("/r/a?k=v"), 301, "https://reviews:9080/z/a?k=v"),
    "redirect to a port": (Ask("/port"), 301, "http://reviews:8443/port"),
    "redirect to the port asked": (Ask("/request-port"), 301, "http://elsewhere.example:9080/request-port"),
    "direct response": (Ask("/direct"), 418, ""),
    "header operations": (
        Ask("/operations", headers={"x-removed": "1", "x-added": "one"}),
        200,
        "reviews-v1",
    ),
    "weighted operations": (Ask("/weighted"), 200, "reviews-v2"),
    "unknown subset": (Ask("/unknown-subset"), 503, ""),
    "unknown host": (Ask("/unknown-host"), 503, ""),
    "abort": (Ask("/abort"), 555, ""),
    "timeout": (Ask("/slow"), 504, ""),
    "no percentage, no fault": (Ask("/spared"), 200, "reviews-v1"),
    "rule for another port": (Ask("/never"), 200, "reviews-v1"),
    "after the catch-all": (Ask("/never-reached"), 200, "reviews-v1"),
    "dot segments": (Ask("/a/../exact"), 200, "reviews-v1"),
    "unmatched host": (Ask("/", host="nowhere.example"), 502, ""),
}


@dataclass
class Both:
    ips: Mapping[Kind, str]
    client: aiohttp.ClientSession

    async def ask(self, kind: Kind, ask: Ask) -> Outcome:
        url = f"http://{self.ips[kind]}:{HTTP_PROXY_PORT}"
        request = self.client.request(
            ask.method,
            URL(url + ask.path, encoded=True),
            headers={"host": ask.host, **ask.headers},
            allow_redirects=False,
        )
        async with request as answer:
            upstream = await answer.json() if answer.content_type == "application/json" else {}
            headers = upstream.get("headers", {})
            return Outcome(
                status=answer.status,
                served_by=upstream.get("served_by", ""),
                path=upstream.get("path", ""),
                seen={name: headers[name] for name in SEEN if name in headers},
                told={name: ",".join(answer.headers.getall(name)) for name in TOLD if name in answer.headers},
                body="" if upstream else await answer.text(),
            )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    ips: dict[Kind, str] = {}
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(running_pilot())
        app = await stack.enter_async_context(running_bookinfo())
        client = await stack.enter_async_context(aiohttp.ClientSession())
        await mesh.run(app.workloads.values())
        await mesh.apply(platform(), rules("destination-rule-all"), RULES.read_text())
        for kind in KINDS:
            ips[kind] = pod_ip()
            node = Node("sidecar", ips[kind], kind, "default", {"MESHLOOM_MESH_TLS": "false"})
            folder = tmp_path_factory.mktemp(kind)
            await stack.enter_async_context(running_proxy(node, mesh.port, folder, Run(kind)))
        found = Both(ips, client)

        async def serving() -> bool:
            return (await found.ask("meshproxy", Ask("/exact"))).status == 200

        await until_async(serving, "routes in force")
        assert mesh.refusals() == []
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES)
async def test_both_decide_alike(both: Both, name: str) -> None:
    ask, status, leads_to = CASES[name]
    envoy, ours = await asyncio.gather(*(both.ask(kind, ask) for kind in ("envoy", "meshproxy")))

    assert envoy.status == status
    assert leads_to in (envoy.served_by, envoy.told.get("location", ""))
    assert ours == envoy
