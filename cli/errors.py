"""How commands fail: a sentence for the person, an exit code for the script."""

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of `meshloom` means; documented in its help."""

    OK = 0
    REFUSED = 1
    """The mesh said no: invalid configuration, no such object, a broken promise, a program that failed."""
    USAGE = 2
    UNREACHABLE = 3
    """What was to be asked (Pilot, a proxy, the CA) did not answer."""
    INTERRUPTED = 130


class CliError(Exception):
    """Ends a command with a message and a code; never with a traceback. `hint` says what would be right."""

    def __init__(self, message: str, code: Exit, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.hint = code, hint
