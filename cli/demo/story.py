"""The six steps. Each does one thing to the running shop, watches what the users see, and writes it down."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.cli.demo.load import CHROME, FIREFOX, Client, Outcome, Tally, Target, Users, versions
from meshloom.cli.demo.prometheus import edges, rows
from meshloom.cli.demo.report import Report
from meshloom.cli.demo.screen import Screen
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.bootstrap import ADMIN_PORT
from meshloom.cli.local.http import get
from meshloom.cli.local.mesh import LocalMesh
from meshloom.cli.local.workload import Copy

NAMESPACE = "shop"
GATEWAY_PORT = 80
HTTP_PROXY_PORT = 15002


class Story:
    """One run of the demo over a mesh that has settled."""

    def __init__(self, mesh: LocalMesh, example: Path, screen: Screen, rate: float) -> None:
        if mesh.gateway is None:
            raise CliError(f"{example}/meshloom.yaml describes no gateway", Exit.REFUSED)
        self._mesh, self._example, self._screen, self._rate = mesh, example, screen, rate
        self._gateway = mesh.gateway
        self._door = Target(mesh.gateway.address(GATEWAY_PORT))
        self._tally = Tally()
        self._users = Users(self._door, self._tally)
        self._rules = config_pb2_grpc.ConfigServiceStub(mesh.around.channel)  # type: ignore[no-untyped-call]
        self.report = Report()

    async def tell(self) -> Report:
        steps: Sequence[tuple[str, Callable[[], Awaitable[None]]]] = (
            ("canary", self._canary),
            ("scale", self._scale),
            ("failure", self._failure),
            ("rollout", self._rollout),
            ("identity", self._identity),
            ("metrics", self._metrics),
        )
        await self._open()
        for name, step in steps:
            with self._screen.step(name):
                await step()
            self._screen.result(name, self.report)
        return self.report

    async def _open(self) -> None:
        """The shop is open when a request has gone all the way to mail-sender and back."""
        deadline = time.monotonic() + 30
        while True:
            outcome = (await self._users.ask(CHROME, 1))[0]
            if not outcome.lost:
                return
            if time.monotonic() > deadline:
                raise CliError(f"the shop does not open: {outcome.status} {outcome.failure}", Exit.REFUSED)
            await asyncio.sleep(0.1)

    async def _canary(self) -> None:
        await self._apply(self._example / "rules" / "canary.yaml")
        await self._serves(self._door, "canary")
        firefox, chrome = await asyncio.gather(self._users.ask(FIREFOX, 60), self._users.ask(CHROME, 60))
        self.report.canary.firefox, self.report.canary.chrome = versions(firefox), versions(chrome)

    async def _scale(self) -> None:
        scale, before = self.report.scale, set(self._mesh.copies)
        text = (self._example / "config" / "storefront.yaml").read_text()
        deployments = [part for part in text.split("\n---\n") if "name: storefront-v1-1" in part]
        started = time.monotonic()
        await self._apply_text(
            deployments[0].replace("replicas: 2", "replicas: 4"), "storefront.yaml, 4 replicas"
        )
        served: dict[str, float] = {}
        while len(served) < 2 and time.monotonic() - started < 60:
            for outcome in await self._users.ask(FIREFOX, 8):
                copy = str(outcome.answer.get("copy", ""))
                if copy and copy not in before:
                    served.setdefault(copy, outcome.at + outcome.seconds - started)
        scale.new = sorted(served)
        scale.seconds = round(max(served.values()), 3) if len(served) >= 2 else None
        scale.shares = _copies(await self._users.ask(FIREFOX, 120))

    async def _failure(self) -> None:
        failure = self.report.failure
        victim = random.choice([c for c in self._mesh.ready() if c.spec.owner == "storefront-v1-0"])
        began = time.monotonic()
        async with self._users.load(CHROME, self._rate):
            await asyncio.sleep(1.5)
            if await self._in_rotation(victim):
                victim.kill()
                failure.ejected_after_s = await self._left_rotation(victim, time.monotonic())
            await asyncio.sleep(2.5)
        outcomes = self._tally.since(began)
        failure.killed, failure.sent = victim.name, len(outcomes)
        failure.lost, failure.reasons = _lost(outcomes)

    async def _left_rotation(self, victim: Copy, since: float) -> float | None:
        """Asks the gateway for its endpoints until the victim is not among them."""
        while time.monotonic() - since < 15:
            if not await self._in_rotation(victim):
                return round(time.monotonic() - since, 3)
            await asyncio.sleep(0.01)
        return None

    async def _in_rotation(self, copy: Copy) -> bool:
        _, body = await get(f"{self._gateway.node.ip}:{ADMIN_PORT}", "/clusters")
        return f"::{copy.ip}:".encode() in body

    async def _rollout(self) -> None:
        rollout = self.report.rollout
        began = time.monotonic()
        async with self._users.load(CHROME, self._rate):
            for percent in (0, 50, 100):
                applied = time.monotonic()
                await self._apply(self._example / "rules" / f"rollout-{percent}.yaml")
                converged = await self._everywhere(f"rollout-{percent}")
                if percent == 100:
                    rollout.converged_s = None if converged is None else round(converged - applied, 3)
                start = time.monotonic()
                await self._users.ask(CHROME, 250 if percent == 50 else 60)
                counts = versions(self._tally.since(start))
                total = sum(counts.values()) or 1
                rollout.shares[str(percent)] = round(100 * counts.get("1.1", 0) / total, 1)
        outcomes = self._tally.since(began)
        rollout.sent, rollout.proxies = len(outcomes), len(self._mesh.ready()) + 1
        rollout.lost, rollout.reasons = _lost(outcomes)

    async def _everywhere(self, rule: str) -> float | None:
        """The moment at which the last proxy sent a request by that rule; None when one never does.

        Each sidecar is asked through its own http_proxy listener, the gateway at its door: what counts is
        what a proxy does with a request, not what it has acknowledged.
        """
        through = [
            Target(f"{copy.ip}:{HTTP_PROXY_PORT}", "http://storefront/version", "storefront")
            for copy in self._mesh.ready()
        ]
        asked = [self._serves(target, rule) for target in (self._door, *through)]
        moments = await asyncio.gather(*asked, return_exceptions=True)
        found = [moment for moment in moments if isinstance(moment, float)]
        return max(found) if len(found) == len(moments) else None

    async def _serves(self, target: Target, rule: str) -> float:
        """Asks until a request is routed by `rule`, and returns that moment; raises TimeoutError after 20
        s."""
        client = Client(target)
        try:
            async with asyncio.timeout(20):
                while True:
                    outcome = await client.get(CHROME)
                    if target is self._door:
                        self._tally.outcomes.append(outcome)
                    if outcome.rule == rule:
                        return outcome.at + outcome.seconds
                    await asyncio.sleep(0.02)
        finally:
            client.close()

    async def _identity(self) -> None:
        identity = self.report.identity
        domain = self._mesh.around.identities.trust_domain
        accounts = f"spiffe://{domain}/ns/{NAMESPACE}/sa/"
        identity.expected = {
            "storefront": f"spiffe://{domain}/ns/istio-system/sa/{self._gateway.node.service_account}",
            "orders": f"{accounts}storefront",
            "mail-generator": f"{accounts}orders",
            "mail-sender": f"{accounts}mail-generator",
        }
        answer: object = (await self._users.ask(CHROME, 1))[0].answer
        while isinstance(answer, dict) and "service" in answer:
            identity.peer[str(answer["service"])] = answer.get("caller")
            answer = next((v for v in answer.values() if isinstance(v, dict)), None)
        orders = next(copy for copy in self._mesh.ready() if copy.spec.owner == "orders")
        plain = await Client(Target(f"{orders.ip}:{orders.spec.ports[0]}", "/orders", "orders")).get(CHROME)
        identity.plaintext_refused = plain.status == 0 and "Refused" not in plain.failure

    async def _metrics(self) -> None:
        metrics, source = self.report.metrics, self._gateway.node.owner
        metrics.client_total = len(self._tally.outcomes)
        deadline = time.monotonic() + 15
        while True:
            _, body = await get(self._mesh.plane.mixer.at("http"), "/metrics")
            found = edges(body.decode())
            mine = [edge for (who, _, _), edge in found.items() if who == source]
            metrics.requests_total = int(sum(edge.requests for edge in mine))
            if metrics.requests_total >= metrics.client_total or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        metrics.edges = rows(found)
        failed = sum(edge.errors for edge in mine)
        metrics.error_rate = round(failed / metrics.requests_total, 4) if metrics.requests_total else 0.0

    async def _apply(self, path: Path) -> None:
        await self._apply_text(path.read_text(), path.name)

    async def _apply_text(self, documents: str, source: str) -> None:
        request = config_pb2.ApplyRequest(documents=documents, source=source, default_namespace=NAMESPACE)
        response = await self._rules.Apply(request, timeout=10)
        for diagnostic in response.diagnostics:
            if diagnostic.severity == config_pb2.Diagnostic.ERROR:
                place = f"{diagnostic.source}:{diagnostic.line}: {diagnostic.path}"
                raise CliError(f"{place}: {diagnostic.message}", Exit.REFUSED, diagnostic.hint)


def _lost(outcomes: Sequence[Outcome]) -> tuple[int, list[str]]:
    lost = [f"{o.status} {o.failure}".strip() for o in outcomes if o.lost]
    return len(lost), sorted(set(lost))[:5]


def _copies(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        if not outcome.lost:
            name = str(outcome.answer.get("copy", ""))
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
