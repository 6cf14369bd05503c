"""Name servers that the agent asks itself: which ones, for what, and what it makes of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from meshloom.meshproxy.agent.name_servers import NameServers
from meshloom.meshproxy.agent.names import Found, Unanswered
from meshloom.meshproxy.resources.resolvers import Asking

from tests.support.name_server import NameServer, Record


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as made:
        yield made


class Machine:
    """Its hosts file and resolv.conf."""

    def __init__(self, folder: Path) -> None:
        self.hosts, self.resolv_conf = folder / "hosts", folder / "resolv.conf"

    def asking(self, *servers: NameServer, **settings: Any) -> NameServers:
        where = tuple(("127.0.0.1", server.port) for server in servers)
        return NameServers(Asking(servers=where, **settings), self.hosts, self.resolv_conf)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_an_answer_is_good_for_the_shortest_time_of_all_that_led_to_it(
    server: NameServer, machine: Machine
) -> None:
    server.records["www.test"] = [Record("CNAME", 7, "web.test")]
    server.records["web.test"] = [Record("A", 300, "192.0.2.1")]
    names = machine.asking(server)
    assert await names.ask("www.test", "V4_ONLY") == Found(("192.0.2.1",), 7)
    assert await names.ask("web.test.", "V4_ONLY") == Found(("192.0.2.1",), 300)


@pytest.mark.parametrize(
    ("family", "addresses", "ttl", "kinds"),
    [
        ("V4_ONLY", {"192.0.2.1"}, 30, ["A"]),
        ("V6_ONLY", {"2001:db8::1"}, 20, ["AAAA"]),
        ("AUTO", {"2001:db8::1"}, 20, ["AAAA"]),
        ("V4_PREFERRED", {"192.0.2.1"}, 30, ["A"]),
        ("ALL", {"192.0.2.1", "2001:db8::1"}, 20, ["A", "AAAA"]),
    ],
)
async def test_only_the_families_that_are_wanted_are_asked_for(
    family: str, addresses: set[str], ttl: int, kinds: list[str], server: NameServer, machine: Machine
) -> None:
    server.records["up.test"] = [Record("A", 30, "192.0.2.1"), Record("AAAA", 20, "2001:db8::1")]
    found = await machine.asking(server).ask("up.test", family)
    assert (set(found.addresses), found.ttl) == (addresses, ttl)
    assert [kind for _, kind, _ in server.asked] == kinds


async def test_the_other_family_is_asked_for_where_the_preferred_one_has_nothing(
    server: NameServer, machine: Machine
) -> None:
    server.records["old.test"] = [Record("A", 30, "192.0.2.1")]
    server.records["new.test"] = [Record("AAAA", 30, "2001:db8::1")]
    names = machine.asking(server)
    assert (await names.ask("old.test", "AUTO")).addresses == ("192.0.2.1",)
    assert (await names.ask("new.test", "V4_PREFERRED")).addresses == ("2001:db8::1",)


async def test_no_such_name_is_an_answer_and_a_failing_server_is_none(
    server: NameServer, machine: Machine
) -> None:
    server.records["six.test"] = [Record("AAAA", 30, "2001:db8::1")]
    names = machine.asking(server)
    assert await names.ask("none.test", "AUTO") == Found((), 0)
    assert await names.ask("six.test", "V4_ONLY") == Found((), 0)
    server.rcode = dns.rcode.SERVFAIL
    with pytest.raises(Unanswered, match="SERVFAIL"):
        await names.ask("six.test", "V6_ONLY")


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", ".".join(["abc"] * 80)])
async def test_what_cannot_be_a_name_is_not_found(name: str, server: NameServer, machine: Machine) -> None:
    with pytest.raises(Unanswered):
        await machine.asking(server).ask(name, "AUTO")


async def test_addresses_and_the_hosts_file_need_no_server(server: NameServer, machine: Machine) -> None:
    machine.hosts.write_text(
        "# none.test\n192.0.2.7 Here.test here # there.test\n::1\n2001:db8::7 here.test\n"
    )
    server.records["here.test"] = server.records["there.test"] = [Record("A", 30, "192.0.2.1")]
    names = machine.asking(server)
    assert await names.ask("192.0.2.9", "AUTO") == Found(("192.0.2.9",), 0)
    assert await names.ask("192.0.2.9", "V6_ONLY") == Found((), 0)
    assert await names.ask("here.test", "AUTO") == Found(("2001:db8::7",), 0)
    assert await names.ask("here.TEST.", "V4_ONLY") == Found(("192.0.2.7",), 0)
    assert await names.ask("here", "AUTO") == Found(("192.0.2.7",), 0)
    assert server.asked == []
    assert await names.ask("there.test", "V4_ONLY") == Found(("192.0.2.1",), 30)
    machine.hosts.write_text("192.0.2.8 there.test\n")
    assert await names.ask("there.test", "V4_ONLY") == Found(("192.0.2.8",), 0)


async def test_localhost_needs_neither(server: NameServer, machine: Machine) -> None:
    names = machine.asking(server)
    assert await names.ask("localhost", "V4_PREFERRED") == Found(("127.0.0.1",), 0)
    assert await names.ask("a.LOCALHOST.", "ALL") == Found(("127.0.0.1", "::1"), 0)
    machine.hosts.write_text("127.0.0.9 localhost\nfe80::1%lo0 localhost\n")
    assert await names.ask("localhost", "AUTO") == Found(("127.0.0.9",), 0)
    assert server.asked == []


async def test_search_domains_hold_for_names_with_few_dots(server: NameServer, machine: Machine) -> None:
    machine.resolv_conf.write_text("search one.test two.test\noptions ndots:2\n")
    server.records["web.two.test"] = [Record("A", 30, "192.0.2.1")]
    names = machine.asking(server)
    assert (await names.ask("web", "V4_ONLY")).addresses == ("192.0.2.1",)
    assert [name for name, _, _ in server.asked] == ["web.one.test", "web.two.test"]
    server.asked.clear()
    assert (await names.ask("web.two.test", "V4_ONLY")).addresses == ("192.0.2.1",)
    assert server.asked[0][0] == "web.two.test"
    server.asked.clear()
    assert (await machine.asking(server, search=False).ask("web", "V4_ONLY")).addresses == ()
    assert [name for name, _, _ in server.asked] == ["web"]


async def test_a_cut_answer_is_asked_for_again_over_tcp(server: NameServer, machine: Machine) -> None:
    server.records["up.test"] = [Record("A", 30, f"192.0.2.{n}") for n in range(100)]
    server.only_tcp = True
    assert len((await machine.asking(server).ask("up.test", "V4_ONLY")).addresses) == 100
    assert [transport for _, _, transport in server.asked] == ["udp", "tcp"]
    server.asked.clear()
    await machine.asking(server, tcp=True).ask("up.test", "V4_ONLY")
    assert [transport for _, _, transport in server.asked] == ["tcp"]


async def test_the_next_server_is_asked_where_one_fails(server: NameServer, machine: Machine) -> None:
    server.records["up.test"] = [Record("A", 30, "192.0.2.1")]
    with NameServer(rcode=dns.rcode.REFUSED) as broken:
        assert (await machine.asking(broken, server).ask("up.test", "V4_ONLY")).addresses == ("192.0.2.1",)
        assert len(broken.asked) == 1


async def test_servers_as_fallback_are_asked_where_the_machine_has_none(
    server: NameServer, machine: Machine
) -> None:
    server.records["up.test"] = [Record("A", 30, "192.0.2.1")]
    names = machine.asking(server, servers_as_fallback=True, timeout=1, tries=1)
    assert (await names.ask("up.test", "V4_ONLY")).addresses == ("192.0.2.1",)
    machine.resolv_conf.write_text("nameserver nowhere\n")
    assert (await names.ask("up.test", "V4_ONLY")).addresses == ("192.0.2.1",)
    server.asked.clear()
    # Nobody answers there.
    machine.resolv_conf.write_text("nameserver 127.255.255.254\n")
    with pytest.raises(Unanswered):
        await names.ask("up.test", "V4_ONLY")
    assert server.asked == []
