"""The example of docs/tls.md serves as the page says."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

import yaml

from tests.differential.tls.listeners import client
from tests.support.certificates import Authority, dns, uri
from tests.support.proxies import running
from tests.support.tls_origin import TlsOrigin, server_context
from tests.support.wait import until

PAGE = Path(__file__).parents[2] / "docs" / "tls.md"
CALLER = "spiffe://mesh.test/caller"


def ask(port: int, context: ssl.SSLContext, host: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        context.wrap_socket(raw, server_hostname="edge.test") as tls,
    ):
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return tls.recv(65536)


def shown(port: int, context: ssl.SSLContext) -> bytes | None:
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        context.wrap_socket(raw, server_hostname="edge.test") as tls,
    ):
        return tls.getpeercert(binary_form=True)


def replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_the_example_of_the_page(tmp_path: Path) -> None:
    ca, folder = Authority(), tmp_path / "mesh"
    folder.mkdir()
    edge, caller = ca.issue(dns("edge.test")), ca.issue(uri(CALLER))
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    bootstrap, secrets = (block.replace("/etc/mesh", str(folder)) for block in blocks)
    (folder / "ca.crt").write_text(ca.root())
    (folder / "tls.crt").write_text(edge.chain)
    (folder / "tls.key").write_text(edge.key)
    (folder / "secrets.yaml").write_text(secrets)
    server = server_context(ca.issue(dns("a.test")), tmp_path / "o", clients=ca.root())
    context = client(tmp_path / "caller", caller)
    with TlsOrigin(server) as origin:
        made = yaml.safe_load(bootstrap.replace("9443", str(origin.port)).replace("8443", "0"))
        del made["admin"]
        with running("meshproxy", made, tmp_path / "p") as proxy:
            port = proxy.port("https")
            assert ask(port, context, "a.test").endswith(b"a.test a.test")
            assert ask(port, context, "b.test").startswith(b"HTTP/1.1 503")
            log = folder / "access.log"
            until(lambda: log.exists() and log.read_text().count("\n") == 2, "two lines in the log")
            assert log.read_text().splitlines()[0] == f"{CALLER} a.test TLSv1.3 200"
            renewed = ca.issue(dns("edge.test"))
            replace(folder / "tls.key", renewed.key)
            until(lambda: "not the key of the certificate" in proxy.stderr(), "the pair is refused")
            assert ask(port, context, "a.test").endswith(b"a.test a.test")
            replace(folder / "tls.crt", renewed.chain)
            until(
                lambda: shown(port, context) == ssl.PEM_cert_to_DER_cert(renewed.chain),
                "the new certificate is shown",
            )
            assert ask(port, context, "a.test").endswith(b"a.test a.test")
