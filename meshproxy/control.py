"""Messages between arbiter, agent and workers: a small JSON header, and file descriptors beside it.

One SOCK_SEQPACKET message is one `Message`, so there is no framing and no partial read. Configuration
itself never travels in a message: it is in a sealed memfd whose descriptor does. A peer that does not read
(a stopped worker) costs us a queue, never a wait: the queue ends with the channel.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_HEADER = 160 * 1024
"""Bytes of JSON; below the kernel's default send buffer, so that any message can be sent at all."""
MAX_FDS = 250
"""The kernel takes 253 in one message."""


class Message(NamedTuple):
    header: dict[str, Any]
    fds: tuple[int, ...] = ()
    """Open in this process; whoever receives the message closes them."""

    @property
    def kind(self) -> str:
        return str(self.header.get("type", ""))


class ChannelClosed(ConnectionError):
    """The other end is gone."""


class Channel:
    """One end of a control connection. Never blocks."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def blocked(self) -> bool:
        """Whether messages wait for the other end to read: call `flush` when it is writable."""
        return bool(self._unsent)

    def send(self, header: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send, or queue. The caller keeps its descriptors. Raises ChannelClosed."""
        payload = json.dumps(header, separators=(",", ":")).encode()
        if len(payload) > MAX_HEADER or len(fds) > MAX_FDS:
            raise ValueError(
                f"{header.get('type')}: {len(payload)} bytes and {len(fds)} descriptors in one message"
            )
        if self._unsent or not self._try_send(payload, fds):
            self._unsent.append((payload, [os.dup(fd) for fd in fds]))

    def flush(self) -> None:
        """Send what was queued, as far as the other end takes it. Raises ChannelClosed."""
        while self._unsent and self._try_send(*self._unsent[0]):
            _close_all(self._unsent.popleft()[1])

    def receive(self) -> Message | None:
        """The next message, or None when there is none yet. Raises ChannelClosed at its end."""
        room = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
        try:
            payload, ancillary, _, _ = self._socket.recvmsg(MAX_HEADER, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not payload:
            raise ChannelClosed("the other end closed")
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return Message(json.loads(payload), tuple(fds))

    def close(self) -> None:
        while self._unsent:
            _close_all(self._unsent.popleft()[1])
        self._socket.close()

    def _try_send(self, payload: bytes, fds: Sequence[int]) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([payload], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        return True


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; the one that a child gets has to be made inheritable."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def sealed(name: str, content: bytes) -> int:
    """A memfd with `content` that nobody can change any more: readers need not copy it to trust it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_sealed(fd: int) -> bytes:
    """The whole content of a memfd, wherever its shared offset is."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
