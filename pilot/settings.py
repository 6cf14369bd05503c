"""Pilot's settings: read once from the command line, then passed to whoever needs a part."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshloom.runtime.address import Address, InvalidAddress


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of Pilot's own identity and of the roots of its clients; read again when they change."""

    certificate: Path
    key: Path
    roots: Path


@dataclass(frozen=True, slots=True)
class SecureSettings:
    """The mTLS port: only xDS, and only for the identity that the client's certificate proves."""

    listen: Address
    tls: TlsFiles


@dataclass(frozen=True, slots=True)
class Settings:
    """`store` is `dir` (applied objects live in `config_dir`) or `sqlite:PATH`."""

    config_dir: Path
    grpc_listen: Address
    http_listen: Address
    store: str = "dir"
    secure: SecureSettings | None = None
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    cluster_id: str = "Kubernetes"
    address_path: Path | None = None
    log_level: str = "info"

    @classmethod
    def load(cls, argv: Sequence[str]) -> Settings:
        """Ends the process with a usage message where a flag is wrong."""
        parser = _parser()
        given = parser.parse_args(argv)
        return cls(
            config_dir=given.config_dir,
            grpc_listen=given.grpc_listen,
            http_listen=given.http_listen,
            store=given.store,
            secure=_secure(parser, given),
            trust_domain=given.trust_domain,
            root_namespace=given.root_namespace,
            cluster_id=given.cluster_id,
            address_path=given.address_path,
            log_level=given.log_level,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meshloom.pilot", description="Discovery and rules of the mesh."
    )
    add = parser.add_argument
    add("--config-dir", type=Path, required=True, help="directory of YAML, watched")
    add("--store", default="dir", help="where applied objects go: dir or sqlite:PATH (default: dir)")
    add("--grpc-listen", type=_address, default="127.0.0.1:15010", help="xDS, rule API, registry; plaintext")
    add("--secure-grpc-listen", type=_address, help="xDS over mutual TLS; needs the three --tls flags")
    add("--tls-cert", type=Path, help="PEM file with Pilot's certificate chain")
    add("--tls-key", type=Path, help="PEM file with its private key")
    add("--tls-roots", type=Path, help="PEM file with the roots of client certificates")
    add("--http-listen", type=_address, default="127.0.0.1:15014", help="/metrics, /ready, /debug")
    add("--trust-domain", default="cluster.local", help="of SPIFFE identities")
    add("--root-namespace", default="istio-system", help="where mesh-wide rules live")
    add("--cluster-id", default="Kubernetes", help="the cluster's name in telemetry")
    add("--address-path", type=Path, help="file that gets the bound addresses, as JSON, once Pilot serves")
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except InvalidAddress as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _secure(parser: argparse.ArgumentParser, given: argparse.Namespace) -> SecureSettings | None:
    if given.secure_grpc_listen is None:
        return None
    if given.tls_cert is None or given.tls_key is None or given.tls_roots is None:
        parser.error("--secure-grpc-listen needs --tls-cert, --tls-key and --tls-roots")
    files = TlsFiles(given.tls_cert, given.tls_key, given.tls_roots)
    return SecureSettings(given.secure_grpc_listen, files)
