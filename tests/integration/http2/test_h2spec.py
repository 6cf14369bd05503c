"""The conformance tool h2spec, on a worker of ours: every case of it passes, in the clear and over TLS."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.http2.stage import tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import direct, http_listener, static, virtual_host
from tests.support.envoy import ROOT
from tests.support.proxies import Proxy, running

H2SPEC = ROOT / ".peers/bin/h2spec"
CASES = 146
SECONDS_PER_CASE = 2


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder: Path = tmp_path_factory.mktemp("h2spec")
    # A body that some cases must see come in pieces.
    hosts = [virtual_host(direct({"prefix": "/"}, 200, "x" * 1000))]
    secure = http_listener("tls", hosts)
    secure["filter_chains"][0]["transport_socket"] = tls_socket(Authority(), folder)
    # An end that is put off until the client has ended must not outlast the tool's patience.
    plain = http_listener("plain", hosts, delayed_close_timeout="0.5s")
    with running("meshproxy", static([plain, secure], []), folder) as one:
        yield one


@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_h2spec_finds_nothing(proxy: Proxy, listener: str) -> None:
    if not H2SPEC.exists():
        pytest.skip("h2spec is not installed: run `make peers`")
    report = proxy.folder / f"{listener}.xml"
    argv = [str(H2SPEC), "--strict", "-p", str(proxy.port(listener)), "-o", str(SECONDS_PER_CASE)]
    argv += ["--tls", "--insecure"] if listener == "tls" else []
    # Its exit code tells of failed cases too: the report names them.
    subprocess.run([*argv, "-j", str(report)], stdout=subprocess.DEVNULL, timeout=110, check=False)
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    faults = [described(case) for case in cases if len(case)]
    assert not faults, "\n".join([f"{len(faults)} of {len(cases)}:", *faults])
    assert len(cases) == CASES


def described(case: ElementTree.Element) -> str:
    """A case that failed, or that the tool could not run, with what the tool said of it."""
    said = " / ".join(text.strip() for text in case.itertext() if text.strip())
    return f"{case.get('package')} {case.get('classname')}: {case[0].tag}: {said}"
