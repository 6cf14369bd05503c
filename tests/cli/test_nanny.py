"""Nothing is left behind: whatever ends, and however, the processes under it end too."""

import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from meshloom.cli.errors import CliError
from meshloom.cli.local.children import Child, Command, Nanny

from tests.support.wait import until_async

SLEEP = ["sleep", "1000"]
ENV = {"PATH": os.environ["PATH"]}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def shell(nanny: Nanny, script: str, log: Path) -> Child:
    return await nanny.spawn(Command(["sh", "-c", script], ENV, log=log))


async def pid_in(log: Path) -> int:
    await until_async(
        lambda: log.exists() and log.read_text().endswith("\n"), "the program has written a pid"
    )
    return int(log.read_text().split()[0])


async def test_a_program_runs_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        log = tmp_path / "log"
        child = await shell(nanny, 'echo "$WORD"; exit 7', log)
        assert await child.wait() == 7
        assert not child.running


async def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        child = await nanny.spawn(Command(SLEEP, ENV, log=tmp_path / "log"))
        child.signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL


async def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        log = tmp_path / "log"
        child = await shell(nanny, "trap '' TERM; echo $$; while :; do sleep 1; done", log)
        await pid_in(log)
        assert await child.stop(0.2) == -signal.SIGKILL


async def test_a_program_that_does_not_exist_is_an_error_with_its_name() -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        with pytest.raises(CliError, match="no-such-program"):
            await nanny.spawn(Command(["no-such-program"], ENV))


async def test_when_a_leader_ends_its_group_ends(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        log = tmp_path / "log"
        child = await shell(nanny, "sleep 1000 & echo $!; exit 0", log)
        assert await child.wait() == 0
        pid = await pid_in(log)
        await until_async(lambda: not alive(pid), "the background job is gone")


async def test_the_end_of_the_block_ends_everything_also_what_has_left_its_group(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        log = tmp_path / "log"
        child = await shell(nanny, "setsid sh -c 'echo $$; sleep 1000' & sleep 1000", log)
        escaped = await pid_in(log)
        assert alive(escaped)
    assert not alive(escaped)
    assert not alive(child.pid)


OWNER = """
import asyncio, sys
from contextlib import AsyncExitStack
from pathlib import Path
from meshloom.cli.local.children import Command, Nanny

async def main():
    async with AsyncExitStack() as stack:
        nanny = await Nanny.start(stack)
        child = await nanny.spawn(Command(["sleep", "1000"], {"PATH": sys.argv[1]}))
        print(nanny._process.pid, child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def start_owner() -> tuple[subprocess.Popen[str], int, int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, os.environ["PATH"]], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    nanny, child = map(int, owner.stdout.readline().split())
    return owner, nanny, child


async def test_nothing_survives_the_sigkill_of_the_owner() -> None:
    owner, nanny, child = start_owner()
    with owner:
        owner.kill()
    await until_async(lambda: not alive(child) and not alive(nanny), "child and nanny are gone")


async def test_nothing_survives_the_sigkill_of_the_nanny() -> None:
    owner, nanny, child = start_owner()
    with owner:
        os.kill(nanny, signal.SIGKILL)
        await until_async(lambda: not alive(child), "the kernel has killed the child")
        owner.kill()


async def test_the_nanny_stays_single_threaded_and_small() -> None:
    owner, nanny, _ = start_owner()
    with owner:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{nanny}/status").read_text().splitlines())
        assert int(status["Threads"]) == 1
        assert int(status["VmRSS"].split()[0]) < 24 * 1024
        owner.kill()
