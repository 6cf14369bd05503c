"""Says what this machine lacks to build Meshloom, and what to do about it. Standard library only.

Run as `doctor.py peers` it speaks of what the tests' peers are built with instead.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

RUST_NEEDED = (1, 85)
PYTHON_NEEDED = (3, 11)
GO_NEEDED = (1, 19)


def missing() -> Iterator[str]:
    if sys.version_info < PYTHON_NEEDED:
        yield f"Python {dotted(PYTHON_NEEDED)} or later (this is {sys.version.split()[0]}); set PYTHON=..."
    if shutil.which("cc") is None:
        yield "a C compiler `cc` (Debian and Ubuntu: apt install build-essential; Fedora: dnf install gcc)"
    if shutil.which("cargo") is None:
        yield "a Rust toolchain with `cargo` (your distribution's rustup package, or rustup.rs)"
    elif (found := rust_version()) < RUST_NEEDED:
        yield f"Rust {dotted(RUST_NEEDED)} or later (this is {dotted(found)}): rustup update stable"
    try:
        import ensurepip  # noqa: F401  # Debian splits it off
        import venv  # noqa: F401
    except ImportError:
        yield "Python's venv module (Debian and Ubuntu: apt install python3-venv)"
    if sys.platform != "linux":
        yield "Linux: the data plane is built on epoll and memfd"


def missing_for_peers() -> Iterator[str]:
    go = f"Go {dotted(GO_NEEDED)} or later, which builds h2spec for the tests"
    if shutil.which("go") is None:
        yield f"{go} (Debian and Ubuntu: apt install golang-go; Fedora: dnf install golang)"
    elif (found := go_version()) < GO_NEEDED:
        yield f"{go} (this is {dotted(found)})"


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def rust_version() -> tuple[int, int]:
    words = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=True).stdout.split()
    major, minor = words[1].split(".")[:2]
    return int(major), int(minor)


def go_version() -> tuple[int, int]:
    """Of `go version go1.19.8 linux/amd64`."""
    words = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.split()
    major, minor = words[2].removeprefix("go").split(".")[:2]
    return int(major), int(minor)


def main() -> int:
    problems = list(missing_for_peers() if sys.argv[1:] == ["peers"] else missing())
    for problem in problems:
        print(f"missing: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
