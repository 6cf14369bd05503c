"""Who is let in: certificates of clients, and settings that judge them."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.differential.tls.listeners import text
from tests.support.bootstrap import TYPE, Json
from tests.support.certificates import Authority, Identity, dns, email, ip, other, uri

OID = "1.3.6.1.4.1.311.20.2.3"
DAY = datetime.timedelta(days=1)
ORDERS = "spiffe://mesh.test/ns/shop/sa/orders"


class Pki:
    """Authorities and the clients that they, or strangers, made."""

    def __init__(self) -> None:
        self.root = Authority("root")
        self.issuing = Authority("issuing", self.root)
        self.deep = Authority("deep", self.issuing)
        self.stranger = Authority("stranger")
        self.server = self.root.issue(dns("a.test"), subject="a.test")
        issue = self.root.issue
        self.clients: dict[str, Identity | None] = {
            "none": None,
            "spiffe": issue(uri(ORDERS)),
            "other_spiffe": issue(uri("spiffe://mesh.test/ns/shop/sa/other")),
            "other_domain": issue(uri("spiffe://else.test/ns/shop/sa/orders")),
            "dns": issue(dns("orders.shop.test")),
            "wildcard": issue(dns("*.shop.test")),
            "email": issue(email("orders@shop.test")),
            "ip": issue(ip("10.1.2.3")),
            "ipv6": issue(ip("2001:db8::1")),
            "other_name": issue(other(OID, "orders@shop.test")),
            "no_names": issue(),
            "rsa": issue(uri(ORDERS), kind="rsa"),
            "signing_only": issue(uri(ORDERS), key_usages=["digital_signature"]),
            "signing_else": issue(uri("spiffe://else.test/x"), key_usages=["digital_signature"]),
            "p384": issue(uri(ORDERS), kind="p384"),
            "expired": issue(uri(ORDERS), begins=-DAY, ends=-DAY / 2),
            "future": issue(uri(ORDERS), begins=DAY / 2, ends=DAY),
            "server_only": issue(uri(ORDERS), usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
            "any_usage": issue(uri(ORDERS), usages=[]),
            "stranger": self.stranger.issue(uri(ORDERS)),
            "through_one": self.issuing.issue(uri(ORDERS)),
            "through_two": self.deep.issue(uri(ORDERS)),
            "chain_cut": Identity(self.issuing.issue(uri(ORDERS)).certificates[:1], self.issuing.private),
            "revoked": issue(uri(ORDERS)),
            "revoked_below": self.issuing.issue(uri(ORDERS)),
            "authority": issue(
                uri(ORDERS), authority=True, key_usages=["digital_signature", "key_cert_sign"]
            ),
        }
        cut = self.issuing.issue(uri(ORDERS))
        self.clients["chain_cut"] = Identity(cut.certificates[:1], cut.private)

    def of(self, name: str) -> Identity:
        identity = self.clients[name]
        assert identity is not None
        return identity


@dataclass(frozen=True)
class Setting:
    """A validation context and what goes with it."""

    name: str
    validation: Mapping[str, Any] | None = field(default_factory=dict)
    required: bool = True


def names(kind: str, matcher: Mapping[str, Any], **fields: Any) -> Json:
    return {"match_typed_subject_alt_names": [{"san_type": kind, "matcher": matcher, **fields}]}


def settings(pki: Pki) -> list[Setting]:
    ca = {"trusted_ca": text(pki.root.root())}
    pin = {"verify_certificate_hash": [pki.of("spiffe").fingerprint()]}
    key_pin = {"verify_certificate_spki": [base64.b64encode(pki.of("spiffe").spki_pin()).decode()]}
    untrusted = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    exact = {"exact": ORDERS}
    lists = pki.root.revoke(pki.of("revoked"))
    below = pki.issuing.revoke(pki.of("revoked_below"))
    return [
        Setting("ca", ca),
        Setting("ca_optional", ca, required=False),
        Setting("required_only", None),
        Setting("uri", {**ca, **names("URI", exact)}),
        Setting("uri_optional", {**ca, **names("URI", exact)}, required=False),
        Setting("uri_prefix", {**ca, **names("URI", {"prefix": "spiffe://mesh.test/"})}),
        Setting("dns", {**ca, **names("DNS", {"exact": "orders.shop.test"})}),
        Setting("dns_suffix", {**ca, **names("DNS", {"suffix": "shop.test"})}),
        Setting("email", {**ca, **names("EMAIL", {"exact": "orders@shop.test"})}),
        Setting("ip", {**ca, **names("IP_ADDRESS", {"exact": "10.1.2.3"})}),
        Setting("ipv6", {**ca, **names("IP_ADDRESS", {"exact": "2001:db8::1"})}),
        Setting("other_name", {**ca, **names("OTHER_NAME", {"exact": "orders@shop.test"}, oid=OID)}),
        Setting("hash", {**ca, **pin}),
        Setting("hash_only", pin),
        Setting("spki", {**ca, **key_pin}),
        Setting("spki_only", key_pin, required=False),
        Setting("hash_or_spki", {**pin, **key_pin}),
        Setting("untrusted", {**ca, **untrusted}),
        Setting("untrusted_optional", {**ca, **untrusted}, required=False),
        Setting("untrusted_names", {**ca, **untrusted, **names("URI", exact)}, required=False),
        Setting("expired", {**ca, "allow_expired_certificate": True}),
        Setting("depth_1", {**ca, "max_verify_depth": 1}),
        Setting("depth_2", {**ca, "max_verify_depth": 2}),
        Setting("depth_0", {**ca, "max_verify_depth": 0}),
        Setting("crl_of_root", {**ca, "crl": text(lists)}),
        Setting("crl_leaf", {**ca, "crl": text(lists), "only_verify_leaf_cert_crl": True}),
        Setting("crl_both", {**ca, "crl": text(lists + below)}),
        Setting("crl_below_leaf", {**ca, "crl": text(below), "only_verify_leaf_cert_crl": True}),
        Setting("crl_expired", {**ca, "crl": text(pki.root.revoke(ends=-DAY / 24))}),
        Setting("issuing_ca", {"trusted_ca": text(pki.issuing.root())}),
        Setting("leaf_as_ca", {"trusted_ca": text(pki.of("spiffe").chain)}),
        Setting("authority_as_ca", {"trusted_ca": text(pki.of("authority").chain)}),
        Setting("spiffe", spiffe(pki), required=False),
        Setting("spiffe_names", {**spiffe(pki), **names("URI", exact)}),
    ]


def spiffe(pki: Pki) -> Json:
    bundle = {"name": "mesh.test", "trust_bundle": text(pki.root.root())}
    config = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
        "trust_domains": [bundle],
    }
    return {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": config}}
