"""`python -m meshloom.mixer`: telemetry in, Prometheus metrics out."""

from __future__ import annotations

import os
import sys

from meshloom.mixer.server import serve
from meshloom.mixer.settings import Settings
from meshloom.runtime.lifecycle import run_service
from meshloom.runtime.log import Log, set_up


def main() -> int:
    settings = Settings.load(sys.argv[1:])
    set_up(settings.log_level, form=os.environ.get("MESHLOOM_LOG", "text"))
    try:
        return run_service(lambda: serve(settings))
    except OSError as fault:
        Log("mixer").error("cannot_start", reason=fault)
        return 1


if __name__ == "__main__":
    sys.exit(main())
