"""Writes docs/metrics.md from the declarations of Mixer's metrics. Run by `make generate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from meshloom.mixer.metrics.families import BUCKETS, FAMILIES, MESSAGE_LABELS, REQUEST_LABELS, TCP_LABELS
from meshloom.mixer.metrics.own import OwnMetrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
HEAD = """# Metrics

Generated from `mixer/metrics/` by `make generate`.

## Of the mesh

Mixer serves them at `/metrics`, in Prometheus' text format or, when asked, as OpenMetrics. They are exact:
every request that a worker counted is in the totals once, also when reports are lost or repeated, workers are
killed or proxies come and go. Each hop counts twice, at the client's proxy (`reporter="source"`) and at the
server's (`reporter="destination"`); a gateway counts as a source. A metric has a budget of series
(`--series-per-metric`); beyond it every label but `reporter` is `other`. What is not known is `unknown`.
"""


def main() -> int:
    PAGE.write_text("\n".join([HEAD, *families(), *label_sets(), *own(), ""]))
    return 0


def families() -> Iterator[str]:
    labels = {REQUEST_LABELS: "request", TCP_LABELS: "TCP", MESSAGE_LABELS: "message"}
    yield "| metric | kind | labels | what |"
    yield "|---|---|---|---|"
    for family in FAMILIES.values():
        kind = "histogram" if family.bounds else "counter"
        yield f"| `{family.name}` | {kind} | {labels[family.labels]} | {family.help} |"
    yield f"\nBuckets: {', '.join(f'{bound:,.10g}' for bound in BUCKETS)}.\n"


def label_sets() -> Iterator[str]:
    yield "Labels of messages: " + ", ".join(f"`{label}`" for label in MESSAGE_LABELS) + ".\n"
    for what, labels in (("requests", REQUEST_LABELS), ("TCP", TCP_LABELS)):
        more = [f"`{label}`" for label in labels if label not in MESSAGE_LABELS]
        yield f"Labels of {what}: those and {', '.join(more)}.\n"


def own() -> Iterator[str]:
    yield "## Of Mixer itself\n\n| metric | kind | labels | what |\n|---|---|---|---|"
    for metric in OwnMetrics().registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = "`metric`" if metric.name.endswith(("_mixer_series", "_overflowed")) else ""
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


if __name__ == "__main__":
    sys.exit(main())
