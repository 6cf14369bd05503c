"""What the person watching the demo sees: the step at work, and what it measured."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from meshloom.cli.demo.report import Report
from meshloom.cli.local.gateway import OWNER as GATEWAY
from rich.console import Console
from rich.table import Table

TITLES = {
    "start": "Starting the shop: 4 services, 10 copies, a sidecar beside each, a gateway, Pilot, Mixer, Auth",
    "canary": "1. One rule sends Firefox users to 1.1, everyone else to 1.0",
    "scale": "2. Two more copies of 1.1 start; no rule is touched",
    "failure": "3. A copy is killed under load",
    "rollout": "4. The rule moves from 0 to 50 to 100 % under load",
    "identity": "5. Who calls whom, proven; and a client without a certificate",
    "metrics": "6. What Mixer counted, against what the clients sent",
}


# Where there is no terminal to measure: a log, a pipe.
_PLAIN_WIDTH = 110


class Screen:
    """Writes to standard error, so that standard output is the JSON and nothing else when that is asked
    for."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=quiet, highlight=False)
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows that the step is at work; a failure inside goes on its way."""
        if not self._console.is_terminal:
            self._console.print(f"[bold cyan]{TITLES[name]}[/]")
            yield
            return
        with self._console.status(f"[cyan]{TITLES[name]}"):
            yield
        self._console.print(f"[bold cyan]{TITLES[name]}[/]")

    def result(self, name: str, report: Report) -> None:
        _RESULTS[name](report, self._console)

    def say(self, text: str) -> None:
        self._console.print(text)

    def end(self, report: Report) -> None:
        if broken := report.broken():
            for sentence in broken:
                self._console.print(f"[bold red]broken[/] {sentence}")
            return
        self._console.print(f"[bold green]Every promise kept[/] in {report.seconds:.0f} s.")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"[bold]{count}[/] from {name}" for name, count in counts.items()) or "none"


def _canary(report: Report, console: Console) -> None:
    console.print(f"   Firefox: {_counts(report.canary.firefox)}")
    console.print(f"   Chrome:  {_counts(report.canary.chrome)}")


def _scale(report: Report, console: Console) -> None:
    console.print(f"   first requests after [bold]{report.scale.seconds} s[/]")
    for copy, count in report.scale.shares.items():
        console.print(
            f"   {copy:<28}{'█' * count} {count}" + (" [green]new[/]" if copy in report.scale.new else "")
        )


def _failure(report: Report, console: Console) -> None:
    failure = report.failure
    color = "red" if failure.lost else "green"
    console.print(
        f"   {failure.killed} killed; [bold {color}]{failure.lost} of {failure.sent}[/] requests lost"
    )
    console.print(f"   out of the rotation after [bold]{failure.ejected_after_s} s[/]")


def _rollout(report: Report, console: Console) -> None:
    rollout = report.rollout
    color = "red" if rollout.lost else "green"
    shares = ", ".join(f"{asked} % → [bold]{seen} %[/]" for asked, seen in rollout.shares.items())
    console.print(f"   share of 1.1: {shares}")
    console.print(f"   [bold {color}]{rollout.lost} of {rollout.sent}[/] requests lost")
    console.print(
        f"   all {rollout.proxies} proxies served the last rule after [bold]{rollout.converged_s} s[/]"
    )


def _identity(report: Report, console: Console) -> None:
    for service, peer in report.identity.peer.items():
        console.print(f"   {service:<16}was called by [bold]{peer}[/]")
    refused = "[green]refused[/]" if report.identity.plaintext_refused else "[red]served[/]"
    console.print(f"   a plaintext client of orders was {refused}")


def _metrics(report: Report, console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 1), header_style="bold")
    for column in ("   source", "destination", "version"):
        table.add_column(column)
    for column in ("requests", "errors", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for edge in report.metrics.edges:
        if edge["destination"] == "storefront" and edge["source"] != GATEWAY:
            continue  # our own questions to each proxy during the rollout
        table.add_row(
            f"   {edge['source']}",
            edge["destination"],
            edge["version"],
            str(edge["requests"]),
            f"{edge['error_rate']:.2%}",
            str(edge["p50_ms"]),
            str(edge["p99_ms"]),
        )
    console.print(table)
    total, sent = report.metrics.requests_total, report.metrics.client_total
    color = "green" if total == sent else "red"
    console.print(
        f"   Mixer counted [bold {color}]{total}[/] requests at the gateway; the clients sent {sent}"
    )


_RESULTS: dict[str, Callable[[Report, Console], None]] = {
    "canary": _canary,
    "scale": _scale,
    "failure": _failure,
    "rollout": _rollout,
    "identity": _identity,
    "metrics": _metrics,
}
