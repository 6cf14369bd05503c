"""Transport sockets: mutual TLS of the mesh (identities over SDS), TLS origination, and TLS at a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import duration_pb2, struct_pb2
from meshloom.pilot.model.destination_rule import ClientTls, ClientTlsMode
from meshloom.pilot.model.gateway import ServerTls, ServerTlsMode, TlsVersion
from meshloom.pilot.translate.protos import ads, boolean, pack

SDS_CLUSTER = "sds-grpc"  # a static cluster of the proxy's bootstrap, as in Istio
IDENTITY_SECRET = "default"
ROOT_SECRET = "ROOTCA"
SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
TLS_SOCKET = "envoy.transport_sockets.tls"
# What a mesh client offers, so that a PERMISSIVE server can tell it from TLS of the application's own.
MESH_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")

_VERSIONS = {
    TlsVersion.TLS_AUTO: common_pb2.TlsParameters.TLS_AUTO,
    TlsVersion.TLSV1_0: common_pb2.TlsParameters.TLSv1_0,
    TlsVersion.TLSV1_1: common_pb2.TlsParameters.TLSv1_1,
    TlsVersion.TLSV1_2: common_pb2.TlsParameters.TLSv1_2,
    TlsVersion.TLSV1_3: common_pb2.TlsParameters.TLSv1_3,
}


def mesh_upstream(sni: str, identities: Iterable[str], http2: bool) -> base_pb2.TransportSocket:
    """Mutual TLS to a workload that must prove one of `identities` (SPIFFE IDs); none given: any of the
    mesh.
    """
    sans = [
        common_pb2.SubjectAltNameMatcher(
            san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=string_pb2.StringMatcher(exact=name)
        )
        for name in identities
    ]
    context = tls_pb2.UpstreamTlsContext(
        common_tls_context=_mesh_context(sans, ("istio", "h2") if http2 else ("istio",)), sni=sni
    )
    return _socket(context)


def mesh_downstream(trust_domains: Sequence[str], alpn: Sequence[str]) -> base_pb2.TransportSocket:
    """Mutual TLS from any workload of the trust domains."""
    sans = [
        common_pb2.SubjectAltNameMatcher(
            san_type=common_pb2.SubjectAltNameMatcher.URI,
            matcher=string_pb2.StringMatcher(prefix=f"spiffe://{domain}/"),
        )
        for domain in trust_domains
    ]
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=_mesh_context(sans, alpn), require_client_certificate=boolean(True)
    )
    return _socket(context)


def originate(tls: ClientTls, host: str, http2: bool) -> base_pb2.TransportSocket:
    """SIMPLE and MUTUAL of a DestinationRule: the server must prove `host`, or the names the rule lists."""
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
            tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
        ),
        alpn_protocols=["h2"] if http2 else [],
    )
    if tls.mode is ClientTlsMode.MUTUAL:
        _client_certificate(common, tls)
    if not tls.insecure_skip_verify:
        common.validation_context.CopyFrom(_server_check(tls, host))
    return _socket(tls_pb2.UpstreamTlsContext(common_tls_context=common, sni=tls.sni or host))


def terminate(tls: ServerTls, secret: str | None, alpn: Sequence[str]) -> base_pb2.TransportSocket:
    """SIMPLE, MUTUAL and OPTIONAL_MUTUAL of a Gateway server, from files or from the secret of that name."""
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=max(
                _VERSIONS[tls.min_protocol_version], common_pb2.TlsParameters.TLSv1_2
            ),
            tls_maximum_protocol_version=_VERSIONS[tls.max_protocol_version],
        ),
        alpn_protocols=alpn,
    )
    if secret is None:
        pairs = [(tls.server_certificate or "", tls.private_key or "")] if tls.server_certificate else []
        pairs += [(pair.server_certificate or "", pair.private_key or "") for pair in tls.tls_certificates]
        common.tls_certificates.extend(_certificate_files(chain, key) for chain, key in pairs)
    else:
        common.tls_certificate_sds_secret_configs.add(name=secret, sds_config=ads())
    asks_client = tls.mode in (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
    if asks_client:
        _client_check(common, tls, secret)
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=common,
        require_client_certificate=boolean(tls.mode is ServerTlsMode.MUTUAL),
    )
    return _socket(context)


def automatic(secure: base_pb2.TransportSocket) -> list[cluster_pb2.Cluster.TransportSocketMatch]:
    """Mutual TLS to the endpoints that announce it, plaintext to the others."""
    match = struct_pb2.Struct()
    match.update({"tlsMode": "istio"})
    plain = base_pb2.TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=pack(raw_buffer_pb2.RawBuffer())
    )
    return [
        cluster_pb2.Cluster.TransportSocketMatch(name="tlsMode-istio", match=match, transport_socket=secure),
        cluster_pb2.Cluster.TransportSocketMatch(
            name="tlsMode-disabled", match=struct_pb2.Struct(), transport_socket=plain
        ),
    ]


def _socket(context: tls_pb2.UpstreamTlsContext | tls_pb2.DownstreamTlsContext) -> base_pb2.TransportSocket:
    return base_pb2.TransportSocket(name=TLS_SOCKET, typed_config=pack(context))


def _mesh_context(
    sans: Sequence[common_pb2.SubjectAltNameMatcher], alpn: Sequence[str]
) -> tls_pb2.CommonTlsContext:
    combined = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(
            match_typed_subject_alt_names=sans
        ),
        validation_context_sds_secret_config=_mesh_secret(ROOT_SECRET),
    )
    return tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
            tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
        ),
        tls_certificate_sds_secret_configs=[_mesh_secret(IDENTITY_SECRET)],
        combined_validation_context=combined,
        alpn_protocols=alpn,
    )


def _mesh_secret(name: str) -> secret_pb2.SdsSecretConfig:
    """From the proxy's own SDS server, where the private key was made."""
    source = config_source_pb2.ApiConfigSource(
        api_type=config_source_pb2.ApiConfigSource.GRPC,
        transport_api_version=config_source_pb2.V3,
        set_node_on_first_message_only=True,
        grpc_services=[
            grpc_service_pb2.GrpcService(
                envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=SDS_CLUSTER)
            )
        ],
    )
    return secret_pb2.SdsSecretConfig(
        name=name,
        sds_config=config_source_pb2.ConfigSource(
            api_config_source=source,
            resource_api_version=config_source_pb2.V3,
            initial_fetch_timeout=duration_pb2.Duration(),
        ),
    )


