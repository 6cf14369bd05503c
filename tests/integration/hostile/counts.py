"""How many cases there are of each class: `python -m tests.integration.hostile.counts`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.hostile import cases, lawful, more_cases, replies


def counts() -> Iterator[tuple[str, str, int]]:
    """(direction, class, cases)"""
    for name, table in (cases.CLASSES | more_cases.CLASSES | lawful.CLASSES).items():
        yield "requests", name, len(table)
    for name, replies_ in replies.CLASSES.items():
        yield "responses", name, len(replies_)


def main() -> None:
    total: dict[str, int] = {}
    for direction, name, number in counts():
        total[direction] = total.get(direction, 0) + number
        print(f"{direction:10} {number:5}  {name}")
    for direction, number in total.items():
        print(f"{direction:10} {number:5}  in all")


if __name__ == "__main__":
    main()
