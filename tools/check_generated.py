"""Fails when generated code is older than what it is generated from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATORS = ("tools/gen_api.py", "tools/gen_xds.py", "tools/gen_metrics.py")
GENERATED = ("api", "fastpath/rust/xds", "docs/compatibility.md", "docs/metrics.md")


def digest() -> str:
    """What git would store for the generated files as they are now."""
    names = subprocess.run(
        ["git", "ls-files", *GENERATED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    hashes = ["git", "hash-object", "--", *names.stdout.split()]
    return subprocess.run(hashes, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    before = digest()
    for generator in GENERATORS:
        subprocess.run([sys.executable, generator], cwd=ROOT, check=True)
    if digest() != before:
        print("generated code was out of date; it is written anew: review and commit it", file=sys.stderr)
        return 1
    print("generated code: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
