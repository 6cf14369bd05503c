"""An independent judge of what the CA signs: cryptography's chain verifier, as a TLS peer would use it."""

from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerifiedClient,
)


def verified(chain: list[str], at: datetime) -> VerifiedClient:
    """Verifies a CA's answer (leaf, intermediates..., bundle) as a client certificate; raises
    VerificationError."""
    leaf, *intermediates = [x509.load_pem_x509_certificate(c.encode()) for c in chain[:-1]]
    roots = x509.load_pem_x509_certificates(chain[-1].encode())
    policy = ExtensionPolicy.webpki_defaults_ee().require_present(
        x509.SubjectAlternativeName, Criticality.CRITICAL, _one_uri
    )
    builder = PolicyBuilder().store(Store(roots)).time(at.replace(tzinfo=None))
    builder = builder.extension_policies(ee_policy=policy, ca_policy=_ca_policy())
    return builder.build_client_verifier().verify(leaf, intermediates)


def _one_uri(_policy: Policy, _leaf: x509.Certificate, names: x509.SubjectAlternativeName | None) -> None:
    if names is None or len(names.get_values_for_type(x509.UniformResourceIdentifier)) != 1:
        raise ValueError("an SVID has exactly one URI")


def _ca_policy() -> ExtensionPolicy:
    return ExtensionPolicy.webpki_defaults_ca()
