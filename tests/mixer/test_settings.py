"""Mixer's command line: what cannot be right is said, with what would be."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from meshloom.mixer.settings import Settings


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings.load([])
    assert (str(settings.grpc_listen), str(settings.http_listen)) == ("127.0.0.1:9091", "127.0.0.1:42422")
    assert settings.limits.retention == timedelta(hours=24)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--grpc-listen", "9091"], "want host:port"),
        (["--retention", "1"], "want a number and a unit"),
        (["--series-per-metric", "0"], "is not a number from 1 on"),
    ],
)
def test_a_bad_flag_ends_with_its_reason(
    flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        Settings.load(flags)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--grpc-listen", "--http-listen"])
def test_an_address_that_is_taken_is_named(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = {"--grpc-listen": "127.0.0.1:0", "--http-listen": "127.0.0.1:0"} | {flag: address}
        command = [sys.executable, "-m", "meshloom.mixer", *(word for pair in flags.items() for word in pair)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "cannot_start" in done.stderr
    assert address.rpartition(":")[2] in done.stderr
