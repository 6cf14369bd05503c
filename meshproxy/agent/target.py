"""From a GrpcService to a gRPC target: addresses and certificates of a static cluster of the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshloom.meshproxy.agent.stream import Credentials, NoTarget, Target
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import parse
from meshloom.meshproxy.resources.source import EnvoyGrpc, GoogleGrpc, Grpc

FindCluster = Callable[[str], Compiled | None]
FindSecret = Callable[[str], Compiled | None]


def find_target(source: Grpc, cluster: FindCluster, secret: FindSecret) -> Target:
    """How to reach this server now. Raises NoTarget, with what is missing."""
    match source.target:
        case GoogleGrpc() as google:
            return Target(google.target, _google_credentials(google), source.metadata)
        case EnvoyGrpc(name):
            found = cluster(name)
            if found is None:
                raise NoTarget(f"there is no cluster {name!r}")
            message = parse(found.type_url, found.body)
            return Target(_address(message), _cluster_credentials(message, secret), source.metadata)


def _address(cluster: Any) -> str:
    """The first endpoint; several of them become one target with several addresses, if they are IPs."""
    groups = cluster.load_assignment.endpoints
    endpoints = [entry.endpoint.address for group in groups for entry in group.lb_endpoints]
    pipes = [address.pipe.path for address in endpoints if address.HasField("pipe")]
    if pipes:
        return f"unix:{pipes[0]}" if not pipes[0].startswith("@") else f"unix-abstract:{pipes[0][1:]}"
    places = [(a.socket_address.address, a.socket_address.port_value) for a in endpoints]
    if not places:
        raise NoTarget(f"cluster {cluster.name!r} has no endpoint")
    if all(_is_ip(host) for host, _ in places):
        scheme = "ipv6" if ":" in places[0][0] else "ipv4"
        return f"{scheme}:" + ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in places)
    return f"dns:///{places[0][0]}:{places[0][1]}"


def _cluster_credentials(cluster: Any, secret: FindSecret) -> Credentials | None:
    if not cluster.HasField("transport_socket"):
        return None
    packed = cluster.transport_socket.typed_config
    if not packed.type_url.endswith(".UpstreamTlsContext"):
        return None  # raw_buffer; the compiler knows no third kind
    context = parse(packed.type_url, packed.value)
    common: Any = context.common_tls_context  # type: ignore[attr-defined]
    chain, key = _certificate(common, secret)
    validation = _validation(common, secret)
    names = (
        [m.matcher.exact for m in validation.match_typed_subject_alt_names if m.matcher.exact]
        if validation
        else []
    )
    return Credentials(
        root_certs=_content(validation.trusted_ca) if validation else b"",
        private_key=key,
        cert_chain=chain,
        server_name=(names or [context.sni])[0],  # type: ignore[attr-defined]
    )


def _certificate(common: Any, secret: FindSecret) -> tuple[bytes, bytes]:
    for certificate in common.tls_certificates:
        return _content(certificate.certificate_chain), _content(certificate.private_key)
    for config in common.tls_certificate_sds_secret_configs:
        certificate = _secret(config.name, secret).tls_certificate
        return _content(certificate.certificate_chain), _content(certificate.private_key)
    return b"", b""


def _validation(common: Any, secret: FindSecret) -> Any:
    match common.WhichOneof("validation_context_type"):
        case "validation_context":
            return common.validation_context
        case "validation_context_sds_secret_config":
            return _secret(common.validation_context_sds_secret_config.name, secret).validation_context
        case "combined_validation_context":
            combined = common.combined_validation_context
            name = combined.validation_context_sds_secret_config.name
            merged = type(combined.default_validation_context)()
            merged.CopyFrom(combined.default_validation_context)
            merged.MergeFrom(_secret(name, secret).validation_context)
            return merged
        case _:
            return None


def _secret(name: str, find: FindSecret) -> Any:
    found = find(name)
    if found is None:
        raise NoTarget(f"secret {name!r} has not come yet")
    return parse(found.type_url, found.body)


def _google_credentials(google: GoogleGrpc) -> Credentials | None:
    if not google.tls:
        return None
    return Credentials(_file(google.root_certs), _file(google.private_key), _file(google.cert_chain))


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise NoTarget(f"{path}: {error.strerror}") from error


def _content(source: Any) -> bytes:
    # Files were read when the resource was compiled.
    return bytes(source.inline_bytes or source.inline_string.encode())


def _is_ip(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
