"""Writes the table as Prometheus text or OpenMetrics.

An own writer, because a mesh has 100,000 series: prometheus_client makes an object of each sample and takes
sixty times as long (bench/test_mixer_exposition.py). Parts are some hundred kilobytes each, so that reports
are taken in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import accumulate
from typing import Final

from meshloom.mixer.metrics.families import FAMILIES, Family
from meshloom.mixer.metrics.table import Row, Table

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PART_BYTES: Final = 256 * 1024


async def exposition(table: Table, *, openmetrics: bool) -> AsyncIterator[bytes]:
    """The mesh's metrics in parts. OpenMetrics lacks its `# EOF`, for what follows."""
    part: list[str] = []
    size = 0
    for text in _lines(table, openmetrics=openmetrics):
        part.append(text)
        size += len(text)
        if size >= PART_BYTES:
            yield "".join(part).encode()
            part, size = [], 0
            await asyncio.sleep(0)
    yield "".join(part).encode()


def _lines(table: Table, *, openmetrics: bool) -> Iterator[str]:
    for family in FAMILIES.values():
        rows = table.rows(family)
        if not rows:
            continue
        kind = "histogram" if family.bounds else "counter"
        name = family.name.removesuffix("_total") if openmetrics else family.name
        yield f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n"
        if family.bounds:
            yield from _histograms(family, rows, _bound if openmetrics else _short_bound)
        else:
            yield from (f"{family.name}{{{row.labels}}} {row.words[0]}\n" for row in rows)


def _histograms(family: Family, rows: list[Row], bound: Callable[[float], str]) -> Iterator[str]:
    ends = [f',le="{text}"}} ' for text in (*map(bound, family.bounds), "+Inf")]
    for row in rows:
        bucket = f"{family.name}_bucket{{{row.labels}"
        *counts, total = row.words
        cumulative = list(accumulate(counts))
        lines = [f"{bucket}{end}{count}\n" for end, count in zip(ends, cumulative, strict=True)]
        lines.append(f"{family.name}_sum{{{row.labels}}} {_number(total, row.scale)}\n")
        lines.append(f"{family.name}_count{{{row.labels}}} {cumulative[-1]}\n")
        yield "".join(lines)


def _bound(bound: float) -> str:
    return repr(bound)  # OpenMetrics wants a canonical float: 1.0


def _short_bound(bound: float) -> str:
    return str(int(bound)) if bound.is_integer() else repr(bound)  # as Envoy and Go write it: 1


def _number(total: int, scale: int) -> str:
    whole, rest = divmod(total, scale)
    return str(whole) if rest == 0 else repr(total / scale)
