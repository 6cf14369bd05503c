"""Where the log lines of arbiter and agent go: standard error, or the file of --log-path."""

from __future__ import annotations

import os
import sys

from meshloom.meshproxy.options import Options
from meshloom.runtime.log import set_up


def open_log(options: Options) -> None:
    """Open the log; called again, it follows a file that was moved away (log rotation).

    The file takes the place of standard error, so what a worker or the interpreter itself has to say at
    its end is in it too. Raises OSError.
    """
    if options.log_path:
        fd = os.open(options.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.dup2(fd, sys.stderr.fileno())
        os.close(fd)
    set_up(options.log_level)