def _client_certificate(common: tls_pb2.CommonTlsContext, tls: ClientTls) -> None:
    if tls.credential_name:
        common.tls_certificate_sds_secret_configs.add(name=secret_name(tls.credential_name), sds_config=ads())
    else:
        common.tls_certificates.append(
            _certificate_files(tls.client_certificate or "", tls.private_key or "")
        )


def _server_check(tls: ClientTls, host: str) -> common_pb2.CertificateValidationContext:
    names = tls.subject_alt_names or (() if host.startswith("*") else (host,))
    check = common_pb2.CertificateValidationContext(
        trusted_ca=base_pb2.DataSource(filename=tls.ca_certificates or SYSTEM_ROOTS),
        match_typed_subject_alt_names=[_named(name) for name in names],
    )
    if tls.ca_crl:
        check.crl.filename = tls.ca_crl
    return check


def _client_check(common: tls_pb2.CommonTlsContext, tls: ServerTls, secret: str | None) -> None:
    check = common_pb2.CertificateValidationContext(
        match_typed_subject_alt_names=[_named(name) for name in tls.subject_alt_names],
        verify_certificate_spki=tls.verify_certificate_spki,
        verify_certificate_hash=tls.verify_certificate_hash,
    )
    if secret is None:
        check.trusted_ca.filename = tls.ca_certificates or ""
        common.validation_context.CopyFrom(check)
        return
    common.combined_validation_context.default_validation_context.CopyFrom(check)
    roots = common.combined_validation_context.validation_context_sds_secret_config
    roots.name = f"{secret}-cacert"
    roots.sds_config.CopyFrom(ads())


def _named(name: str) -> common_pb2.SubjectAltNameMatcher:
    if name.startswith("spiffe://"):
        return common_pb2.SubjectAltNameMatcher(
            san_type=common_pb2.SubjectAltNameMatcher.URI, matcher=string_pb2.StringMatcher(exact=name)
        )
    if name.startswith("*."):
        return common_pb2.SubjectAltNameMatcher(
            san_type=common_pb2.SubjectAltNameMatcher.DNS, matcher=string_pb2.StringMatcher(suffix=name[1:])
        )
    return common_pb2.SubjectAltNameMatcher(
        san_type=common_pb2.SubjectAltNameMatcher.DNS, matcher=string_pb2.StringMatcher(exact=name)
    )


def _certificate_files(chain: str, key: str) -> common_pb2.TlsCertificate:
    return common_pb2.TlsCertificate(
        certificate_chain=base_pb2.DataSource(filename=chain), private_key=base_pb2.DataSource(filename=key)
    )


def secret_name(credential: str) -> str:
    """The name under which Pilot serves a Kubernetes secret."""
    return f"kubernetes://{credential}"
