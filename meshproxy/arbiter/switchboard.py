"""The control connections to the agent and the workers, by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meshloom.meshproxy.arbiter.loop import Loop
from meshloom.meshproxy.control import Channel, ChannelClosed, Message

Hear = Callable[[int, Message], None]


class Switchboard:
    """Hands each message to `hear`, with the place it came from."""

    def __init__(self, loop: Loop, hear: Hear) -> None:
        self._loop, self._hear = loop, hear
        self._channels: dict[int, Channel] = {}

    def connect(self, place: int, channel: Channel) -> None:
        self.disconnect(place)
        self._channels[place] = channel
        self._loop.watch(channel.fileno(), lambda: self.converse(place))

    def disconnect(self, place: int) -> None:
        if channel := self._channels.pop(place, None):
            self._loop.forget(channel.fileno())
            channel.close()

    def send(self, place: int, header: dict[str, Any], fds: Sequence[int] = ()) -> None:
        channel = self._channels.get(place)
        if channel is None:
            return
        try:
            channel.send(header, fds)
        except ChannelClosed:
            self.disconnect(place)
            return
        if channel.blocked:
            self._loop.want_write(channel.fileno(), wanted=True)

    def converse(self, place: int) -> None:
        """Send what waits, and hear what there is to hear."""
        channel = self._channels.get(place)
        if channel is None:
            return
        try:
            channel.flush()
            self._loop.want_write(channel.fileno(), wanted=channel.blocked)
            while self._channels.get(place) is channel and (message := channel.receive()) is not None:
                self._hear(place, message)
        except ChannelClosed:
            # What its end as a process means is decided when it is reaped.
            if self._channels.get(place) is channel:
                self.disconnect(place)
