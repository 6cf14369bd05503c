"""`python -m meshloom.auth`: the certificate authority as a process."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime

from meshloom.auth.errors import AuthError
from meshloom.auth.server import serve
from meshloom.auth.settings import Settings
from meshloom.runtime.lifecycle import run_service
from meshloom.runtime.log import Log, set_up


def main() -> int:
    settings = Settings.load(sys.argv[1:])
    set_up(settings.log_level, form=os.environ.get("MESHLOOM_LOG", "text"))

    async def service() -> None:
        rotate = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, rotate.set)
        await serve(settings, lambda: datetime.now(UTC), rotate)

    try:
        return run_service(service)
    except AuthError as error:
        Log("auth").error("cannot_start", reason=error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
