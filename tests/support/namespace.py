"""Runs a piece of a test in a network namespace of its own, where it may redirect traffic as it likes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable

import pytest

CLONE_NEWNET = 0x4000_0000


def in_own_network(test: Callable[[], None], *commands: str) -> None:
    """Calls `test` in a thread with a network of its own, which what it starts inherits."""
    if not shutil.which("iptables") or not shutil.which("ip"):
        pytest.skip("ip and iptables are not installed")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
            for command in ("ip link set lo up", *commands):
                done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"{command}: {done.stderr.strip()}")
            test()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
