"""Registration tokens: only ours, only current, only ES256."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey
from meshloom.auth.ca.tokens import TokenSigner
from meshloom.auth.errors import NotAttested
from meshloom.auth.spiffe import Identity

from tests.auth.conftest import TRUST_DOMAIN, now

MINUTE = timedelta(minutes=1)


@pytest.fixture
def signer(tmp_path: Path) -> TokenSigner:
    return TokenSigner.load_or_create(tmp_path / "token-key.pem")


def claims(**changes: Any) -> dict[str, Any]:
    at = int(now().timestamp())
    default = {"iss": "meshloom", "aud": "istio-ca", "sub": "system:serviceaccount:shop:orders"}
    return {k: v for k, v in {**default, "iat": at, "exp": at + 60, **changes}.items() if v is not None}


def signed(signer: TokenSigner, body: dict[str, Any]) -> str:
    return jwt.encode({"alg": "ES256"}, body, signer.key, algorithms=["ES256"])


def test_a_minted_token_attests_its_service_account(signer: TokenSigner) -> None:
    token = signer.mint("shop", "orders", now(), MINUTE)
    assert signer.verifier(TRUST_DOMAIN).identity(token, now()) == Identity(TRUST_DOMAIN, "shop", "orders")


def test_the_key_survives_a_restart_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "token-key.pem"
    token = TokenSigner.load_or_create(path).mint("shop", "orders", now(), MINUTE)
    assert TokenSigner.load_or_create(path).verifier(TRUST_DOMAIN).identity(token, now())
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "other-service"},
        {"aud": None},
        {"exp": None},
        {"exp": 1_000_000_000},
        {"iat": None},
        {"iat": int(now().timestamp()) + 3600, "exp": int(now().timestamp()) + 7200},
        {"nbf": int(now().timestamp()) + 3600},
        {"exp": int(now().timestamp()) + 10 * 365 * 86400},
        {"exp": "tomorrow"},
        {"sub": None},
        {"sub": "orders"},
        {"sub": "system:serviceaccount:shop"},
        {"sub": "system:serviceaccount:shop:orders:admin"},
        {"sub": "system:serviceaccount:shop/sa/admin:orders"},
        {"sub": ["system:serviceaccount:shop:orders"]},
    ],
    ids="-".join,
)
def test_wrong_claims_are_refused(signer: TokenSigner, changes: dict[str, Any]) -> None:
    token = signed(signer, claims(**changes))
    with pytest.raises(NotAttested):
        signer.verifier(TRUST_DOMAIN).identity(token, now())


def test_a_token_of_another_key_is_refused(signer: TokenSigner) -> None:
    stranger = TokenSigner(ECKey.generate_key("P-256"))
    with pytest.raises(NotAttested):
        signer.verifier(TRUST_DOMAIN).identity(signed(stranger, claims()), now())


def part(value: bytes | dict[str, Any]) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_the_algorithm_none_is_refused(signer: TokenSigner) -> None:
    for name in ("none", "None", "NONE", ""):
        token = f"{part({'alg': name})}.{part(claims())}."
        with pytest.raises(NotAttested):
            signer.verifier(TRUST_DOMAIN).identity(token, now())


def test_hmac_keyed_with_the_public_key_is_refused(signer: TokenSigner) -> None:
    public = signer.key.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signing_input = f"{part({'alg': 'HS256'})}.{part(claims())}"
    mac = hmac.new(pem, signing_input.encode(), hashlib.sha256).digest()
    with pytest.raises(NotAttested):
        signer.verifier(TRUST_DOMAIN).identity(f"{signing_input}.{part(mac)}", now())


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "é.é.é", "." * 100, "x" * 100_000])
def test_rubbish_is_refused(signer: TokenSigner, token: str) -> None:
    with pytest.raises(NotAttested):
        signer.verifier(TRUST_DOMAIN).identity(token, now())


def test_an_embedded_key_is_not_believed(signer: TokenSigner) -> None:
    stranger = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "jwk": stranger.as_dict(private=False)}
    token = jwt.encode(header, claims(), stranger, algorithms=["ES256"])
    with pytest.raises(NotAttested):
        signer.verifier(TRUST_DOMAIN).identity(token, now())
