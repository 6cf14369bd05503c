"""Generates the Python code of api/*.proto. Run by `make generate`; the result is checked in."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "python"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"


def main() -> int:
    """Compile every proto under its import name (meshloom.api.*), so that generated imports resolve."""
    protos = sorted(str(path) for path in (STAGE / "meshloom" / "api").rglob("*.proto"))
    options = [f"-I{STAGE}", f"-I{WELL_KNOWN}"]
    outputs = [f"--{kind}_out={STAGE}" for kind in ("python", "pyi", "grpc_python")]
    return int(protoc.main(["protoc", *options, *outputs, *protos]))


if __name__ == "__main__":
    sys.exit(main())
