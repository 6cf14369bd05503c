"""What the four services of the shop answer in common: who they are, and who called them."""

import os
import re

from meshloom.examples.web import Request

# XFCC as the sidecar sets it: the peer's identity is the URI of the last element.
_URI = re.compile(r"(?:^|[;,])URI=\"?([^;,\"]*)")


def me(service: str, request: Request) -> dict[str, object]:
    """The part of every answer that the demo reads: service, version, copy, and the caller's proven
    identity."""
    callers = _URI.findall(request.headers.get("x-forwarded-client-cert", ""))
    return {
        "service": service,
        "version": os.environ.get("VERSION", "1.0"),
        "copy": os.environ.get("HOSTNAME", ""),
        "caller": callers[-1] if callers else None,
    }
