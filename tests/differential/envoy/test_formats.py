"""What meshproxy writes into access logs is what the real Envoy writes, command by command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy.differences import FORMATS
from tests.differential.envoy.formats import ASKS, JSON, PLAIN, ROUTES, STAMP
from tests.differential.envoy.logs import LOG_SECONDS, lines
from tests.differential.envoy.origins import scripted
from tests.support.bootstrap import FILE_LOG, cluster, file_log, http_listener, router, static, virtual_host
from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxies import Proxy, running
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")


def json_log(path: Path, form: dict[str, Any], **fields: Any) -> dict[str, Any]:
    config = {"@type": FILE_LOG, "path": str(path), "log_format": {"json_format": form, **fields}}
    return {"name": "f", "typed_config": config}


def logs(folder: Path) -> list[dict[str, Any]]:
    plain = [file_log(folder / name, f"{STAMP}|{form}\n") for name, form in PLAIN.items()]
    for name, form in JSON.items():
        stamped = {"stamp": STAMP, **form}
        plain.append(json_log(folder / name, stamped))
        plain.append(json_log(folder / f"{name}omitting", stamped, omit_empty_values=True))
    return plain


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of meshproxy's and Envoy's logs, once every request is in every log."""
    folder: Path = tmp_path_factory.mktemp("formats")
    origin = Origin(scripted("origin"))
    clusters = [cluster("origin", origin.port), cluster("empty"), cluster("dead", 1)]
    folders = folder / "ours", folder / "envoys"
    for kind, into in zip(("meshproxy", "envoy"), folders, strict=True):
        into.mkdir()
        # No service time in a header: its digits would be counted.
        quiet = [router(suppress_envoy_headers=True)]
        listener = http_listener("l", [virtual_host(*ROUTES)], access_log=logs(into), http_filters=quiet)
        flush = ("--file-flush-interval-msec", "50") if kind == "envoy" else ()
        with running(kind, static([listener], clusters), folder / kind, *flush) as proxy:  # type: ignore[arg-type]
            send_all(proxy)
            await_lines(into)
    origin.close()
    return folders


def send_all(proxy: Proxy) -> None:
    for number, ask in enumerate(ASKS):
        headers = (*ask.headers, ("x-stamp", f"{number:02}"))
        fetch(proxy.port("l"), ask.method, ask.target, *headers, body=ask.body)


def await_lines(folder: Path) -> None:
    def complete() -> bool:
        return all(len(lines(log)) >= len(ASKS) for log in folder.iterdir())

    until(complete, f"all lines in {folder}", LOG_SECONDS)


@pytest.mark.parametrize("name", PLAIN)
def test_same_text_as_envoy(name: str, logged: tuple[Path, Path]) -> None:
    ours, envoys = (sorted(lines(folder / name)) for folder in logged)
    assert (ours == envoys) == (name not in FORMATS)


@pytest.mark.parametrize("name", [name + how for name in JSON for how in ("", "omitting")])
def test_same_json_as_envoy(name: str, logged: tuple[Path, Path]) -> None:
    ours, envoys = (
        sorted((json.loads(line) for line in lines(folder / name)), key=lambda entry: entry["stamp"])
        for folder in logged
    )
    assert ours == envoys
