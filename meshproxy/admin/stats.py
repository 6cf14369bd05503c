"""`/stats`: everything that is counted, in Envoy's text and JSON and in Prometheus' exposition format."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from meshloom.fastpath.telemetry import Kind, Series
from meshloom.fastpath.totals import HistogramValue
from meshloom.runtime.histogram import quantile

QUANTILES = (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100)

Value: TypeAlias = int | HistogramValue


class Sample(NamedTuple):
    """One series and its value now."""

    series: Series
    value: Value

    @property
    def used(self) -> bool:
        """Whether it ever counted anything."""
        return bool(self.value.count if isinstance(self.value, HistogramValue) else self.value)


def counter(flat: str, value: int, *labels: tuple[str, str], base: str = "") -> Sample:
    return Sample(Series(Kind.COUNTER, flat, base or flat, labels), value)


def gauge(flat: str, value: int, *labels: tuple[str, str], base: str = "") -> Sample:
    return Sample(Series(Kind.GAUGE, flat, base or flat, labels), value)


def text(samples: Iterable[Sample]) -> str:
    """Envoy's plain form: scalars by name, then histograms."""
    scalars, histograms = _split(samples)
    lines = [f"{name}: {value}\n" for name, value in sorted(scalars)]
    lines += [f"{name}: {_summary(value)}\n" for name, value in sorted(histograms, key=lambda pair: pair[0])]
    return "".join(lines)


def as_json(samples: Iterable[Sample]) -> str:
    """Envoy's JSON form."""
    scalars, histograms = _split(samples)
    stats: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in sorted(scalars)]
    if histograms:
        computed = [
            {"name": name, "values": [_both(_quantile(value, q)) for q in QUANTILES]}
            for name, value in sorted(histograms, key=lambda pair: pair[0])
        ]
        stats.append({"histograms": {"supported_quantiles": list(QUANTILES), "computed_quantiles": computed}})
    return json.dumps({"stats": stats})


def prometheus(samples: Iterable[Sample]) -> str:
    """Exposition format 0.0.4: one `# TYPE` a family, its samples together."""
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        families.setdefault(metric_name(sample.series.base), []).append(sample)
    lines: list[str] = []
    for name in sorted(families):
        family = families[name]
        lines.append(f"# TYPE {name} {family[0].series.kind.name.lower()}\n")
        for sample in family:
            lines += _exposition(name, sample)
    return "".join(lines)


def metric_name(base: str) -> str:
    """A stat's name for Prometheus: Istio's metrics keep theirs, all others are Envoy's."""
    clean = _NOT_IN_NAMES.sub("_", base)
    return clean if clean.startswith("istio_") else f"envoy_{clean}"


def select(samples: Iterable[Sample], pattern: str, *, used_only: bool) -> Iterator[Sample]:
    """Raises re.error for a pattern that is none."""
    compiled = re.compile(pattern)
    for sample in samples:
        if compiled.search(sample.series.flat) and (sample.used or not used_only):
            yield sample


def _split(samples: Iterable[Sample]) -> tuple[list[tuple[str, int]], list[tuple[str, HistogramValue]]]:
    scalars: list[tuple[str, int]] = []
    histograms: list[tuple[str, HistogramValue]] = []
    for series, value in samples:
        if isinstance(value, HistogramValue):
            histograms.append((_flat(series), value))
        else:
            scalars.append((_flat(series), value))
    return scalars, histograms


def _flat(series: Series) -> str:
    """The flat name; a metric that has none but its own carries its labels, or its series would be one."""
    if series.flat != series.base or not series.labels:
        return series.flat
    return series.flat + "".join(f".{name}.{value}" for name, value in series.labels)


def _quantile(value: HistogramValue, q: float) -> float:
    return quantile(q / 100, value.upper, value.counts)


def _summary(value: HistogramValue) -> str:
    if not value.count:
        return "No recorded values"
    # Envoy's first number is of the last interval; ours has none.
    return " ".join(f"P{q}(nan,{_quantile(value, q):.6g})" for q in QUANTILES)


def _both(value: float) -> dict[str, float | None]:
    return {"interval": None, "cumulative": None if math.isnan(value) else value}


def _exposition(name: str, sample: Sample) -> list[str]:
    labels = [f'{_NOT_IN_NAMES.sub("_", key)}="{_escape(value)}"' for key, value in sample.series.labels]
    if not isinstance(sample.value, HistogramValue):
        return [f"{name}{_braces(labels)} {sample.value}\n"]
    lines, below = [], 0
    bounds: Sequence[float] = (*sample.value.upper, math.inf)
    for bound, count in zip(bounds, sample.value.counts, strict=True):
        below += count
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        limit = f'le="{le}"'
        lines.append(f"{name}_bucket{_braces([*labels, limit])} {below}\n")
    lines.append(f"{name}_sum{_braces(labels)} {sample.value.sum:g}\n")
    lines.append(f"{name}_count{_braces(labels)} {below}\n")
    return lines


def _braces(labels: Sequence[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")
