"""Messages with descriptors, and readers that do not read."""

from __future__ import annotations

import os
import socket

import pytest
from meshloom.meshproxy.control import Channel, ChannelClosed, Message, channel_pair, read_sealed, sealed


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    a, b = channel_pair()
    return Channel(a), Channel(b)


def test_a_message_arrives_with_its_descriptors(ends: tuple[Channel, Channel]) -> None:
    content = sealed("t", b"resources")
    ends[0].send({"type": "update", "version": 3}, [content])

    message = ends[1].receive()

    assert message is not None
    assert (message.kind, message.header["version"]) == ("update", 3)
    assert read_sealed(message.fds[0]) == b"resources"


def test_what_is_sealed_cannot_be_changed() -> None:
    fd = sealed("t", b"resources")

    with pytest.raises(PermissionError):
        os.pwrite(fd, b"R", 0)


def test_an_end_that_does_not_read_costs_a_queue_and_loses_nothing(ends: tuple[Channel, Channel]) -> None:
    sent = 0
    while not ends[0].blocked or sent < 3000:
        ends[0].send({"type": "n", "n": sent})
        sent += 1

    received: list[int] = []
    while len(received) < sent:
        while (message := ends[1].receive()) is not None:
            received.append(message.header["n"])
        ends[0].flush()

    assert received == list(range(sent))
    assert not ends[0].blocked


def test_descriptors_in_the_queue_stay_open_until_they_are_sent(ends: tuple[Channel, Channel]) -> None:
    while not ends[0].blocked:
        ends[0].send({"type": "fill", "text": "x" * 4096})
    fd = sealed("t", b"late")
    ends[0].send({"type": "last"}, [fd])
    os.close(fd)

    messages: list[Message] = []
    while not messages or messages[-1].kind != "last":
        while (message := ends[1].receive()) is not None:
            messages.append(message)
        ends[0].flush()

    assert read_sealed(messages[-1].fds[0]) == b"late"


def test_an_end_that_is_gone_is_noticed(ends: tuple[Channel, Channel]) -> None:
    ends[1].close()

    with pytest.raises(ChannelClosed):
        ends[0].receive()
    with pytest.raises(ChannelClosed):
        ends[0].send({"type": "x"})


def test_a_message_longer_than_one_packet_is_refused_before_it_is_sent() -> None:
    channel = Channel(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0])

    with pytest.raises(ValueError, match="bytes and 0 descriptors"):
        channel.send({"type": "x", "text": "y" * 200_000})
