"""A mesh of N proxies on this machine: how fast a rule reaches the last one, and what an idle sidecar holds.

    python bench/mesh.py                     # 20 proxies, five rounds
    python bench/mesh.py --output json

Convergence runs from the start of the Apply call to the moment at which the last proxy has answered a request
by the new rule, each proxy asked through its own listener; acknowledgements do not count. Memory is PSS from
/proc/PID/smaps_rollup: what processes share counts once, split among them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.cli.context import MeshHome
from meshloom.cli.demo.load import CHROME, Client, Target
from meshloom.cli.local.mesh import LocalMesh, MeshOptions, local_mesh
from meshloom.cli.local.settings import LocalSettings
from rich.console import Console
from rich.table import Table

SHOP = Path(__file__).resolve().parents[1] / "examples" / "shop"
STOREFRONTS, OTHERS = (
    5,
    6,
)  # copies of storefront 1.0 in the shop as it is; all other proxies, the gateway included
GATEWAY_PORT, HTTP_PROXY_PORT = 80, 15002
IDLE_SECONDS = 5.0


def shop_of(proxies: int, folder: Path) -> Path:
    """The shop with as many copies of storefront 1.0 as make `proxies` proxies in all."""
    shop = Path(shutil.copytree(SHOP, folder / "shop"))
    manifest = shop / "config" / "storefront.yaml"
    replicas = f"replicas: {proxies - OTHERS}"
    manifest.write_text(manifest.read_text().replace(f"replicas: {STOREFRONTS}", replicas, 1))
    return shop


def every_proxy(mesh: LocalMesh) -> list[Target]:
    assert mesh.gateway is not None
    through = [f"{copy.ip}:{HTTP_PROXY_PORT}" for copy in mesh.ready()]
    inside = [Target(address, "http://storefront/version", "storefront") for address in through]
    return [Target(mesh.gateway.address(GATEWAY_PORT)), *inside]


async def serves(target: Target, version: str) -> float:
    """The moment at which this proxy first sent a request to `version`."""
    client = Client(target)
    try:
        async with asyncio.timeout(30):
            while (outcome := await client.get(CHROME)).version != version:
                await asyncio.sleep(0.005)
            return outcome.at + outcome.seconds
    finally:
        client.close()


async def converge(mesh: LocalMesh, shop: Path, percent: int) -> float:
    """Seconds from the Apply call to the last proxy that serves the rule."""
    rules = config_pb2_grpc.ConfigServiceStub(mesh.around.channel)  # type: ignore[no-untyped-call]
    name = f"rollout-{percent}.yaml"
    documents = (shop / "rules" / name).read_text()
    request = config_pb2.ApplyRequest(documents=documents, source=name, default_namespace="shop")
    started = time.monotonic()
    await rules.Apply(request, timeout=10)
    version = "1.1" if percent == 100 else "1.0"
    moments = await asyncio.gather(*(serves(target, version) for target in every_proxy(mesh)))
    return max(moments) - started


def pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"no Pss of {pid}")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sidecar_memory(arbiter: int) -> dict[str, int]:
    """KiB of PSS of each process of one proxy."""
    found = {"arbiter": pss_kib(arbiter)}
    for pid in children(arbiter):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        found["agent" if b"meshproxy.agent" in command else "worker"] = pss_kib(pid)
    return found


def memory(mesh: LocalMesh) -> dict[str, float]:
    """Median over all sidecars, in MiB."""
    by_kind: defaultdict[str, list[int]] = defaultdict(list)
    arbiters = [copy.processes.sidecar.pid for copy in mesh.ready() if copy.processes]
    for arbiter in arbiters:
        for kind, size in sidecar_memory(arbiter).items():
            by_kind[kind].append(size)
    return {kind: round(statistics.median(sizes) / 1024, 2) for kind, sizes in sorted(by_kind.items())}


async def measure(proxies: int, rounds: int, folder: Path) -> dict[str, object]:
    shop = shop_of(proxies, folder)
    settings = LocalSettings.load(shop)
    with MeshHome(folder / "home") as home:
        async with local_mesh(MeshOptions(settings, home, gateway=settings.gateway)) as mesh:
            await mesh.until_settled(180)
            await converge(mesh, shop, 0)
            seconds = [await converge(mesh, shop, 100 if i % 2 == 0 else 0) for i in range(rounds)]
            await asyncio.sleep(IDLE_SECONDS)
            return {
                "proxies": len(every_proxy(mesh)),
                "converged_s": [round(value, 3) for value in seconds],
                "sidecar_pss_mib": memory(mesh),
            }


def show(result: dict[str, object], seconds: Sequence[float], sizes: dict[str, float]) -> None:
    table = Table("figure", "median", "min", "max", title=f"a mesh of {result['proxies']} proxies")
    spread = (statistics.median(seconds), min(seconds), max(seconds))
    table.add_row("apply to last proxy serving, s", *(f"{value:.3f}" for value in spread))
    for kind, size in sizes.items():
        table.add_row(f"idle sidecar, {kind}, MiB PSS", f"{size:.1f}", "", "")
    table.add_row("idle sidecar, whole, MiB PSS", f"{sum(sizes.values()):.1f}", "", "")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proxies", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshloom-bench-") as folder:
        result = asyncio.run(measure(args.proxies, args.rounds, Path(folder)))
    if args.output == "json":
        print(json.dumps(result))
    else:
        show(result, result["converged_s"], result["sidecar_pss_mib"])  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
