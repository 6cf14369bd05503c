"""The CA's own metrics and its readiness, over HTTP for Prometheus and for supervisors."""

from collections.abc import Callable

from meshloom.runtime.http import Answer, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest


class Counters:
    """Every metric of the CA: name, unit, help and labels in one place."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._issued = Counter(
            "meshloom_auth_certificates_issued_total", "Certificates signed.", registry=self.registry
        )
        self._refused = Counter(
            "meshloom_auth_certificates_refused_total",
            "Requests refused, by the kind of reason.",
            ["reason"],
            registry=self.registry,
        )
        self._ca_expiry = Gauge(
            "meshloom_auth_ca_expiry_seconds",
            "Unix time at which the signing CA expires.",
            registry=self.registry,
        )

    def issued(self) -> None:
        self._issued.inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def ca_expires(self, unix_seconds: float) -> None:
        self._ca_expiry.set(unix_seconds)


def status_page(counters: Counters, ready: Callable[[], bool]) -> Answer:
    """GET /metrics and /ready."""

    async def answer(request: Request) -> Response:
        match (request.method, request.path):
            case ("GET", "/metrics"):
                return Response(generate_latest(counters.registry), content_type=CONTENT_TYPE_LATEST)
            case ("GET", "/ready") if ready():
                return Response(b"ready\n")
            case ("GET", "/ready"):
                return Response(b"no usable signing certificate\n", 503)
        return Response(b"GET /metrics or /ready\n", 404)

    return answer
