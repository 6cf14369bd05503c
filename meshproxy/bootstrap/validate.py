"""`--mode validate`: is this configuration one that we would serve?"""

from __future__ import annotations

import sys

from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
from meshloom.meshproxy.options import Options


def validate(options: Options) -> int:
    """Print the verdict, every fault a line; returns the exit code."""
    name = options.config_path or "--config-yaml"
    try:
        load(options)
    except InvalidBootstrap as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        sys.stderr.write(f"configuration '{name}' is not valid: {len(error.lines)} faults\n")
        return 1
    sys.stdout.write(f"configuration '{name}' OK\n")
    return 0
