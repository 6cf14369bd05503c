"""Istio's own sample files and schemas, which tests read and the product never does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shared_data() -> Path:
    """The folder of sample data: $MESHLOOM_SHARED/data, else ../shared/data beside the checkout."""
    data = Path(os.environ.get("MESHLOOM_SHARED", ROOT.parent / "shared")) / "data"
    if not data.is_dir():
        pytest.skip(f"sample data is not at {data}: set MESHLOOM_SHARED")
    return data
