"""Fuzzes the bootstrap: any file gives a bootstrap or InvalidBootstrap, whose every line names the file.

    python -m tests.fuzz.bootstrap [libFuzzer's options] [corpus...]

The corpora are seeds/bootstrap, by hand, and seeds/bootstrap.tar.gz, the fewest inputs that reach all that
was ever reached (`-merge=1`); `make fuzz` begins with both.

Bytes are mutated as libFuzzer does it; what is JSON is mutated as a document too, for hardly any change of
bytes leaves one that gets past the parser.
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["meshloom.meshproxy", "google.protobuf.json_format"]):
    from meshloom.meshproxy.bootstrap.load import InvalidBootstrap, load
    from meshloom.meshproxy.options import Options

Slot = tuple[Any, Any]
"""A container of a document, and the key or index of a value in it."""

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**31,
        2**64,
        1e309,
        -0.5,
        "",
        "x",
        "\0",
        "\ud800",
        "é",
        "5s",
        "-1s",
        "1e9s",
        "315576000000s",
    ),
    *([], {}, [[]], {"@type": "x"}, {"@type": "type.googleapis.com/google.protobuf.Any"}, {"": {}}),
    *("AUTO", "STATIC", "127.0.0.1", "::1", "999", "(", "%", "/dev/null", "REST", "DELTA_GRPC"),
)


def slots(value: Any) -> list[Slot]:
    """Every place of a document that holds a value."""
    found: list[Slot] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        keys = part.keys() if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        for key in keys:
            found.append((part, key))
            waiting.append(part[key])
    return found


def mutate_document(document: Any, chance: random.Random) -> None:
    """Change one value, key or element of a document in place."""
    places = slots(document)
    if not places:
        return
    holder, key = chance.choice(places)
    other_holder, other_key = chance.choice(places)
    copied = json.loads(json.dumps(other_holder[other_key]))
    match chance.randrange(6):
        case 0:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        case 1:
            holder[key] = copied
        case 2:
            del holder[key]
        case 3 if isinstance(holder, dict):
            holder[str(other_key)] = copied
        case 3 | 4 if isinstance(holder, list):
            holder.insert(key, copied)
        case 4:
            holder[str(key) + chance.choice(("_", "x", "é", "\0"))] = holder.pop(key)
        case _:
            holder[key] = [holder[key]] if chance.random() < 0.5 else {str(other_key): holder[key]}


def mutate(data: bytes, most: int, seed: int) -> bytes:
    chance = random.Random(seed)
    if chance.random() < 0.75:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            for _ in range(chance.randint(1, 3)):
                mutate_document(document, chance)
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=chance.random() < 0.5)
            if len(changed := text.encode(errors="surrogatepass")) <= most:
                return changed
    changed_bytes: bytes = atheris.Mutate(data, most)
    return changed_bytes


def run(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        load(Options(config_path=str(path)))
    except InvalidBootstrap as error:
        refused = error
    else:
        return
    assert refused.lines
    for line in refused.lines:
        assert line.startswith(f"{path}:"), line
        line.encode()


def main() -> None:
    # A document may name any file to be read: nothing to wait for on standard input.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.yaml"
        atheris.Setup(sys.argv, lambda data: run(path, data), custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
