"""Where our codec means to differ from h11: one table each way, every row with its reason.

h11 is a library for end points and says itself where it is lenient for the sake of old servers and clients.
A proxy has another parser behind it, so where two could disagree, ours refuses.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tests.differential.http1.outcome import Fields, Outcome

# Our fault -> why we refuse what h11 accepts.
STRICTER = {
    "InvalidLineEnding": "RFC 9112 2.2: accepting a lone LF lets two parsers disagree on where a line ends",
    "ObsoleteFold": "RFC 9112 5.2: a proxy may reject; a folded field has no safe re-encoding",
    "InvalidFieldValue": "RFC 9110 5.5: control characters in values; h11 lets them pass for old cookies",
    "InvalidTarget": "RFC 9112 3.2: h11 takes any visible ASCII, fragments and relative paths too",
    "InvalidScheme": "RFC 9110 4.2: a proxy for http and https has no use for other schemes",
    "InvalidHost": "RFC 9112 3.2: 400 for an invalid Host; h11 leaves that to the application",
    "DuplicateHost": "RFC 9112 3.2: h11 refuses it only in HTTP/1.1, we in HTTP/1.0 too",
    "UnknownMethod": "as Envoy: methods outside the registered ones are refused unless configured",
    "DuplicateContentLength": "RFC 9110 8.6 allows to refuse equal ones too, which h11 merges",
    "InvalidContentLength": "values of 2^63 and more, and lists of equal ones, which h11 merges",
    "LengthWithTransferEncoding": "RFC 9112 6.1: in a request it is an attack until shown otherwise",
    "TransferEncodingInHttp10": "RFC 9112 6.1: the framing of such a message is faulty; CVE-2026-2835",
    "LengthNotAllowed": "RFC 9110 9.3.6: CONNECT has no content; a length blurs where the tunnel starts",
    "TransferEncodingNotAllowed": "the same",
    "InvalidConnection": "RFC 9110 7.6.1: not a list of tokens",
    "UnknownExpectation": "RFC 9110 10.1.1: 417; h11 leaves that to the application",
    "UnsupportedVersion": "RFC 9112 2.3: h11 takes HTTP/1.2 to 1.9 for 1.1, and 0.x in responses",
    "InvalidStatusLine": "RFC 9112 4: statuses below 100, control characters in the reason phrase",
    "InvalidChunkSize": "RFC 9112 7.1: white space behind the size, which h11 takes from old servers",
    "InvalidChunkExtension": "RFC 9112 7.1.1: control characters in an extension; CVE-2025-55315",
    "ChunkTooLarge": "sizes of 2^63 and more, or of more than 16 digits",
    "TrailersTooLarge": "h11 has one limit for every part of a message",
    "TooManyFields": "RFC 6585 5: h11 counts bytes, not fields",
    "InvalidFieldName": "RFC 9112 6: Transfer_Encoding and Content_Length mean framing behind CGI and WSGI",
}

# h11's complaint -> why we accept what it refuses.
LENIENT = {
    "no request line received": "RFC 9112 2.2: one empty line before a request line is to be ignored",
}

# A pattern of h11's complaint -> the same.
LENIENT_PATTERNS = {
    r"illegal chunk header: bytearray\(b.[0-9A-Fa-f]{1,16}[ \\t]+;.*": (
        "RFC 9112 7.1.1: white space before the semicolon of an extension must be read"
    ),
}

# h11's complaint about a framing field in a trailer section -> that field. We drop it unread.
LENIENT_IN_TRAILERS = {
    "bad Content-Length": b"content-length",
    "conflicting Content-Length headers": b"content-length",
    "Only Transfer-Encoding: chunked is supported": b"transfer-encoding",
    "multiple Transfer-Encoding headers": b"transfer-encoding",
}

# Trailer fields that our codec does not hand out (RFC 9110 6.5.1): what they are about.
DROPPED_TRAILERS = {
    "framing": "content-length transfer-encoding content_length transfer_encoding",
    "this connection": "connection keep-alive proxy-connection te trailer upgrade",
    "routing": "host max-forwards forwarded x-forwarded-for x-forwarded-proto x-forwarded-client-cert",
    "what proxies say": "x-envoy-internal x-envoy-max-retries x-request-id traceparent",
    "modifiers of requests": "cache-control expect if-match pragma range",
    "authentication": "authorization cookie proxy-authorization set-cookie www-authenticate",
    "content": "content-encoding content-range content-type",
    "control of responses": "location",
}
_DROPPED = frozenset(name.encode() for names in DROPPED_TRAILERS.values() for name in names.split())


def is_wanted(ours: Outcome, theirs: Outcome) -> bool:
    """Whether the two outcomes are the same, or differ in a way that a table explains."""
    if ours.fault is not None:
        return theirs.fault is not None or ours.fault in STRICTER
    if theirs.fault is not None:
        framing_field = LENIENT_IN_TRAILERS.get(theirs.fault)
        in_head = dict(ours.fields).get(framing_field or b"", b"chunked").lower()
        in_trailers = framing_field is not None and in_head == b"chunked"
        forgiven = any(re.fullmatch(pattern, theirs.fault) for pattern in LENIENT_PATTERNS)
        return theirs.fault in LENIENT or forgiven or in_trailers
    return _as_they_would(ours) == _as_we_would(theirs)


def _as_they_would(ours: Outcome) -> Outcome:
    """h11 hands out names of codings in lower case."""
    fields = tuple(
        (name, value.lower() if name == b"transfer-encoding" else value) for name, value in ours.fields
    )
    return replace(ours, fields=fields)


def _as_we_would(theirs: Outcome) -> Outcome:
    kept: Fields = tuple(field for field in theirs.trailers if field[0] not in _DROPPED)
    return replace(theirs, trailers=kept)
