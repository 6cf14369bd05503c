"""The command line of meshproxy: Envoy's flags, so that whatever starts an Envoy can start us.

A table, because it is read by the arbiter, which stays small for life: argparse and what it pulls in would
stay in its memory. `Options` is a NamedTuple for the same reason.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple


class UsageError(Exception):
    """A command line that cannot be used; its text says what would be right."""


class Options(NamedTuple):
    config_path: str = ""
    config_yaml: str = ""
    mode: Literal["serve", "validate"] = "serve"
    concurrency: int = 0
    """Workers; 0 means one per processor that we may run on."""
    service_node: str = ""
    service_cluster: str = ""
    service_zone: str = ""
    base_id: int = -1
    """Names a family of generations that hand over to each other; -1: no hot restart."""
    restart_epoch: int = 0
    drain_time_s: int = 30
    """How long requests in flight may take to end after SIGTERM, or after a successor serves."""
    drain_strategy: Literal["gradual", "immediate"] = "gradual"
    parent_shutdown_time_s: int = 60
    """How long after it serves a successor ends its predecessor."""
    log_level: str = "info"
    log_path: str = ""
    admin_address_path: str = ""
    without_effect: tuple[str, ...] = ()
    """Envoy's flags that were given and change nothing here; the log says so."""

    @property
    def workers(self) -> int:
        return self.concurrency or len(os.sched_getaffinity(0))

    @property
    def hot_restart(self) -> bool:
        return self.base_id >= 0


class ShowAndExit(Exception):
    """`--help` or `--version`: the text to print."""


LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")

USAGE = """\
meshproxy: a proxy that takes Envoy's v3 bootstrap and flags.

  -c, --config-path FILE         bootstrap, YAML or JSON
      --config-yaml TEXT         bootstrap, merged over that of -c
      --mode serve|validate      validate: compile everything, print every fault, exit 1 if there is one
      --concurrency N            workers (default: one per processor)
      --service-node ID  --service-cluster NAME  --service-zone NAME
                                 override the bootstrap's node
      --base-id N  --restart-epoch N
                                 hot restart: epoch N takes the sockets of epoch N-1 of the same base id
      --disable-hot-restart      the default without --base-id
      --drain-time-s N           time for requests in flight to end (default 30)
      --drain-strategy gradual|immediate
      --parent-shutdown-time-s N end of the predecessor after we serve (default 60)
  -l, --log-level LEVEL          trace debug info warning error critical off
      --log-path FILE            default: standard error
      --admin-address-path FILE  gets the bound address of the admin endpoint
      --version  --help

Signals: TERM, INT drain and end (again: at once); QUIT end at once; HUP read the bootstrap again;
USR1 reopen log files.
"""


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line. Raises UsageError, or ShowAndExit for --help and --version."""
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag in ("-h", "--help", "--version"):
            raise ShowAndExit(USAGE if flag != "--version" else _version())
        flag = _SHORT.get(flag, flag)
        if flag == "--disable-hot-restart":
            given["base_id"] = -1
            continue
        if flag in _WITHOUT_EFFECT:
            given["without_effect"] = (*given.get("without_effect", ()), flag)
            if _WITHOUT_EFFECT[flag] and not equals:
                del rest[:1]
            continue
        if flag not in _VALUES:
            raise UsageError(f"unknown argument {flag!r}{_nearest(flag)}; see --help")
        if not equals:
            if not rest:
                raise UsageError(f"{flag} needs a value")
            value = rest.pop(0)
        given.update(_VALUES[flag](flag, value))
    return _checked(Options(**given))


def _checked(options: Options) -> Options:
    if not options.config_path and not options.config_yaml:
        raise UsageError("no configuration: give -c FILE or --config-yaml TEXT")
    if options.restart_epoch and not options.hot_restart:
        options = options._replace(base_id=0)
    if options.log_level not in LEVELS:
        raise UsageError(f"--log-level {options.log_level!r} is none of {', '.join(LEVELS)}")
    return options


def _text(field: str) -> Any:
    return lambda flag, value: {field: value}


def _number(field: str, most: int = 2**31) -> Any:
    def read(flag: str, value: str) -> dict[str, int]:
        if not value.isascii() or not value.isdigit() or int(value) > most:
            raise UsageError(f"{flag} {value!r}: want a number from 0 to {most}")
        return {field: int(value)}

    return read


def _choice(field: str, *choices: str) -> Any:
    def read(flag: str, value: str) -> dict[str, str]:
        if value not in choices:
            raise UsageError(f"{flag} {value!r}: want {' or '.join(choices)}")
        return {field: value}

    return read


def _nearest(flag: str) -> str:
    import difflib  # only on the way out

    near = difflib.get_close_matches(flag, [*_VALUES, *_WITHOUT_EFFECT], 1)
    return f", did you mean {near[0]}?" if near else ""


def _version() -> str:
    from meshloom.fastpath import _core  # it knows what was built

    return f"meshproxy {_core.__version__}\n"


_SHORT = {"-c": "--config-path", "-l": "--log-level"}
_VALUES = {
    "--config-path": _text("config_path"),
    "--config-yaml": _text("config_yaml"),
    "--mode": _choice("mode", "serve", "validate"),
    "--concurrency": _number("concurrency", 512),
    "--service-node": _text("service_node"),
    "--service-cluster": _text("service_cluster"),
    "--service-zone": _text("service_zone"),
    "--base-id": _number("base_id"),
    "--restart-epoch": _number("restart_epoch"),
    "--drain-time-s": _number("drain_time_s", 86400),
    "--drain-strategy": _choice("drain_strategy", "gradual", "immediate"),
    "--parent-shutdown-time-s": _number("parent_shutdown_time_s", 86400),
    "--log-level": _text("log_level"),
    "--log-path": _text("log_path"),
    "--admin-address-path": _text("admin_address_path"),
}
# Flag, and whether a value follows it. Scripts that start Envoy give these.
_WITHOUT_EFFECT = {
    "--allow-unknown-static-fields": False,
    "--component-log-level": True,
    "--cpuset-threads": False,
    "--file-flush-interval-msec": True,
    "--local-address-ip-version": True,
    "--log-format": True,
    "--reject-unknown-dynamic-fields": False,
}
