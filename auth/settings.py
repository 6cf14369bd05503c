"""Auth's settings: command line flags, read once."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from meshloom.auth.ca.authority import MAX_TTL
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.ca.plugged import PluggedFiles
from meshloom.runtime.address import Address
from meshloom.runtime.duration import parse_duration


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a CA is told at its start."""

    state_dir: Path
    """Own root, its key and the key of registration tokens. Whoever reads it can be anybody in the mesh."""
    grpc_listen: Address
    mtls_grpc_listen: Address
    http_listen: Address
    trust_domain: str
    root_namespace: str
    workload_cert_ttl: timedelta
    """Life of an SVID when the workload does not ask for another: shorter is safer, and more signing."""
    root_overlap: timedelta
    """How long old and new root are both trusted at each step of a rotation; at least the longest SVID's
    life."""
    key_type: KeyType
    plugged: PluggedFiles | None
    address_path: Path | None
    log_level: str

    @classmethod
    def load(cls, argv: Sequence[str]) -> "Settings":
        """Exits with code 2 and a message when a flag is wrong."""
        parser = _parser()
        args = parser.parse_args(argv)
        try:
            ttl = parse_duration(args.workload_cert_ttl)
            overlap = (
                parse_duration(args.root_overlap) if args.root_overlap else max(ttl, timedelta(hours=24))
            )
            listen = [Address.parse(a) for a in (args.grpc_listen, args.mtls_grpc_listen, args.http_listen)]
            if not timedelta(0) < ttl <= MAX_TTL:
                raise ValueError(
                    f"--workload-cert-ttl {args.workload_cert_ttl}: want more than 0 and at most {MAX_TTL}"
                )
            if overlap < ttl:
                raise ValueError("--root-overlap is shorter than --workload-cert-ttl: peers would lose trust")
            plugged = _plugged(args)
        except ValueError as error:
            parser.error(str(error))
        return cls(
            state_dir=args.state_dir,
            grpc_listen=listen[0],
            mtls_grpc_listen=listen[1],
            http_listen=listen[2],
            trust_domain=args.trust_domain,
            root_namespace=args.root_namespace,
            workload_cert_ttl=ttl,
            root_overlap=overlap,
            key_type=KeyType(args.ca_key_type),
            plugged=plugged,
            address_path=args.address_path,
            log_level=args.log_level,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meshloom.auth",
        description="The mesh's certificate authority. SIGUSR1 starts a rotation of its own root.",
    )
    option = parser.add_argument
    option("--state-dir", type=Path, required=True, help="keys and root; made on first start")
    option("--grpc-listen", default="127.0.0.1:8060", help="CSR with a registration token (TLS)")
    option("--mtls-grpc-listen", default="127.0.0.1:0", help="CSR with the current certificate (mutual TLS)")
    option("--http-listen", default="127.0.0.1:0", help="/metrics and /ready")
    option("--trust-domain", default="cluster.local")
    option("--root-namespace", default="istio-system")
    option("--workload-cert-ttl", default="24h", help="life of a certificate, at most 90 days")
    option(
        "--root-overlap",
        default="",
        help="length of each step of a root rotation (default: the longest life)",
    )
    option("--ca-key-type", default=KeyType.P256.value, choices=[k.value for k in KeyType])
    option(
        "--ca-cert", type=Path, help="plugged-in intermediate certificate (all of the next three go with it)"
    )
    option("--ca-key", type=Path)
    option("--root-cert", type=Path)
    option("--cert-chain", type=Path)
    option("--address-path", type=Path, help="write the bound addresses here (JSON) once serving")
    option("--log-level", default="info")
    return parser


def _plugged(args: argparse.Namespace) -> PluggedFiles | None:
    given = [args.ca_cert, args.ca_key, args.root_cert]
    if not any([*given, args.cert_chain]):
        return None
    if not all(given):
        raise ValueError(
            "a plugged-in CA needs --ca-cert, --ca-key and --root-cert together (--cert-chain if any)"
        )
    return PluggedFiles(args.ca_cert, args.ca_key, args.root_cert, args.cert_chain)
