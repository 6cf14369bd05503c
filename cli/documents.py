"""Finds the YAML that `-f` names: files, directories, or standard input."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshloom.cli.errors import CliError, Exit
from meshloom.cli.local.settings import NAME

_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text, and the name that messages about it carry."""

    name: str
    text: str


def sources(files: Sequence[str]) -> Iterator[Source]:
    """In the order given; a directory's files by name, without its subdirectories and without
    meshloom.yaml."""
    for name in files:
        if name == "-":
            yield Source("standard input", sys.stdin.read())
            continue
        path = Path(name)
        if not path.is_dir():
            yield _read(path)
            continue
        found = sorted(p for p in path.iterdir() if p.suffix in _ENDINGS and p.name != NAME)
        if not found:
            raise CliError(f"{path}: no YAML in this directory", Exit.USAGE)
        yield from map(_read, found)


def _read(path: Path) -> Source:
    try:
        return Source(str(path), path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}", Exit.USAGE) from error
    except UnicodeDecodeError as error:
        raise CliError(f"{path}: not UTF-8 at byte {error.start}", Exit.REFUSED) from error
