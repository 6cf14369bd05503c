"""Reads a certificate signing request down to the one thing the CA takes from it: the public key."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from meshloom.auth.ca.keys import PublicKey, strong_public_key
from meshloom.auth.errors import IdentityRefused, InvalidRequest
from meshloom.auth.spiffe import Identity

# A P-256 request is under 1 KiB, RSA 8192 under 4 KiB.
MAX_CSR_BYTES = 16 * 1024


def requested_key(csr_pem: str, caller: Identity) -> PublicKey:
    """The key to certify for `caller`.

    Every name in the request is ignored: the certificate says who the caller was attested to be. But a
    request for the URI of another identity is a mistake or an attack, and is refused rather than answered
    with a certificate that the client did not ask for.
    """
    if len(csr_pem) > MAX_CSR_BYTES:
        raise InvalidRequest(f"the CSR has {len(csr_pem)} bytes, more than {MAX_CSR_BYTES}")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        proven = csr.is_signature_valid
        key = csr.public_key()
        asked = _requested_uris(csr)
    except (ValueError, TypeError, UnicodeError, x509.DuplicateExtension) as error:
        raise InvalidRequest(f"the CSR cannot be read: {error}") from error
    except UnsupportedAlgorithm as error:
        raise InvalidRequest(f"the CSR uses something unsupported: {error}") from error
    if not proven:
        raise InvalidRequest("the CSR is not signed by the key it asks to certify")
    for uri in asked:
        if uri != str(caller):
            raise IdentityRefused(str(caller), uri)
    return strong_public_key(key)


def _requested_uris(csr: x509.CertificateSigningRequest) -> list[str]:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(x509.UniformResourceIdentifier))
