"""The agent's process: started by the arbiter, with its control connection as the last argument."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys

import uvloop
from meshloom.meshproxy.agent.agent import Agent
from meshloom.meshproxy.agent.fleet import Fleet
from meshloom.meshproxy.agent.relay import Relay
from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
from meshloom.meshproxy.control import Channel, ChannelClosed, Message, read_sealed
from meshloom.meshproxy.logs import open_log
from meshloom.meshproxy.options import Options
from meshloom.runtime.log import Log

EXIT_BAD_BOOTSTRAP = 1
START_TIMEOUT_S = 10.0

log = Log("agent")


def main(arguments: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the arbiter says what they mean
    # What gRPC has to say of a connection reaches us as an error, and the log as an event.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    control = int(arguments[-1])
    os.set_inheritable(control, False)
    start = _first_message(control)
    options = Options(**start.header["options"])
    open_log(options)
    try:
        bootstrap = load(options)
    except InvalidBootstrap as error:
        for line in error.lines:
            log.error("bootstrap_refused", fault=line)
        return EXIT_BAD_BOOTSTRAP
    telemetry = start.fds[: start.header["telemetry"]]
    blobs = [_take(fd) for fd in start.fds[len(telemetry) :]]
    fleet = Fleet()
    relay = Relay(control)
    agent = Agent(options, bootstrap, relay, fleet, log_level=options.log_level)
    agent.restore(start.header["versions"], blobs)
    return uvloop.run(_serve(agent, list(telemetry)))


async def _serve(agent: Agent, telemetry: list[int]) -> int:
    from meshloom.meshproxy.agent.services import run_services

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    agent.relay.attach(agent.hear)
    try:
        await run_services(agent, telemetry, ended)
    except OSError as error:
        log.error("admin_failed", reason=error)
        return EXIT_BAD_BOOTSTRAP
    return 0


def _first_message(control: int) -> Message:
    """Options, shared memory and the last good configuration. The descriptor stays ours to use."""
    channel = Channel(socket.socket(fileno=os.dup(control)))
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    try:
        waiting.poll(START_TIMEOUT_S * 1000)
        message = channel.receive()
    finally:
        channel.close()
    if message is None:
        raise ChannelClosed(f"the arbiter said nothing within {START_TIMEOUT_S} s")
    return message


def _take(fd: int) -> bytes:
    try:
        return read_sealed(fd)
    finally:
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
