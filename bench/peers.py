"""meshproxy beside HAProxy, nginx and Envoy: the same load, one core each, rounds interleaved.

    python bench/peers.py                                  # the reported scenarios, five rounds
    python bench/peers.py --scenarios h1_small --rounds 3 --out result.json

Runs the harness at $MESHLOOM_SHARED/bench/peers (by default ../shared beside the checkout); its README says
what each figure means. Needs root, HAProxy, nginx and `make peers`; a peer that is missing shows as n/a.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
HARNESS = Path(os.environ.get("MESHLOOM_SHARED", ROOT.parent / "shared")) / "bench" / "peers"
SCENARIOS = "h1_small,h1_telemetry,mtls_h1,mtls_pair,idle_memory"
PROXIES = "meshproxy,haproxy,nginx,envoy"


def environment() -> dict[str, str]:
    envoy = sorted((ROOT / ".peers").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    found = {"MESHPROXY": str(ROOT / ".venv" / "bin" / "meshproxy")}
    if envoy:
        found["ENVOY"] = str(envoy[0])
    return {**os.environ, **found}


def ratios(rows: Mapping[str, Any], proxy: str, peer: str) -> list[float]:
    """CPU per request of `proxy` over `peer`, within each round, so that drift of the machine cancels."""
    by_round = {run["round"]: run["cpu"] for run in rows.get(peer, {}).get("runs", []) if "cpu" in run}
    mine = rows.get(proxy, {}).get("runs", [])
    return [run["cpu"] / by_round[run["round"]] for run in mine if "cpu" in run and run["round"] in by_round]


def spread(values: Sequence[float]) -> str:
    if not values:
        return "n/a"
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def summarise(report: Mapping[str, Any], peers: Sequence[str]) -> Table:
    table = Table(
        "scenario", *(f"CPU per request / {peer}" for peer in peers), title="meshproxy, median [min-max]"
    )
    for name, scenario in report["scenarios"].items():
        if any(ratios(scenario["rows"], "meshproxy", peer) for peer in peers):
            table.add_row(name, *(spread(ratios(scenario["rows"], "meshproxy", peer)) for peer in peers))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--proxies", default=PROXIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "peers.json")
    args = parser.parse_args()
    if not (HARNESS / "bench.py").is_file():
        print(f"the harness is not at {HARNESS}: set MESHLOOM_SHARED", file=sys.stderr)
        return 1
    args.out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(HARNESS / "bench.py"),
        "--proxies",
        args.proxies,
        "--scenarios",
        args.scenarios,
    ]
    command += ["--rounds", str(args.rounds), "--ref", "haproxy", "--out", str(args.out)]
    subprocess.run(command, env=environment(), check=True)
    peers = [name for name in args.proxies.split(",") if name != "meshproxy"]
    Console().print(summarise(json.loads(args.out.read_text()), peers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
