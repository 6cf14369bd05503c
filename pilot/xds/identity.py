"""Who a client on the mTLS port proved to be, and whether it may ask for what its node says it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshloom.pilot.translate.proxy import Proxy

_SAN_KEY = "x509_subject_alternative_name"


class IdentityMismatch(Exception):
    """The certificate is somebody else's: serving it would leak another workload's configuration."""


def check_identity(auth_context: Mapping[str, Iterable[bytes]], proxy: Proxy, trust_domain: str) -> None:
    """Raises IdentityMismatch unless the peer's SPIFFE ID is that of the node's service account."""
    expected = f"spiffe://{trust_domain}/ns/{proxy.namespace}/sa/{proxy.service_account}"
    proved = [name.decode(errors="replace") for name in auth_context.get(_SAN_KEY, ())]
    if expected not in proved:
        shown = ", ".join(proved) or "no identity"
        raise IdentityMismatch(f"the certificate proves {shown}; node {proxy.id} needs {expected}")
