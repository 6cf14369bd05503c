"""Starting children: workers by fork, the agent by exec.

A worker is forked, so that it has its sockets and shared memory without being told of them by name; all
that is Rust starts in it, after the fork. The agent is a fresh program: it has threads (gRPC's), an event
loop and a hundred modules that a supervisor should not carry.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

WorkerMain = Callable[[dict[str, Any]], int]
"""Serves until drained; returns the exit code."""

EXIT_CANNOT_START = 3
"""A worker that could not even begin: also what `_core.run_worker` returns for settings it cannot use."""


def serve(settings: dict[str, Any]) -> int:
    """The body of a worker process."""
    from meshloom.fastpath import _core

    return _core.run_worker(json.dumps(settings))


def fork_worker(main: WorkerMain, settings: dict[str, Any], keep: Iterable[int]) -> int:
    """Start a worker that keeps the descriptors `keep` and no other of ours. Returns its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become_worker(main, settings, frozenset(keep))
    return pid


def exec_agent(command: list[str], control: int) -> int:
    """Start the agent; it finds its control connection at the descriptor that its last argument names."""
    os.set_inheritable(control, True)
    try:
        return os.posix_spawn(
            command[0],
            [*command, str(control)],
            os.environ,
            setsigmask=(),
            setsigdef=_HANDLED,
        )
    finally:
        os.set_inheritable(control, False)


def agent_command() -> list[str]:
    """`-P`: what lies in the working directory is no part of our program."""
    return [sys.executable, "-P", "-m", "meshloom.meshproxy.agent"]


def _become_worker(main: WorkerMain, settings: dict[str, Any], keep: frozenset[int]) -> NoReturn:
    code = EXIT_CANNOT_START
    try:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # A terminal's Ctrl-C and a stray HUP reach the whole group; what they mean is the arbiter's to say.
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        _close_others(keep)
        code = main(settings)
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the arbiter's code in this process
        sys.stderr.write(f"worker {settings.get('slot')}: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _close_others(keep: frozenset[int]) -> None:
    """Other workers' control connections above all: one kept open would hide the arbiter's end from them."""
    last = 2
    for fd in sorted(keep):
        os.closerange(last + 1, fd)
        last = max(last, fd)
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))


_HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
    signal.SIGPIPE,
)
