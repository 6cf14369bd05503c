"""Mixer's flags, read once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from meshloom.mixer.collect.ledger import Limits
from meshloom.runtime.address import Address, InvalidAddress
from meshloom.runtime.duration import parse_duration
from meshloom.runtime.log import LEVELS


@dataclass(frozen=True, slots=True)
class Settings:
    """How one Mixer runs."""

    grpc_listen: Address
    """Where proxies report."""
    http_listen: Address
    """Where Prometheus scrapes: /metrics, /ready."""
    address_path: Path | None = None
    series_per_metric: int = 50_000
    """Budget of one metric; more is counted as `other`. A histogram series is 22 lines of a scrape."""
    limits: Limits = field(default_factory=Limits)
    log_level: str = "info"

    @classmethod
    def load(cls, argv: Sequence[str]) -> Self:
        """Parse the command line; a flag that cannot be right ends the program with its reason."""
        flags = _parser().parse_args(argv)
        return cls(
            flags.grpc_listen,
            flags.http_listen,
            flags.address_path,
            flags.series_per_metric,
            Limits(retention=flags.retention),
            flags.log_level,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("meshloom-mixer", description="Takes in what proxies count; shows it.")
    parser.add_argument("--grpc-listen", type=_address, default="127.0.0.1:9091", help="reports of proxies")
    parser.add_argument("--http-listen", type=_address, default="127.0.0.1:42422", help="/metrics, /ready")
    parser.add_argument("--address-path", type=Path, help="file for the bound addresses, as JSON")
    parser.add_argument(
        "--series-per-metric",
        type=_positive,
        default=50_000,
        help="beyond it, series are counted with all labels `other` (default %(default)s)",
    )
    parser.add_argument(
        "--retention",
        type=_duration,
        default="24h",
        help="how long a proxy may be cut off and still be counted exactly (default %(default)s)",
    )
    parser.add_argument("--log-level", choices=sorted(LEVELS), default="info")
    return parser


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except InvalidAddress as fault:
        raise argparse.ArgumentTypeError(str(fault)) from fault


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from fault


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
