"""Where configuration comes from: Envoy's ConfigSource, parsed into values that can be compared and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from envoy.config.core.v3 import config_source_pb2

DEFAULT_FETCH_TIMEOUT_S = 15.0
"""How long something may wait for its first answer before it goes without."""


class InvalidSource(ValueError):
    """A ConfigSource that we cannot follow: `path` is the field at fault, from the source's root."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Ads:
    """The one aggregated stream that the bootstrap names."""


@dataclass(frozen=True, slots=True)
class File:
    """A DiscoveryResponse, YAML, JSON or binary, in a file; read again when the file is replaced."""

    path: str
    watched_directory: str = ""
    """Look here for a change instead, as where a folder of files is swapped by a symlink."""


@dataclass(frozen=True, slots=True)
class EnvoyGrpc:
    """A server that a static cluster of the bootstrap leads to."""

    cluster: str


@dataclass(frozen=True, slots=True)
class GoogleGrpc:
    """A server by gRPC's own target name."""

    target: str
    tls: bool = False
    root_certs: str = ""
    private_key: str = ""
    cert_chain: str = ""
    """Files; without root certs the system's."""


@dataclass(frozen=True, slots=True)
class Grpc:
    """A stream of its own to a management server."""

    target: EnvoyGrpc | GoogleGrpc
    delta: bool = False
    metadata: tuple[tuple[str, str], ...] = ()
    node_once: bool = False
    """Tell who we are in the first request of a stream only."""


Source: TypeAlias = Ads | File | Grpc


def parse_config_source(raw: Any) -> Source:
    """Read a `envoy.config.core.v3.ConfigSource`. Raises InvalidSource."""
    kind = raw.WhichOneof("config_source_specifier")
    match kind:
        case "ads":
            return Ads()
        case "path":
            return File(raw.path)
        case "path_config_source":
            return File(raw.path_config_source.path, raw.path_config_source.watched_directory.path)
        case "api_config_source":
            return parse_api_source(raw.api_config_source, "api_config_source")
        case None:
            raise InvalidSource("", _WANTED)
        case other:
            raise InvalidSource(other, f"is not implemented: {_WANTED}")


def parse_api_source(raw: Any, at: str) -> Grpc:
    """Read a `envoy.config.core.v3.ApiConfigSource`. Raises InvalidSource."""
    known = raw.ApiType.DESCRIPTOR.values_by_number.get(raw.api_type)
    kind = known.name if known else str(raw.api_type)
    if kind not in _GRPC_KINDS:
        raise InvalidSource(f"{at}.api_type", f"{kind} is not implemented: want {' or '.join(_GRPC_KINDS)}")
    if len(raw.grpc_services) != 1:
        raise InvalidSource(f"{at}.grpc_services", f"want exactly one, found {len(raw.grpc_services)}")
    if raw.transport_api_version not in (config_source_pb2.AUTO, config_source_pb2.V3):
        raise InvalidSource(f"{at}.transport_api_version", "want V3")
    service = raw.grpc_services[0]
    return Grpc(
        _grpc_target(service, f"{at}.grpc_services[0]"),
        delta="DELTA" in kind,
        metadata=tuple((header.key.lower(), header.value) for header in service.initial_metadata),
        node_once=raw.set_node_on_first_message_only,
    )


def _grpc_target(service: Any, at: str) -> EnvoyGrpc | GoogleGrpc:
    match service.WhichOneof("target_specifier"):
        case "envoy_grpc":
            return EnvoyGrpc(service.envoy_grpc.cluster_name)
        case "google_grpc":
            return _google_grpc(service.google_grpc, f"{at}.google_grpc")
        case _:
            raise InvalidSource(at, "want envoy_grpc or google_grpc")


def _google_grpc(raw: Any, at: str) -> GoogleGrpc:
    credentials = raw.channel_credentials
    match credentials.WhichOneof("credential_specifier"):
        case None | "local_credentials":
            return GoogleGrpc(raw.target_uri)
        case "ssl_credentials":
            ssl = credentials.ssl_credentials
            files = {}
            for field in ("root_certs", "private_key", "cert_chain"):
                source = getattr(ssl, field)
                if source.WhichOneof("specifier") not in (None, "filename"):
                    raise InvalidSource(
                        f"{at}.channel_credentials.ssl_credentials.{field}", "want a file name"
                    )
                files[field] = source.filename
            return GoogleGrpc(raw.target_uri, tls=True, **files)
        case other:
            path = f"{at}.channel_credentials.{other}"
            raise InvalidSource(path, "is not implemented: want ssl_credentials")


def fetch_timeout(raw: Any) -> float:
    """Seconds; 0 in the configuration means to wait for as long as it takes."""
    if not raw.HasField("initial_fetch_timeout"):
        return DEFAULT_FETCH_TIMEOUT_S
    seconds = raw.initial_fetch_timeout.ToTimedelta().total_seconds()
    return float(seconds) or float("inf")


_WANTED = "want ads, path_config_source or api_config_source"
_GRPC_KINDS = ("GRPC", "DELTA_GRPC", "AGGREGATED_GRPC", "AGGREGATED_DELTA_GRPC")
