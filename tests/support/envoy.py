"""Where the real Envoy is: an independent peer, installed by `make peers`."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def envoy_binary() -> Path:
    """The Envoy 1.40 executable; where it is not installed the test is skipped, with the remedy."""
    found = sorted((ROOT / ".peers").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        pytest.skip("the real Envoy is not installed: run `make peers`")
    return found[0]
