"""In-tree PEP 517/660 backend: Cython first, then maturin (Rust and wheel packing).

maturin owns the wheel. Two things it cannot do are done here, before it runs:

1. compile `fastpath/cython/*.pyx` in place (setuptools' build_ext);
2. give the top-level folders one import root, `meshloom.*`, by a staged tree under build/python
   (git-ignored; also the search path of mypy and import-linter).

Run as a program (`python tools/mesh_build.py stage|cython|core`) it does one of those steps for a
developer, without packing anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "python" / "meshloom"
# Each top-level folder that is a subpackage of meshloom.
PACKAGES = ("api", "auth", "cli", "examples", "fastpath", "meshproxy", "mixer", "pilot", "runtime")
# maturin adds its own _core; sources of compiled code have no place in a wheel.
NOT_PACKED = shutil.ignore_patterns("__pycache__", "rust", "cython", "*.pyx", "_core.*.so")

Settings = Mapping[str, Any] | None


def stage(*, copy: bool) -> None:
    """Lay the top-level folders out as build/python/meshloom/<name>.

    A wheel gets copies (maturin does not follow folder symlinks when it packs); an editable install
    gets symlinks, so that edits and new files are seen at once.
    """
    STAGE.mkdir(parents=True, exist_ok=True)
    (STAGE / "__init__.py").write_text('"""Meshloom, a service mesh."""\n')
    (STAGE / "py.typed").touch()
    for name in PACKAGES:
        place(name, copy=copy)


def place(name: str, *, copy: bool) -> None:
    staged, link = STAGE / name, os.path.relpath(ROOT / name, STAGE)
    if not copy and staged.is_symlink() and os.readlink(staged) == link:
        return  # a running mesh reads through it
    if staged.is_symlink():
        staged.unlink()
    shutil.rmtree(staged, ignore_errors=True)
    if copy:
        shutil.copytree(ROOT / name, staged, ignore=NOT_PACKED)
    else:
        staged.symlink_to(link, target_is_directory=True)


def build_cython() -> None:
    """Compile every fastpath/cython/*.pyx to fastpath/<name>.*.so."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    os.chdir(ROOT)
    # The full dotted name, or tracebacks and pickles name a module that does not exist.
    extensions = [
        Extension(
            f"meshloom.fastpath.{source.stem}",
            [str(source.relative_to(ROOT))],
            extra_compile_args=["-O3"],
        )
        for source in sorted((ROOT / "fastpath" / "cython").glob("*.pyx"))
    ]
    if not extensions:
        return
    modules = cythonize(extensions, build_dir="build/cython")  # type: ignore[no-untyped-call]
    distribution = Distribution({"ext_modules": modules, "package_dir": {"meshloom.fastpath": "fastpath"}})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.build_temp = "build/temp"
    command.ensure_finalized()
    command.run()


def build_core(profile: str = "release") -> None:
    """Compile the Rust extension and put it beside its stub, as an editable install would."""
    command = ["cargo", "build", "-p", "meshloom-py", f"--profile={profile}"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = target / ("debug" if profile == "dev" else profile) / "lib_core.so"
    staged = ROOT / "fastpath" / "_core.abi3.so.new"
    shutil.copy2(built, staged)
    staged.replace(ROOT / "fastpath" / "_core.abi3.so")  # never truncate a library that runs


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_wheel
get_requires_for_build_sdist = get_requires_for_build_wheel


def build_wheel(
    directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    import maturin

    build_cython()
    stage(copy=True)
    try:
        return str(maturin.build_wheel(directory, config_settings, metadata_directory))
    finally:
        stage(copy=False)  # an editable install in this checkout points here


def build_editable(
    directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    import maturin

    build_cython()
    stage(copy=False)
    return str(maturin.build_editable(directory, config_settings, metadata_directory))


def build_sdist(directory: str, config_settings: Settings = None) -> str:
    import maturin

    stage(copy=False)
    return str(maturin.build_sdist(directory, config_settings))


def prepare_metadata_for_build_wheel(directory: str, config_settings: Settings = None) -> str:
    import maturin

    stage(copy=False)
    return str(maturin.prepare_metadata_for_build_wheel(directory, config_settings))


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel

STEPS = {"stage": lambda: stage(copy=False), "cython": build_cython, "core": build_core}

if __name__ == "__main__":
    for step in sys.argv[1:]:
        STEPS[step]()
