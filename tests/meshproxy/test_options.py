"""Envoy's command line."""

from __future__ import annotations

import pytest
from meshloom.meshproxy.options import Options, ShowAndExit, UsageError, parse


def test_what_starts_an_envoy_starts_us() -> None:
    line = (
        "-c etc/envoy/envoy-rev.json --drain-time-s 45 --drain-strategy immediate "
        "--local-address-ip-version v4 --file-flush-interval-msec 1000 --disable-hot-restart "
        "--allow-unknown-static-fields -l warning --component-log-level misc:error --concurrency 2"
    )

    options = parse(line.split())

    assert (options.config_path, options.drain_time_s, options.concurrency) == (
        "etc/envoy/envoy-rev.json",
        45,
        2,
    )
    assert options.without_effect == (
        "--local-address-ip-version",
        "--file-flush-interval-msec",
        "--allow-unknown-static-fields",
        "--component-log-level",
    )


def test_a_value_may_follow_an_equals_sign() -> None:
    assert parse(["--config-path=a=b.yaml", "--concurrency=3"]) == Options(
        config_path="a=b.yaml", concurrency=3
    )


def test_hot_restart_is_asked_for_by_its_flags() -> None:
    assert not parse(["-c", "f"]).hot_restart
    assert parse(["-c", "f", "--base-id", "7"]).hot_restart
    assert parse(["-c", "f", "--restart-epoch", "1"]).base_id == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "give -c FILE"),
        ("-c", "--config-path needs a value"),
        ("-c f --concurency 2", "did you mean --concurrency?"),
        ("-c f --concurrency two", "want a number"),
        ("-c f --mode check", "want serve or validate"),
        ("-c f -l loud", "is none of trace, debug"),
    ],
)
def test_a_wrong_line_is_told_what_would_be_right(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(line.split())


def test_help_names_every_signal() -> None:
    with pytest.raises(ShowAndExit, match="HUP read the bootstrap again"):
        parse(["--help"])
