"""A name server on loopback, over UDP and TCP, whose records a test may change at any time."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.server import LoopbackServer


class Record(NamedTuple):
    kind: str
    """A, AAAA or CNAME."""
    ttl: int
    value: str


@dataclass
class NameServer(LoopbackServer):
    """Names that have records here, of whatever kind, exist; all others do not (NXDOMAIN)."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    """By name, without the last dot."""
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    """What to answer instead, if it is an error."""
    silent: set[str] = field(default_factory=set)
    """Names whose questions nobody answers."""
    only_tcp: bool = False
    """Answers over UDP are cut short, so that the client comes again."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Every question: name, type and transport."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        threading.Thread(target=self._serve_datagrams, daemon=True).start()

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):
            self._datagrams.shutdown(socket.SHUT_RDWR)  # wakes its thread
        self._datagrams.close()

    def serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(EOFError):
            while True:
                query, _ = dns.query.receive_tcp(connection)
                dns.query.send_tcp(connection, self._answer(query, "tcp"))

    def _serve_datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, client = self._datagrams.recvfrom(4096)
                if not data:
                    return
                query = dns.message.from_wire(data)
                reply = self._answer(query, "udp")
                if query.question[0].name.to_text(omit_final_dot=True) not in self.silent:
                    self._datagrams.sendto(reply.to_wire(), client)

    def _answer(self, query: dns.message.Message, transport: str) -> dns.message.Message:
        question = query.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append((name, kind, transport))
        reply = dns.message.make_response(query)
        reply.set_rcode(self.rcode)
        if self.only_tcp and transport == "udp":
            reply.flags |= dns.flags.TC
        elif self.rcode == dns.rcode.NOERROR:
            self._fill(reply, name, kind)
        return reply

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        """With the records of the name, after those of the names that lead to it."""
        records = self.records.get(name)
        if records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return
        for record in records:
            if record.kind == "CNAME":
                reply.answer.append(
                    dns.rrset.from_text(f"{name}.", record.ttl, "IN", "CNAME", f"{record.value}.")
                )
                self._fill(reply, record.value, kind)
        if fitting := [record for record in records if record.kind == kind]:
            ttl, values = fitting[0].ttl, [record.value for record in fitting]
            reply.answer.append(dns.rrset.from_text_list(f"{name}.", ttl, "IN", kind, values))
