"""The conformance tool h2spec, on a worker of ours: every case of it passes, in the clear and over TLS."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.http2.stage import tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.envoy import ROOT
from tests.support.origin import Origin, answer
from tests.support.proxies import Proxy, running

H2SPEC = ROOT / ".peers/bin/h2spec"
CASES = 146
SECONDS_PER_CASE = 2


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder: Path = tmp_path_factory.mktemp("h2spec")
    # Some cases must see a body in pieces. Others send a second frame, which is wrong for an open stream:
    # the answer to the first must not have ended it before.
    body = answer(200, b"x" * 1000)
    origin = Origin(lambda _received: replace(body, wait=0.05))
    hosts = [virtual_host(route({"prefix": "/"}, "origin"))]
    secure = http_listener("tls", hosts)
    secure["filter_chains"][0]["transport_socket"] = tls_socket(Authority(), folder)
    # The first byte of a bad preface would otherwise make it a bad request of HTTP/1.
    plain = http_listener("plain", hosts, codec_type="HTTP2")
    with running("meshproxy", static([plain, secure], [cluster("origin", origin.port)]), folder) as one:
        yield one
    origin.close()


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
