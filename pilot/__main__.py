"""`python -m meshloom.pilot`: discovery and rules as a process."""

from __future__ import annotations

import os
import sys

from meshloom.pilot.server import serve
from meshloom.pilot.settings import Settings
from meshloom.pilot.store.base import StoreError
from meshloom.runtime.lifecycle import run_service
from meshloom.runtime.log import Log, set_up
from prometheus_client import disable_created_metrics


def main() -> int:
    settings = Settings.load(sys.argv[1:])
    set_up(settings.log_level, form=os.environ.get("MESHLOOM_LOG", "text"))
    # A series more for each metric, which Istio's dashboards do not have.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        return run_service(lambda: serve(settings))
    except (OSError, RuntimeError, StoreError) as error:
        Log("pilot").error("cannot_start", reason=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
