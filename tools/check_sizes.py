"""Keeps files and functions small enough to be read in one go (limits: CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, TEST_FILE_LINES = 600, 800
FUNCTION_LINES = 60
GENERATED = re.compile(r"(_pb2(_grpc)?\.pyi?$|^fastpath/rust/xds/src/generated)")
RUST_FUNCTION = re.compile(r"^(?P<indent>\s*)(pub(\([a-z]+\))? )?(const |async |unsafe )*fn (?P<name>\w+)")


def sources() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.rs", "*.pyx"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        if not GENERATED.search(name) and (ROOT / name).exists():
            yield Path(name)


def is_test(path: Path) -> bool:
    return "tests" in path.parts or path.name.startswith(("test_", "tests"))


def long_python_functions(text: str) -> Iterator[tuple[int, str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES:
                yield node.lineno, node.name, size


def long_rust_functions(text: str) -> Iterator[tuple[int, str, int]]:
    """rustfmt puts a function's closing brace in the column of its `fn`, so columns are enough."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if (found := RUST_FUNCTION.match(line)) and not line.rstrip().endswith((";", "}")):
            end = next(
                (
                    i
                    for i, other in enumerate(lines[start + 1 :], start + 1)
                    if other == found["indent"] + "}"
                ),
                start,
            )
            if end - start + 1 > FUNCTION_LINES:
                yield start + 1, found["name"], end - start + 1


def complaints(path: Path) -> Iterator[str]:
    text = (ROOT / path).read_text()
    lines, limit = text.count("\n"), TEST_FILE_LINES if is_test(path) else FILE_LINES
    if lines > limit:
        yield f"{path}: {lines} lines, the limit is {limit}: split it by idea"
    if is_test(path):
        return
    find = long_rust_functions if path.suffix == ".rs" else long_python_functions
    if path.suffix != ".pyx":
        for line, name, size in find(text):
            yield f"{path}:{line}: {name} has {size} lines, the limit is {FUNCTION_LINES}"


def main() -> int:
    found = [complaint for path in sources() for complaint in complaints(path)]
    print("\n".join(found) or "file sizes: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
