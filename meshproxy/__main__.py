"""meshproxy: reads the command line, then validates a configuration or becomes the arbiter of a proxy."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from meshloom.meshproxy.logs import open_log
from meshloom.meshproxy.options import Options, ShowAndExit, UsageError, parse
from meshloom.runtime.log import Log

EXIT_USAGE = 2

log = Log("meshproxy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 ended as asked or valid, 1 cannot serve or invalid, 2 wrong command line."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        open_log(options)
    except ShowAndExit as text:
        sys.stdout.write(str(text))
        return 0
    except UsageError as error:
        sys.stderr.write(f"meshproxy: {error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"meshproxy: --log-path: {error}\n")
        return EXIT_USAGE
    for flag in options.without_effect:
        log.warning("flag_without_effect", flag=flag)
    return _validate(options) if options.mode == "validate" else _serve(options)


def _validate(options: Options) -> int:
    # Not for the arbiter's memory.
    from meshloom.meshproxy.bootstrap.validate import validate

    return validate(options)


def _serve(options: Options) -> int:
    from meshloom.meshproxy.arbiter.supervisor import Arbiter, Program

    return Arbiter(options, Program()).run()


if __name__ == "__main__":
    sys.exit(main())
