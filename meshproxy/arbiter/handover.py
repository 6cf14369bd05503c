"""Hot restart: how one generation of the proxy hands its sockets to the next.

Each generation listens on an abstract Unix socket named by user, base id and epoch. Its successor connects:

    successor                      predecessor
       │ {"type":"sockets"}  ──────▶ │
       │ ◀──── {"type":"sockets","listen":[{address,port,slot}..]} + descriptors   (repeated)
       │ ◀──── {"type":"end"}        │
       │        ... the successor compiles, forks, and its workers are ready ...
       │ {"type":"drain","seconds"} ─▶ │   drains and leaves

The same sockets go on existing in both, so no connection is refused and none waits in a queue that dies.
A successor that fails before it says "drain" just disconnects: nothing has changed for its predecessor.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

from meshloom.meshproxy.arbiter.listeners import Listeners
from meshloom.meshproxy.control import MAX_FDS, Channel
from meshloom.meshproxy.orphans import is_own_user

HANDOVER_SECONDS = 10.0
"""How long a predecessor may take to answer."""


class HandoverFailed(Exception):
    """There is no generation to take over from, or it does not answer."""


def rendezvous(base_id: int, epoch: int) -> str:
    """The abstract socket of one generation; only processes of the same user may use it."""
    return f"\0meshproxy-{os.getuid()}-{base_id}-{epoch}"


def await_successor(base_id: int, epoch: int) -> socket.socket:
    """Listen for the next generation. Raises HandoverFailed when this epoch runs already."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        listening.bind(rendezvous(base_id, epoch))
        listening.listen(1)
    except OSError as error:
        listening.close()
        raise HandoverFailed(
            f"base id {base_id}, epoch {epoch} is in use by another meshproxy: "
            f"give this one --restart-epoch {epoch + 1} to replace it, or another --base-id"
        ) from error
    return listening


def take_sockets(base_id: int, epoch: int, listeners: Listeners) -> Channel:
    """Fetch every listening socket of the generation before `epoch`. Raises HandoverFailed.

    Blocks for a moment: nothing is served yet. The channel is for telling it to drain.
    """
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        end.connect(rendezvous(base_id, epoch - 1))
        if not is_own_user(end):
            raise HandoverFailed(f"epoch {epoch - 1} of base id {base_id} belongs to another user")
    except OSError as error:
        end.close()
        raise HandoverFailed(
            f"no meshproxy with base id {base_id} and epoch {epoch - 1} to take over from: {error.strerror}"
        ) from error
    channel = Channel(end)
    channel.send({"type": "sockets"})
    for entry, fd in _offered(end, channel):
        listeners.offer(entry["address"], entry["port"], [socket.socket(fileno=fd)])
    return channel


def offer_sockets(channel: Channel, listeners: Listeners) -> None:
    """Answer a successor: everything that we listen on, slot by slot."""
    entries = [
        ({**endpoint.describe(), "slot": slot}, each.fileno())
        for endpoint, sockets in listeners.sockets()
        for slot, each in enumerate(sockets)
    ]
    for start in range(0, len(entries), MAX_FDS):
        part = entries[start : start + MAX_FDS]
        channel.send({"type": "sockets", "listen": [entry for entry, _ in part]}, [fd for _, fd in part])
    channel.send({"type": "end"})


def _offered(end: socket.socket, channel: Channel) -> Iterator[tuple[dict[str, Any], int]]:
    import select

    waiting = select.poll()
    waiting.register(end, select.POLLIN)
    while waiting.poll(HANDOVER_SECONDS * 1000):
        message = channel.receive()
        if message is None:
            continue
        if message.kind == "end":
            return
        yield from zip(message.header.get("listen", ()), message.fds, strict=True)
    raise HandoverFailed(f"the predecessor did not answer within {HANDOVER_SECONDS} s")
