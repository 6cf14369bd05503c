"""The Rust worker that only counts (the example of fastpath/rust/shm), and the files it counts in."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from meshloom.fastpath.telemetry import Region

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def region_writer() -> Path:
    """The program; `cargo test` has built it before, so this takes no time then."""
    build = ["cargo", "build", "--quiet", "--locked", "-p", "meshloom-shm", "--example", "region_writer"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=110)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "debug" / "examples" / "region_writer"


def write(region: Path, rounds: int) -> str:
    """Let a worker live for so many rounds; what it said about the region it found."""
    command: list[str | Path] = [region_writer(), region, str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()[0]


def region_file(path: Path, length: int) -> Path:
    """An empty region of this many bytes."""
    path.touch()
    os.truncate(path, length)
    return path


def mapped(path: Path) -> Region:
    """The region in a file, as the agent maps it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return Region.map(fd)
    finally:
        os.close(fd)
