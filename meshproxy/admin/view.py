"""What the admin pages look at: the agent and the regions, and a few things worked out from them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from meshloom.fastpath.telemetry import Kind, Region
from meshloom.fastpath.totals import Totals
from meshloom.meshproxy.admin.stats import Sample
from meshloom.meshproxy.agent.agent import Agent
from meshloom.meshproxy.resources.protos import CLUSTER, LISTENER, SECRET, parse
from meshloom.meshproxy.resources.references import parts

TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext"


@dataclass(slots=True)
class View:
    agent: Agent
    totals: Totals
    started: float = field(default_factory=time.monotonic)
    health_failed: bool = False
    """By POST /healthcheck/fail."""
    forgotten: dict[int, int] = field(default_factory=dict)
    """What counters of the workers had counted when they were reset last, by their number."""

    @classmethod
    def of(cls, agent: Agent, regions: list[Region]) -> View:
        totals = Totals()
        for slot, region in enumerate(regions):
            totals.attach(slot, region)
        return cls(agent, totals)

    @property
    def state(self) -> str:
        """Envoy's names: LIVE, DRAINING, PRE_INITIALIZING, INITIALIZING."""
        fleet = self.agent.fleet
        if fleet.draining or self.health_failed:
            return "DRAINING"
        if not self.agent.settled:
            return "PRE_INITIALIZING"
        return "LIVE" if self.agent.live and fleet.serving else "INITIALIZING"

    @property
    def connected(self) -> bool:
        """Whether every management server that is asked is there."""
        streams = self.agent.streams()
        return bool(streams) and all(stream.stats.connected for stream in streams)

    def worker_stats(self) -> Iterator[Sample]:
        """What the workers count, summed over them, as of now."""
        self.totals.poll()
        for number, series in enumerate(self.totals.series):
            value = self.totals.value(number)
            if isinstance(value, int) and (before := self.forgotten.get(number)):
                value -= before
            yield Sample(series, value)

    def reset_counters(self) -> None:
        """Count from zero, in these pages: whoever scrapes elsewhere goes on as before."""
        self.totals.poll()
        for number, series in enumerate(self.totals.series):
            value = self.totals.value(number)
            if series.kind is Kind.COUNTER and isinstance(value, int):
                self.forgotten[number] = value

    def wall_time(self, since: float) -> float:
        """A time of the agent's clock as seconds since 1970."""
        return time.time() - (self.agent.clock() - since)

    def certificates(self) -> Iterator[tuple[str, str, bytes]]:
        """Secret, listener or cluster; `ca_cert` or `cert_chain`; and PEM."""
        published = self.agent.store.published
        for name, resource in published[SECRET].items():
            secret: Any = parse(SECRET, resource.body)
            if secret.HasField("tls_certificate"):
                yield name, "cert_chain", _content(secret.tls_certificate.certificate_chain)
            if secret.HasField("validation_context"):
                yield name, "ca_cert", _content(secret.validation_context.trusted_ca)
        for resource in (*published[LISTENER].values(), *published[CLUSTER].values()):
            for context in parts(resource.type_url, resource.body, TLS_CONTEXT):
                for certificate in context.tls_certificates:
                    yield resource.name, "cert_chain", _content(certificate.certificate_chain)
                if context.validation_context.trusted_ca.ByteSize():
                    yield resource.name, "ca_cert", _content(context.validation_context.trusted_ca)

    def days_until_expiry(self) -> int:
        """Of the first certificate to expire; -1 without one, so that nobody alarms."""
        pems = [pem for _, kind, pem in self.certificates() if kind == "cert_chain" and pem]
        if not pems:
            return -1
        from meshloom.meshproxy.admin.certs import read_chain

        return min(cert.days_left for pem in pems for cert in read_chain(pem)[:1])


def _content(source: Any) -> bytes:
    return bytes(source.inline_bytes or source.inline_string.encode())
