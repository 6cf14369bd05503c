"""Runs the demo: a mesh in a folder of its own, the story over it, and nothing left afterwards."""

import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from meshloom.cli.context import MeshHome
from meshloom.cli.demo.report import Report
from meshloom.cli.demo.screen import Screen
from meshloom.cli.demo.story import Story
from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.mesh import MeshOptions, local_mesh
from meshloom.cli.local.settings import LocalSettings

_SETTLED_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo is asked for."""

    example: Path
    rate: float
    """Requests per second while something happens to the mesh."""
    keep: bool
    """Leave the folder with the logs, also when all went well."""


async def run_demo(options: DemoOptions, screen: Screen) -> Report:
    """Raises CliError when the mesh does not even come up; broken promises are in the report."""
    settings = LocalSettings.load(options.example)
    folder = Path(tempfile.mkdtemp(prefix="meshloom-demo-"))
    started, keep = time.monotonic(), options.keep
    try:
        with MeshHome(folder) as home:
            report = await _told(MeshOptions(settings, home, gateway=settings.gateway), options, screen)
        report.seconds = round(time.monotonic() - started, 1)
        keep = keep or bool(report.broken())
        return report
    except CliError:
        keep = True
        raise
    finally:
        if keep:
            screen.say(f"   logs: {folder / 'log'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _told(mesh_options: MeshOptions, options: DemoOptions, screen: Screen) -> Report:
    async with AsyncExitStack() as stack:
        with screen.step("start"):
            mesh = await stack.enter_async_context(local_mesh(mesh_options))
            await mesh.until_settled(_SETTLED_WITHIN_S)
        return await Story(mesh, options.example, screen, options.rate).tell()


def find_example(given: Path | None) -> Path:
    """The shop that came with this installation, unless another is named."""
    example = given or Path(__file__).parents[2] / "examples" / "shop"
    if not (example / "meshloom.yaml").exists():
        raise CliError(f"{example}: no shop here", Exit.USAGE, "name its folder with --example DIR")
    return example
