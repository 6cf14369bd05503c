"""What is known of endpoints' health: one worker checks, and everybody else is told by way of the arbiter.

The arbiter keeps the last word on each endpoint: a worker that is started anew begins with it, and so does
the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshloom.meshproxy.control import Message

CHECKER = 0
"""The slot whose worker makes the checks."""
VERDICTS_IN_A_MESSAGE = 500
"""Addresses are short: a message stays far below its limit."""


class Health:
    """Verdicts by cluster and address, clusters in use, and who is ejected where."""

    def __init__(self) -> None:
        self._verdicts: dict[str, dict[str, str]] = {}
        self._used: set[str] = set()
        self._ejected: dict[tuple[str, str], set[int]] = {}

    def hear(self, slot: int, header: dict[str, Any]) -> bool:
        """Take a worker's message. False for one that is about something else."""
        match header["type"]:
            case "health":
                known = self._verdicts.setdefault(header["cluster"], {})
                for address, verdict in header["verdicts"].items():
                    if verdict == "gone":
                        known.pop(address, None)
                    else:
                        known[address] = verdict
                if not known:
                    del self._verdicts[header["cluster"]]
            case "used":
                self._used.add(header["cluster"])
            case "ejected":
                self._hear_ejected(slot, header)
            case "unwell":
                pass  # The checker decides what follows from it.
            case _:
                return False
        return True

    def _hear_ejected(self, slot: int, header: dict[str, Any]) -> None:
        place = (header["cluster"], header["address"])
        slots = self._ejected.setdefault(place, set())
        if header["ejected"]:
            slots.add(slot)
        else:
            slots.discard(slot)
        if not slots:
            del self._ejected[place]

    def worker_ended(self, slot: int) -> list[dict[str, Any]]:
        """What it had ejected is in rotation again. Gives what the agent is to be told."""
        messages = []
        for (cluster, address), slots in list(self._ejected.items()):
            if slot in slots:
                header = {"type": "ejected", "cluster": cluster, "address": address, "ejected": False}
                self._hear_ejected(slot, header)
                messages.append({**header, "slot": slot})
        return messages

    def for_worker(self, slot: int) -> Iterator[dict[str, Any]]:
        """Everything that a new worker is to know."""
        yield from self._all_verdicts()
        if slot == CHECKER:
            yield from ({"type": "used", "cluster": cluster} for cluster in sorted(self._used))
            for (cluster, address), _ in self._ejected.items():
                yield {"type": "ejected", "cluster": cluster, "address": address, "ejected": True}

    def for_agent(self) -> Iterator[dict[str, Any]]:
        """Everything that a new agent is to know."""
        yield from self._all_verdicts()
        for (cluster, address), slots in self._ejected.items():
            for slot in slots:
                yield {
                    "type": "ejected",
                    "slot": slot,
                    "cluster": cluster,
                    "address": address,
                    "ejected": True,
                }

    def _all_verdicts(self) -> Iterator[dict[str, Any]]:
        for cluster, known in self._verdicts.items():
            entries = list(known.items())
            for start in range(0, len(entries), VERDICTS_IN_A_MESSAGE):
                part = dict(entries[start : start + VERDICTS_IN_A_MESSAGE])
                yield {"type": "health", "cluster": cluster, "verdicts": part}


def concerns(slot: int, sender: int, message: Message) -> bool:
    """Whether the worker of `slot` is to hear what the worker of `sender` has said."""
    match message.kind:
        case "health":
            return slot != sender
        case "used" | "ejected" | "unwell":
            return slot == CHECKER != sender
        case _:
            return False
