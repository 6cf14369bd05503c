"""Names of kinds as people type them: `vs`, `virtualservice`, `VirtualServices` are all VirtualService."""

from difflib import get_close_matches

from meshloom.cli.errors import CliError, Exit

# Kind -> apiVersion to show, and short names besides the obvious ones.
KINDS: dict[str, tuple[str, ...]] = {
    "Service": ("svc",),
    "Deployment": ("deploy",),
    "ServiceAccount": ("sa",),
    "Namespace": ("ns",),
    "Pod": ("po",),
    "VirtualService": ("vs",),
    "DestinationRule": ("dr",),
    "Gateway": ("gw",),
    "ServiceEntry": ("se",),
    "WorkloadEntry": ("we",),
    "WorkloadGroup": ("wg",),
    "Sidecar": (),
    "EnvoyFilter": (),
    "ProxyConfig": (),
    "PeerAuthentication": ("pa",),
    "RequestAuthentication": ("ra",),
    "AuthorizationPolicy": ("ap",),
    "Telemetry": (),
    "WasmPlugin": (),
    "Secret": (),
    "ConfigMap": ("cm",),
}
_NAMES = {
    name: kind
    for kind, short in KINDS.items()
    for name in (kind.lower(), f"{kind.lower()}s", f"{kind.lower()[:-1]}ies", *short)
}


def kind_of(text: str) -> str:
    """Raises CliError that names the nearest kinds."""
    if (kind := _NAMES.get(text.lower())) is not None:
        return kind
    near = [_NAMES[name] for name in get_close_matches(text.lower(), _NAMES, 3)]
    known = ", ".join(dict.fromkeys(near)) if near else ", ".join(KINDS)
    raise CliError(f"no kind {text!r}", Exit.USAGE, f"did you mean: {known}?")
