"""Where our codec means to differ from h2: one table each way, every row with its reason.

h2 is a library for end points that leaves the meaning of a message to its application. A proxy has another
parser behind it, so where two could disagree, ours refuses.
"""

from __future__ import annotations

from dataclasses import replace

from tests.differential.http2.outcome import Fields, Outcome

# Our fault -> why we refuse what h2 accepts.
STRICTER = {
    "SettingsMissing": "RFC 9113 3.4: each side begins with SETTINGS; h2 takes the other frames too",
    "InvalidMethod": "RFC 9110 9.1: a method is a token; h2 leaves that to the application",
    "InvalidScheme": "RFC 9110 4.2: a proxy for http and https has no use for other schemes",
    "InvalidPath": "RFC 9113 8.3.1: h2 takes any path that is not empty",
    "InvalidAuthority": "RFC 9113 8.3.1: what is not host[:port]; h2 only compares it with Host",
    "InvalidStatus": "RFC 9113 8.3.2: h2 takes any text",
    "InvalidFieldValue": "RFC 9110 5.5: control characters other than CR, LF and NUL",
    "InvalidContentLength": "RFC 9110 8.6: h2 reads +1 as a number, and lets equal ones repeat",
    "ContentLengthMismatch": "RFC 9113 8.1.1: h2 misses no content where a message ends with its head",
    "IdleStream": "RFC 9113 5.1: RST_STREAM and WINDOW_UPDATE on streams that nobody has opened",
    "ClosedStream": "RFC 9113 5.1: HEADERS behind RST_STREAM; h2 answers them without a complaint",
    "Ended": "RFC 9113 5.1: DATA on a stream that was passed over; h2 answers it without a complaint",
}

# The beginning of h2's complaint -> why we accept what it refuses.
LENIENT = {
    "StreamClosedError": "what a server sends behind the end of a response is ignored; it concerns nobody",
    "ProtocolError: Invalid input StreamInputs.RECV_INFORMATIONAL_HEADERS": "the same",
    "ProtocolError: Invalid input ConnectionInputs.RECV_": "RFC 9113 6.8: GOAWAY is not about its sender",
    "FrameDataMissingError": "unknown frames are ignored whatever is in them, ALTSVC too (RFC 9113 4.1)",
    "ProtocolError: Invalid content-length header": "in trailers it frames nothing, and is dropped unread",
    "InvalidBodyLengthError": "RFC 9110 9.3.6: Content-Length of a successful answer to CONNECT is ignored",
}

# The faults in LENIENT that are so of one method only.
OF_CONNECT = "InvalidBodyLengthError"


def is_wanted(ours: Outcome, theirs: Outcome, method: str = "") -> bool:
    """Whether the two outcomes are the same, or differ in a way that a table explains."""
    if ours.fault is not None:
        return theirs.fault is not None or ours.fault in STRICTER
    if theirs.fault is not None:
        if theirs.fault.startswith(OF_CONNECT) and method != "CONNECT":
            return False
        return any(theirs.fault.startswith(complaint) for complaint in LENIENT)
    return comparable(ours) == comparable(theirs)


def comparable(outcome: Outcome) -> Outcome:
    """The same with the cookies of each head joined and last, as h2 has them."""
    messages = (
        (stream, replace(message, head=_joined(message.head), interim=tuple(map(_joined, message.interim))))
        for stream, message in outcome.messages
    )
    return Outcome(tuple(messages), outcome.fault)


def _joined(fields: Fields) -> Fields:
    crumbs = [value for name, value in fields if name == b"cookie"]
    others = tuple(field for field in fields if field[0] != b"cookie")
    return (*others, (b"cookie", b"; ".join(crumbs))) if crumbs else others
