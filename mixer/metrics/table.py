"""The mesh's totals: per metric, one row for each set of label values, within a budget.

A row never goes down and never goes away: it is the sum of what all proxies, also those that are gone,
counted. What comes beyond a metric's budget is counted in a row whose label values are all `other`, except
for `reporter`, so that the totals per reporter stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshloom.mixer.metrics.families import ABSENT, FAMILIES, OTHER, UNKNOWN, Family

REPORTERS = frozenset({"source", "destination", "waypoint"})


@dataclass(slots=True, eq=False)
class Row:
    """One series of the mesh."""

    labels: str
    """As in the exposition, without braces."""
    scale: int
    """Recorded units in one exposed unit of a histogram's sum."""
    words: list[int]
    """The count; or buckets (not cumulative), what is above them, and the sum in recorded units."""


class Table:
    """All rows. `budget` is the number of rows that one metric may have, those of `other` not counted."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._rows: dict[str, dict[tuple[str, ...], Row]] = {name: {} for name in FAMILIES}
        self.overflowed: dict[str, int] = dict.fromkeys(FAMILIES, 0)
        """Per metric, how often a series was counted as `other`."""

    def rows(self, family: Family) -> list[Row]:
        """The rows of a metric as of now, in order of their first appearance."""
        return list(self._rows[family.name].values())

    def row(self, family: Family, labels: Mapping[str, str], scale: int) -> Row:
        """The row of these labels, made if it is new."""
        values = tuple(labels.get(name) or ABSENT.get(name, UNKNOWN) for name in family.labels)
        rows = self._rows[family.name]
        if (row := rows.get(values)) is not None:
            return row
        if len(rows) >= self._budget:
            self.overflowed[family.name] += 1
            reporter = labels.get("reporter", OTHER)
            reporter = reporter if reporter in REPORTERS else OTHER
            values = tuple(reporter if name == "reporter" else OTHER for name in family.labels)
            if (row := rows.get(values)) is not None:
                return row
        row = rows[values] = Row(rendered(family.labels, values), scale, [0] * family.width)
        return row


def rendered(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Labels as the exposition formats have them; both escape alike."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True))


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
