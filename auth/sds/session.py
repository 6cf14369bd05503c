"""What one SDS stream has asked for and been sent. Pure: requests in, responses out.

Two dialects of one thing. State of the world: every response holds all secrets asked for. Delta: a response
holds those that changed, and names those that do not exist.
"""

import itertools
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from envoy.service.discovery.v3 import discovery_pb2
from meshloom.auth.sds.secrets import DEFAULT, ROOT, TYPE_URL, NamedSecret, version_of
from meshloom.runtime.log import Log

log = Log("auth.sds")

# A proxy asks for two names; a request with thousands is not from a proxy.
MAX_NAMES = 64
_KNOWN = frozenset((DEFAULT, ROOT))

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class Session(Protocol, Generic[Request, Response]):
    """One stream's memory."""

    def on_request(self, request: Request) -> None: ...

    def response(self, secrets: Mapping[str, NamedSecret]) -> Response | None:
        """What to send now, given the present secrets; None when the proxy has everything it asked for."""


class StateOfTheWorld:
    """A stream of StreamSecrets."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._sent: str | None = None
        self._nonces = itertools.count(1)
        self._nonce = ""

    def on_request(self, request: discovery_pb2.DiscoveryRequest) -> None:
        if request.response_nonce and request.response_nonce != self._nonce:
            return  # about a response that has been replaced; xDS says to ignore it
        if request.HasField("error_detail"):
            log.warning("secret_rejected", node=request.node.id, reason=request.error_detail.message)
        names = frozenset(request.resource_names[:MAX_NAMES])
        if not names <= self._names:
            self._sent = None  # a name is new on this stream, so the whole set is due again
        self._names = names

    def response(self, secrets: Mapping[str, NamedSecret]) -> discovery_pb2.DiscoveryResponse | None:
        asked = [secrets[name] for name in sorted(self._names) if name in secrets]
        version = version_of(asked)
        if not asked or version == self._sent:
            return None
        self._sent, self._nonce = version, str(next(self._nonces))
        return world(asked, self._nonce)


class Delta:
    """A stream of DeltaSecrets."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sent: dict[str, str] = {}
        self._denied: set[str] = set()
        self._nonces = itertools.count(1)
        self._started = False

    def on_request(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        if request.HasField("error_detail"):
            log.warning("secret_rejected", node=request.node.id, reason=request.error_detail.message)
        for name in request.resource_names_unsubscribe:
            self._forget(name)
        for name in request.resource_names_subscribe[:MAX_NAMES]:
            self._forget(name)  # an explicit subscription is answered even when nothing changed
            self._names.add(name)
        if not self._started:
            # What the proxy still holds from an earlier stream need not be sent again.
            self._sent = dict(request.initial_resource_versions)
            self._started = True

    def response(self, secrets: Mapping[str, NamedSecret]) -> discovery_pb2.DeltaDiscoveryResponse | None:
        due = [
            secrets[n]
            for n in sorted(self._names)
            if n in secrets and self._sent.get(n) != secrets[n].version
        ]
        missing = self._names - _KNOWN - self._denied
        if not due and not missing:
            return None
        self._sent.update({secret.name: secret.version for secret in due})
        self._denied |= missing
        return discovery_pb2.DeltaDiscoveryResponse(
            type_url=TYPE_URL,
            nonce=str(next(self._nonces)),
            system_version_info=version_of(due),
            resources=[
                discovery_pb2.Resource(name=s.name, version=s.version, resource=s.packed) for s in due
            ],
            removed_resources=sorted(missing),
        )

    def _forget(self, name: str) -> None:
        self._names.discard(name)
        self._denied.discard(name)
        self._sent.pop(name, None)


def world(secrets: list[NamedSecret], nonce: str) -> discovery_pb2.DiscoveryResponse:
    """One state-of-the-world response; also the answer to a fetch."""
    return discovery_pb2.DiscoveryResponse(
        type_url=TYPE_URL,
        version_info=version_of(secrets),
        nonce=nonce,
        resources=[secret.packed for secret in secrets],
    )
