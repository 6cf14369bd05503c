"""What can be seen of one request: the answer, and what the upstream was sent, less what chance decides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.differential.envoy.cases import Ask
from tests.support.client import Response, fetch
from tests.support.origin import Origin, Received

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# Present or absent is what counts; the value is the moment's.
VOLATILE = {"date", "x-envoy-upstream-service-time"}
# Several lines of these mean what one line with all values means (RFC 9110 5.3); Envoy passes on one.
LISTS = {"x-forwarded-for"}
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Seen:
    """The outcome of one request through one proxy."""

    status: int
    headers: Headers
    body: bytes
    upstream: tuple[tuple[str, str, Headers, bytes], ...]


def settle(headers: Headers, ports: dict[str, str]) -> Headers:
    """Lower-case names in order of name, chance values replaced; values of one name keep their order."""
    kept = []
    for name, value in headers:
        plain = "<moment>" if name.lower() in VOLATILE else UUID.sub("<uuid>", value)
        if name.lower() == "x-envoy-expected-rq-timeout-ms" and 14_000 < int(value) <= 15_000:
            plain = "<less than 15000>"  # another attempt, some time later
        if name.lower() == "x-forwarded-port":
            plain = ports.get(value, value)
        for port, word in ports.items():
            plain = plain.replace(f":{port}", f":{word}")
        kept.append((name.lower(), plain))
    for name in LISTS.intersection(name for name, _ in kept):
        joined = ",".join(value for key, value in kept if key == name)
        kept = [*(header for header in kept if header[0] != name), (name, joined)]
    return tuple(sorted(kept, key=lambda header: header[0]))


def observe(port: int, host: str, ask: Ask, origins: tuple[Origin, ...]) -> Seen:
    ports = {str(port): "<listener>"}
    before = [len(origin.received) for origin in origins]
    got: Response = fetch(port, ask.method, ask.target, *ask.headers, body=ask.body, host=ask.host or host)
    sent: list[Received] = [r for origin, n in zip(origins, before, strict=True) for r in origin.received[n:]]
    upstream = tuple((r.method, r.target, settle(r.headers, ports), r.body) for r in sent)
    return Seen(got.status, settle(got.headers, ports), got.body, upstream)
