"""The core stays pure: nothing awaited, no clock, no randomness, no I/O. Looked up in the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynwork.orchestrator import core

FILES = sorted(Path(core.__path__[0]).glob("**/*.py"))
PURE_MODULES = {
    "__future__", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq", "itertools", "math", "typing",
}  # fmt: skip
OURS = "dynwork.orchestrator.core"
EFFECTS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


def impurities(tree: ast.AST) -> Iterator[str]:
    """Name everything in ``tree`` that pure code does not do."""
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', '?')}"
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"{where}: waits"
            case ast.Import(names):
                yield from (f"{where}: imports {alias.name}" for alias in names if not _pure(alias.name))
            case ast.ImportFrom(module=module, level=level):
                if level or not _pure(module or ""):
                    yield f"{where}: imports from {module}"
            case ast.Call(func=ast.Name(id=name)) if name in EFFECTS:
                yield f"{where}: calls {name}"
            case ast.Global() | ast.Nonlocal():
                yield f"{where}: writes to an outer scope"
            case _:
                pass


def _pure(module: str) -> bool:
    return module == OURS or module.startswith(f"{OURS}.") or module.partition(".")[0] in PURE_MODULES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_core_is_pure(file: Path) -> None:
    assert list(impurities(ast.parse(file.read_text()))) == []


def test_every_module_of_core_is_looked_at() -> None:
    assert {"job", "machine", "retry", "worker", "leasing", "instance", "scaling"} <= {file.stem for file in FILES}


@pytest.mark.parametrize(
    "code",
    [
        "import time", "import random", "import os.path", "import io", "import logging", "import asyncio",
        "from socket import socket", "from dynwork.clock import Clock", "from . import job", "open('x')", "print(1)",
        "async def f(): pass", "def f():\n    global x\n    x = 1",
    ],
)  # fmt: skip
def test_the_test_sees_what_is_impure(code: str) -> None:
    assert list(impurities(ast.parse(code)))
