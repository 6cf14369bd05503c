"""A proxy whose worker and agent are toys: the arbiter round them is the real one.

`python -m tests.meshproxy.toy FOLDER WORKERS BEHAVIOUR [meshproxy's flags]`. The toy worker answers each
connection with its process id; BEHAVIOUR says how it lives: `well`, `dies-at-boot`, `dies-after-first` (the
first worker of each slot serves, its successors die at boot). The toy agent writes what it hears to
FOLDER/heard, a JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from meshloom.meshproxy.arbiter.plan import Timing
from meshloom.meshproxy.arbiter.regions import HEARTBEAT_OFFSET
from meshloom.meshproxy.arbiter.supervisor import Arbiter, Program
from meshloom.meshproxy.control import Channel, ChannelClosed, sealed
from meshloom.meshproxy.logs import open_log
from meshloom.meshproxy.options import Options, parse

TICK_S = 0.05


def serve(settings: dict[str, Any], folder: Path, behaviour: str) -> int:
    """The toy worker."""
    born = folder / f"born-{settings['slot']}-{os.getpid()}"
    earlier = list(folder.glob(f"born-{settings['slot']}-*"))
    born.write_text(str(time.monotonic()))
    if behaviour == "dies-at-boot" or (behaviour == "dies-after-first" and earlier):
        return 3
    region = mmap.mmap(settings["telemetry_fd"], mmap.PAGESIZE)
    arbiter = Channel(socket.socket(fileno=settings["control_fd"]))
    listeners = [socket.socket(fileno=entry["fd"]) for entry in settings["listeners"]]
    arbiter.send({"type": "ready", "slot": settings["slot"]})
    turns = 0
    while True:
        turns += 1
        struct.pack_into("=Q", region, HEARTBEAT_OFFSET, turns)
        waited_for: list[Any] = [*listeners, arbiter]
        for ready in select.select(waited_for, [], [], TICK_S)[0]:
            if ready is arbiter:
                try:
                    message = arbiter.receive()
                except ChannelClosed:
                    return 0
                if message is not None and message.kind == "drain":
                    return 0
            else:
                answer(ready)


def answer(listener: socket.socket) -> None:
    """During a hand-over both generations wait at the same sockets, so another one may have been faster."""
    with contextlib.suppress(BlockingIOError):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(str(os.getpid()).encode())


def advise(folder: Path, control: int) -> None:
    """The toy agent."""
    arbiter = Channel(socket.socket(fileno=control))
    arbiter.send({"type": "hello", "worker": {}})
    bundle = sealed("toy", b"")
    listen = [{"address": "127.0.0.1", "port": int((folder / "port").read_text())}]
    arbiter.send({"type": "bundle", "version": 1, "listen": listen}, [bundle])
    with (folder / "heard").open("a") as heard:
        while True:
            select.select([arbiter], [], [])
            message = arbiter.receive()
            if message is not None:
                heard.write(json.dumps({**message.header, "at": time.monotonic()}) + "\n")
                heard.flush()


def main() -> int:
    if sys.argv[1] == "agent":
        try:
            advise(Path(sys.argv[2]), int(sys.argv[-1]))
        except ChannelClosed:
            return 0
    folder, workers, behaviour, *flags = sys.argv[1:]
    options: Options = parse(["-c", "none", "--concurrency", workers, *flags])
    open_log(options)
    program = Program(
        worker=lambda settings: serve(settings, Path(folder), behaviour),
        agent=(sys.executable, "-m", "tests.meshproxy.toy", "agent", folder),
        timing=Timing(heartbeat=1.0),
    )
    return Arbiter(options, program).run()


if __name__ == "__main__":
    sys.exit(main())
