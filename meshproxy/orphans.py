"""Workers whose arbiter was killed: how a new arbiter finds them, and how they make room for it.

Their agent is still there. For each address that its workers listen on it answers on an abstract Unix socket
of that name; a new arbiter that finds the address taken asks there. It may then listen beside them
(SO_REUSEPORT), and once its own workers serve it says `LEAVE`: the agent has the old ones drain and end.
"""

from __future__ import annotations

import os
import socket
import struct

LEAVE = b"leave"
_ANSWER_S = 1.0


def name(address: str, port: int) -> str:
    """The abstract socket of one listening address, of this user's processes."""
    return f"\0meshproxy-{os.getuid()}-orphans-{address}:{port}"


def listen(address: str, port: int) -> socket.socket:
    """The agent's side. Raises OSError when somebody answers there already."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.bind(name(address, port))
        listening.listen(1)
    except OSError:
        listening.close()
        raise
    return listening


def find(address: str, port: int) -> socket.socket | None:
    """The new arbiter's side: a line to who has this address, if it is an orphaned proxy of ours."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(_ANSWER_S)
    try:
        line.connect(name(address, port))
    except OSError:
        line.close()
        return None
    if not is_own_user(line):
        line.close()
        return None
    return line


def is_own_user(end: socket.socket) -> bool:
    """An abstract name has no permissions of its own."""
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())
