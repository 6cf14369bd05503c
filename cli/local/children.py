"""Starts programs through the nanny, and knows when they end. The one way a local mesh gets a process."""

import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshloom.cli.errors import CliError, Exit


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start. Without `log` it shares our terminal; with `tty` it also gets Ctrl-C for itself."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    log: Path | None = None
    tty: bool = False


@dataclass(slots=True)
class Child:
    """One started program and everything in its process group."""

    id: int
    pid: int
    _nanny: "Nanny"
    _exited: asyncio.Future[int] = field(repr=False)

    @property
    def running(self) -> bool:
        return not self._exited.done()

    async def wait(self) -> int:
        """The exit code; negative for the signal that ended it."""
        return await asyncio.shield(self._exited)

    def signal(self, number: int) -> None:
        """To the whole group; nothing happens when it has ended."""
        if self.running:
            self._nanny.send({"op": "signal", "id": self.id, "signal": int(number)})

    async def stop(self, patience: float) -> int:
        """SIGTERM, and SIGKILL when that has not ended it after `patience` seconds."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()


class Nanny:
    """Our end of the nanny's socket. Closing it ends every child."""

    def __init__(self, process: subprocess.Popen[bytes], writer: asyncio.StreamWriter) -> None:
        self._process, self._writer = process, writer
        self._ids = itertools.count(1)
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._running: dict[int, asyncio.Future[int]] = {}

    @classmethod
    async def start(cls, stack: AsyncExitStack) -> "Nanny":
        """Runs until `stack` unwinds, which ends every child that is left."""
        ours, theirs = socket.socketpair()
        program = Path(__file__).with_name("nanny.py")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
        theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
        nanny = cls(process, writer)
        listener = asyncio.create_task(nanny._listen(reader), name="nanny")
        stack.push_async_callback(nanny._close, listener)
        return nanny

    async def spawn(self, command: Command) -> Child:
        """Raises CliError when the program cannot be executed."""
        number = next(self._ids)
        loop = asyncio.get_running_loop()
        started, exited = loop.create_future(), loop.create_future()
        self._starting[number], self._running[number] = started, exited
        self.send(
            {
                "op": "spawn",
                "id": number,
                "argv": list(command.argv),
                "env": dict(command.env),
                "cwd": str(command.cwd) if command.cwd else None,
                "log": str(command.log) if command.log else None,
                "tty": command.tty,
            }
        )
        try:
            pid = await started
        except OSError as error:
            del self._running[number]
            raise CliError(f"cannot start {command.argv[0]}: {error}", Exit.REFUSED) from error
        return Child(number, pid, self, exited)

    def send(self, order: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            number = event["id"]
            match event["event"]:
                case "started":
                    self._starting.pop(number).set_result(event["pid"])
                case "failed":
                    self._starting.pop(number).set_exception(OSError(event["error"]))
                case "exited":
                    self._running.pop(number).set_result(event["code"])
        for exited in self._running.values():
            exited.set_result(-signal.SIGKILL)  # the nanny was killed, and the kernel killed its children

    async def _close(self, listener: "asyncio.Task[None]") -> None:
        self._writer.close()
        await asyncio.to_thread(self._process.wait)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
