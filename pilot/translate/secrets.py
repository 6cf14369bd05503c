"""Certificates that a gateway terminates TLS with: Kubernetes secrets in its own namespace (GW-03)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2
from meshloom.pilot.model.base import MeshObject, Namespace
from meshloom.pilot.model.kubernetes import Secret
from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.translate.resource import Resource, TypeUrl
from meshloom.pilot.translate.tls import secret_name

# Opaque secrets have the short names, kubernetes.io/tls ones the dotted names.
_CHAIN, _KEY, _ROOTS = ("tls.crt", "cert"), ("tls.key", "key"), ("ca.crt", "cacert")
_ROOTS_SUFFIX = "-cacert"


def gateway_secrets(model: MeshModel, namespace: Namespace) -> Iterator[Resource]:
    """Every secret of `namespace` that holds a certificate, and the roots beside it or in `<name>-cacert`."""
    for key, secret in model.secrets.items():
        if key.namespace != namespace:
            continue
        held = _decoded(secret)
        chain, private = _first(held, _CHAIN), _first(held, _KEY)
        if chain and private:
            yield _certificate(secret_name(key.name), chain, private)
        roots = _first(held, _ROOTS)
        if roots:
            owner = key.name.removesuffix(_ROOTS_SUFFIX)
            yield _validation(secret_name(owner) + _ROOTS_SUFFIX, roots)


def _decoded(secret: MeshObject[Secret]) -> Mapping[str, bytes]:
    plain = {name: text.encode() for name, text in secret.spec.string_data.items()}
    return {name: base64.b64decode(text) for name, text in secret.spec.data.items()} | plain


def _first(held: Mapping[str, bytes], keys: tuple[str, ...]) -> bytes | None:
    return next((held[key] for key in keys if held.get(key)), None)


def _certificate(name: str, chain: bytes, private: bytes) -> Resource:
    made = secret_pb2.Secret(name=name, tls_certificate=common_pb2.TlsCertificate())
    made.tls_certificate.certificate_chain.inline_bytes = chain
    made.tls_certificate.private_key.inline_bytes = private
    return Resource.of(name, TypeUrl.SECRET, made)


def _validation(name: str, roots: bytes) -> Resource:
    made = secret_pb2.Secret(name=name)
    made.validation_context.trusted_ca.inline_bytes = roots
    return Resource.of(name, TypeUrl.SECRET, made)
