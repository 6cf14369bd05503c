"""Versions, suites, curves, protocols, certificates and staples come out as with the real Envoy."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.differential.tls.listeners import certificate, downstream, listener
from tests.support.bootstrap import Json, static
from tests.support.certificates import Authority, dns
from tests.support.proxies import Proxy, side_by_side

CA = Authority()
RSA = CA.issue(dns("a.test"), dns("*.wild.test"), subject="rsa", kind="rsa")
ECDSA = CA.issue(dns("b.test"), dns("*.wild.test"), subject="ecdsa")
P384 = CA.issue(dns("a.test"), subject="p384", kind="p384")
P521 = CA.issue(dns("a.test"), subject="p521", kind="p521")
MUST = CA.issue(dns("a.test"), subject="must", must_staple=True)
FRESH, STALE = CA.ocsp(RSA), CA.ocsp(RSA, ends=-timedelta(hours=1))


def stapled(policy: str, staple: bytes) -> Json:
    made = downstream(ocsp_staple_policy=policy)
    made["typed_config"]["common_tls_context"]["tls_certificates"] = [certificate(RSA, staple)]
    return made


def params(**fields: object) -> Json:
    return downstream(RSA, ECDSA, common={"tls_params": fields, "alpn_protocols": ["h2", "http/1.1"]})


SOCKETS: dict[str, Json] = {
    "plain": params(),
    "only_12": params(tls_maximum_protocol_version="TLSv1_2"),
    "only_13": params(tls_minimum_protocol_version="TLSv1_3"),
    "suites": params(cipher_suites=["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "group": params(
        cipher_suites=[
            "[ECDHE-RSA-CHACHA20-POLY1305|ECDHE-RSA-AES128-GCM-SHA256]",
            "ECDHE-RSA-AES256-GCM-SHA384",
        ]
    ),
    "curves": params(ecdh_curves=["P-384", "P-256"]),
    "schemes": downstream(
        RSA,
        common={"tls_params": {"signature_algorithms": ["rsa_pss_rsae_sha384", "rsa_pkcs1_sha384"]}},
    ),
    "full_scan": downstream(RSA, ECDSA, full_scan_certs_on_sni_mismatch=True),
    # P-384 is among our curves unless told otherwise, and not among Envoy's.
    "by_client": downstream(
        RSA, common={"tls_params": {"ecdh_curves": ["X25519", "P-256"]}}, prefer_client_ciphers=True
    ),
    "p384": downstream(P384),
    "p521": downstream(P521),
    "all_kinds": downstream(P384, ECDSA, RSA),
    "lenient": stapled("LENIENT_STAPLING", FRESH),
    "lenient_stale": stapled("LENIENT_STAPLING", STALE),
    "strict": stapled("STRICT_STAPLING", FRESH),
    "strict_stale": stapled("STRICT_STAPLING", STALE),
    "must": stapled("MUST_STAPLE", FRESH),
}
LARGER_CURVES = "p384", "p521", "all_kinds"
HELLOS = {
    "default": "",
    "a": "-servername a.test",
    "b": "-servername b.test",
    "deep": "-servername x.y.wild.test",
    "no_name": "-noservername",
    "x": "-servername x.test",
    "wild": "-servername x.wild.test",
    "tls12": "-tls1_2",
    "tls12_rsa_first": "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
    "tls12_chacha": "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256",
    "tls12_aes": "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305",
    "tls11": "-tls1_1 -cipher DEFAULT:@SECLEVEL=0",
    "chacha": "-ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
    "curves": "-curves P-384:P-256:X25519",
    "p256": "-curves P-256",
    "rsa_only": "-sigalgs RSA-PSS+SHA256:RSA-PSS+SHA384",
    "alpn": "-alpn http/1.1,h2",
    "alpn_unknown": "-alpn foo",
    "staple": "-status",
}


@dataclass(frozen=True)
class Outcome:
    """What `openssl s_client` says of a handshake."""

    suite: str
    group: str
    subject: str
    signed: tuple[str, ...]
    alpn: str
    stapled: bool


def handshake(port: int, flags: str) -> Outcome | None:
    """`None` where there is none."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *flags.split()]
    done = subprocess.run(argv, input=b"", capture_output=True, timeout=20, check=False)
    told = done.stdout.decode(errors="replace")

    def find(pattern: str) -> str:
        found = re.search(pattern, told)
        return found.group(1).strip() if found else ""

    suite = find(r"New, (.*)")
    if "NONE" in suite or not suite or not find(r"subject=(.*)"):
        return None
    signed = find(r"Peer signing digest: (.*)"), find(r"Peer signature type: (.*)")
    stapled = "OCSP Response Status: successful" in told
    return Outcome(
        suite, find(r"Server Temp Key: (.*)"), find(r"subject=(.*)"), signed, find(r"ALPN.*: (.*)"), stapled
    )


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Proxy]]:
    folder = tmp_path_factory.mktemp("negotiation")
    bootstrap = static([listener(name, socket) for name, socket in SOCKETS.items()], [])
    with side_by_side(bootstrap, folder) as [ours, envoy]:
        yield ours, envoy


@pytest.mark.parametrize("name", SOCKETS)
def test_handshakes_come_out_as_with_envoy(name: str, proxies: tuple[Proxy, Proxy]) -> None:
    ours, envoy = (proxy.port(name) for proxy in proxies)
    for hello, flags in HELLOS.items():
        pair = [handshake(ours, flags), handshake(envoy, flags)]
        if name in LARGER_CURVES and "tls1_2" in flags:
            # In TLS 1.2 Envoy signs with SHA-256 whatever the curve is; we keep to the digest of the curve.
            pair = [outcome and replace(outcome, signed=()) for outcome in pair]
        assert pair[0] == pair[1], hello
