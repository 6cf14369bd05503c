"""What the demo measured, as the JSON that scripts read, and the promises it must keep."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Canary:
    firefox: dict[str, int] = field(default_factory=dict)
    """Version -> answers."""
    chrome: dict[str, int] = field(default_factory=dict)

    def broken(self) -> list[str]:
        return [
            f"canary: {browser} users got {got}, want only {version}"
            for browser, got, version in (("Firefox", self.firefox, "1.1"), ("Chrome", self.chrome, "1.0"))
            if set(got) != {version}
        ]


@dataclass(slots=True)
class Scale:
    seconds: float | None = None
    """From the apply to the first request that the last of the new copies answered."""
    shares: dict[str, int] = field(default_factory=dict)
    """Copy of 1.1 -> answers, once all serve."""
    new: list[str] = field(default_factory=list)

    def broken(self) -> list[str]:
        if self.seconds is None:
            return ["scale: the new copies got no request"]
        total = sum(self.shares.values())
        starved = [c for c in self.new if self.shares.get(c, 0) < total / len(self.shares or {"": 0}) / 4]
        return [f"scale: {copy} got {self.shares.get(copy, 0)} of {total} requests" for copy in starved]


@dataclass(slots=True)
class Failure:
    killed: str = ""
    sent: int = 0
    lost: int = 0
    ejected_after_s: float | None = None
    reasons: list[str] = field(default_factory=list)

    def broken(self) -> list[str]:
        found = (
            [f"failure: {self.lost} of {self.sent} requests were lost: {self.reasons[:3]}"]
            if self.lost
            else []
        )
        if self.ejected_after_s is None:
            found.append("failure: the killed copy stayed in the rotation")
        return found


@dataclass(slots=True)
class Rollout:
    sent: int = 0
    lost: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    """Percent asked for -> percent of requests that 1.1 answered."""
    converged_s: float | None = None
    """From the apply to the moment when the last proxy of the mesh served the new rule."""
    proxies: int = 0
    reasons: list[str] = field(default_factory=list)

    def broken(self) -> list[str]:
        found = (
            [f"rollout: {self.lost} of {self.sent} requests were lost: {self.reasons[:3]}"]
            if self.lost
            else []
        )
        for asked, most in (("0", 0.0), ("50", 14.0), ("100", 0.0)):
            if asked not in self.shares or abs(self.shares[asked] - float(asked)) > most:
                found.append(f"rollout: at {asked} % the share of 1.1 was {self.shares.get(asked)} %")
        if self.converged_s is None:
            found.append("rollout: not every proxy served the last rule")
        return found


@dataclass(slots=True)
class Identity:
    peer: dict[str, str | None] = field(default_factory=dict)
    """Service -> the identity that its caller proved."""
    expected: dict[str, str] = field(default_factory=dict)
    plaintext_refused: bool = False

    def broken(self) -> list[str]:
        found = [
            f"identity: {service} was called by {self.peer.get(service)}, want {want}"
            for service, want in self.expected.items()
            if self.peer.get(service) != want
        ]
        return found if self.plaintext_refused else [*found, "identity: a plaintext client was served"]


@dataclass(slots=True)
class Metrics:
    requests_total: int = 0
    client_total: int = 0
    error_rate: float = 0.0
    edges: list[dict[str, Any]] = field(default_factory=list)
    """One per source, destination and version: requests, error rate, p50 and p99 in milliseconds."""

    def broken(self) -> list[str]:
        if self.requests_total == self.client_total:
            return []
        return [
            f"metrics: Mixer counted {self.requests_total} requests, the clients sent {self.client_total}"
        ]


@dataclass(slots=True)
class Report:
    """The whole run."""

    canary: Canary = field(default_factory=Canary)
    scale: Scale = field(default_factory=Scale)
    failure: Failure = field(default_factory=Failure)
    rollout: Rollout = field(default_factory=Rollout)
    identity: Identity = field(default_factory=Identity)
    metrics: Metrics = field(default_factory=Metrics)
    seconds: float = 0.0

    def broken(self) -> list[str]:
        """Every promise that this run broke, in words."""
        steps = (self.canary, self.scale, self.failure, self.rollout, self.identity, self.metrics)
        return [sentence for step in steps for sentence in step.broken()]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "broken": self.broken()}
