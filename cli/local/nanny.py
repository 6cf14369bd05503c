"""The one process that starts every other of a local mesh, so that none is ever left behind.

Run by file, with nothing but the standard library: it stays at a few MiB and one thread for life, so it
may fork. It speaks JSON lines over the socket whose descriptor number is its argument.

    to it:    {"op": "spawn", "id": 1, "argv": [...], "env": {...}, "cwd": DIR, "log": FILE, "tty": false}
              {"op": "signal", "id": 1, "signal": 15}
    from it:  {"event": "started", "id": 1, "pid": 4711}  or  {"event": "failed", "id": 1, "error": "..."}
              {"event": "exited", "id": 1, "code": 0}     (negative: the signal that ended it)

Four things keep the machine clean:
- every child leads its own process group, and the whole group goes when its leader ends;
- every child asks the kernel to be killed when the nanny dies (PR_SET_PDEATHSIG);
- the nanny is a subreaper: what a child leaves behind becomes the nanny's child, and is ended with the rest;
- when the socket closes, because the owner ended or was killed, the nanny ends everything, then itself.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# What an abandoned child gets to end by itself, between SIGTERM and SIGKILL.
GRACE_S = 2.0


class Nanny:
    """Owns the children. Single-threaded; every wait is one poll of the socket and the wake-up pipe."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._running: dict[int, int] = {}  # pid -> the owner's id
        self._input = b""
        self._wake, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the owner is gone; then ends whatever still runs."""
        poll = select.poll()
        poll.register(self._owner, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready:
                self._drain_wake()
                self._reap()
            if self._owner.fileno() in ready and not self._read_owner():
                break
        self._end_all()

    def _drain_wake(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            return

    def _read_owner(self) -> bool:
        try:
            received = self._owner.recv(65536)
        except ConnectionError:
            return False
        *lines, self._input = (self._input + received).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(received)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["op"] == "spawn":
            self._spawn(order)
            return
        for pid, known in list(self._running.items()):
            if known == order["id"]:
                signal_group(pid, order["signal"])

    def _spawn(self, order: dict[str, Any]) -> None:
        try:
            pid = start(order)
        except OSError as error:
            self._tell({"event": "failed", "id": order["id"], "error": str(error)})
            return
        self._running[pid] = order["id"]
        self._tell({"event": "started", "id": order["id"], "pid": pid})

    def _reap(self) -> None:
        while True:
            try:
                # WNOWAIT: while the leader is unreaped its group's number cannot be anybody else's.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._running:
                signal_group(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            if (known := self._running.pop(ended.si_pid, None)) is not None:
                code = os.waitstatus_to_exitcode(status)
                self._tell({"event": "exited", "id": known, "code": code})

    def _tell(self, event: dict[str, Any]) -> None:
        try:
            self._owner.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            return  # the owner is gone; the next read says so and everything ends

    def _end_all(self) -> None:
        for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
            for pid in self._running:
                signal_group(pid, number)
            for pid in children():
                signal_one(pid, number)
            if self._wait_for_none(time.monotonic() + patience):
                return

    def _wait_for_none(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            self._reap()
            if not children():
                return True
            select.select([self._wake], [], [], 0.05)
            self._drain_wake()
        return False


def start(order: dict[str, Any]) -> int:
    """Forks and executes one program; raises OSError when it cannot be executed."""
    report, told = os.pipe2(os.O_CLOEXEC)
    nanny = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            become(order, nanny)
        except OSError as error:
            os.write(told, f"{error.filename or order['argv'][0]}: {error.strerror}".encode())
        finally:
            os._exit(127)
    os.close(told)
    with os.fdopen(report, "rb") as reader:
        failure = reader.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(failure.decode())
    return pid


def become(order: dict[str, Any], nanny: int) -> None:
    """In the child: own group, tied to the nanny's life, then the program."""
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nanny:
        os._exit(127)  # the nanny died before the kernel was told
    if order.get("tty") and os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGCHLD,
        signal.SIGTTOU,
        signal.SIGPIPE,
    ):
        signal.signal(number, signal.SIG_DFL)
    if order.get("log"):
        redirect(order["log"])
    if order.get("cwd"):
        os.chdir(order["cwd"])
    os.execvpe(order["argv"][0], order["argv"], order["env"])


def redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        signal_one(leader, number)


def signal_one(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def children() -> list[int]:
    """Every present child, adopted ones included."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
        return [int(pid) for pid in listed.read().split()]


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main() -> None:
    # The terminal's Ctrl-C is for the owner, who ends things in order; closing the socket is what ends us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    descriptor = int(sys.argv[1])
    fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    Nanny(socket.socket(fileno=descriptor)).serve()


if __name__ == "__main__":
    main()
