"""The kernel against the best Python loop and against a C loop over OpenSSL's EVP, interleaved in one run.

    make bench-kernel, or python -m benchmarks.kernel [--rounds 11] [--seconds 0.06]

In every round each variant has its turn of so many seconds, the two loops just before it; a ratio is the median of the
rounds' ratios, for the clock of a machine may swing from one second to the next. Printed are million steps a second,
and how many times the Python loop's and the EVP loop's that is, for each path that this CPU can run:

    N chains        N chains of equal length
    mixed           16 chains of 1,000 to 1,000,000 steps, log-uniform, to the end of the longest
    in order        the same, lanes given as listed (longest first) and not dealt anew
    checkpoint      16 chains, all states read every 1,000 steps of each
    two threads     two times 16 chains, what both make together; one thread is measured again just before

The EVP loop is compiled when it is needed (cc) and calls the libcrypto that Python's hashlib uses.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import math
import platform
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from statistics import median
from threading import Thread

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dynwork.kinds import _sha512chain as kernel
from dynwork.kinds.measure import loop_speed
from dynwork.kinds.sha512_chain import PYTHON, Path, paths

CHAINS = (1, 2, 3, 4, 5, 8, 16, 256)
MIXED = 16
DECADES = (1_000, 1_000_000)
CHECKPOINT_STEPS = 1_000
ENDLESS = 2**40
SEED = 20261124

Variant = Callable[[float], float]
"""Works for about so many seconds; returns the steps it made in a second."""
Round = dict[tuple[str, str], "Turn"]
"""By path and variant."""


class Evp(ctypes.Structure):
    _fields_ = (
        ("init", ctypes.c_void_p),
        ("update", ctypes.c_void_p),
        ("finish", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("type", ctypes.c_void_p),
    )


def libcrypto() -> ctypes.CDLL:
    """Return the library that hashlib has loaded."""
    loaded = {line.split()[-1] for line in File("/proc/self/maps").read_text().splitlines() if "libcrypto" in line}
    if len(loaded) != 1:
        raise SystemExit(f"found {len(loaded)} libcrypto in this process: the EVP loop needs the one of hashlib")
    return ctypes.CDLL(loaded.pop())


def evp_loop(folder: File) -> Variant:
    """Compile the C loop and return it."""
    built = folder / "evp.so"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", File(__file__).with_name("evp.c"), "-o", built], check=True)
    loop, crypto = ctypes.CDLL(str(built)).evp_chain, libcrypto()
    loop.argtypes = [ctypes.POINTER(Evp), ctypes.c_char_p, ctypes.c_long]
    for maker in (crypto.EVP_MD_CTX_new, crypto.EVP_sha512):
        maker.restype = ctypes.c_void_p
    evp = Evp(
        *(
            ctypes.cast(function, ctypes.c_void_p)
            for function in (crypto.EVP_DigestInit_ex2, crypto.EVP_DigestUpdate, crypto.EVP_DigestFinal_ex)
        ),
        crypto.EVP_MD_CTX_new(),
        crypto.EVP_sha512(),
    )
    state = ctypes.create_string_buffer(bytes(64), 64)
    loop(evp, state, 3)
    expected = bytes(64)
    for _ in range(3):
        expected = hashlib.sha512(expected).digest()
    assert state.raw == expected, "the EVP loop computes something else"

    def run(seconds: float) -> float:
        started, made, steps = time.perf_counter(), 0, 5_000
        while (passed := time.perf_counter() - started) < seconds:
            loop(evp, state, steps)
            made += steps
        return made / passed

    return run


def equal(path: Path, chains: int) -> Variant:
    """So many chains that do not end."""

    def run(seconds: float) -> float:
        started = time.perf_counter()
        *_, made = kernel.advance(bytes(64 * chains), [ENDLESS] * chains, 2**63, seconds, path=path.name)
        return made / (time.perf_counter() - started)

    return run


def mixed(path: Path, *, in_order: bool) -> Variant:
    """Chains of many lengths, to the end of the longest; the time given only says how often."""
    source = random.Random(SEED)
    low, high = (math.log(end) for end in DECADES)
    lengths = sorted((round(math.exp(source.uniform(low, high))) for _ in range(MIXED)), reverse=True)

    def run(seconds: float) -> float:
        started, made = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds:
            *_, steps = kernel.advance(bytes(64 * MIXED), lengths, 2**63, math.inf, in_order=in_order, path=path.name)
            made += steps
        return made / passed

    return run


def checkpointed(path: Path) -> Variant:
    """All states are read whenever each chain has made its steps to the next checkpoint."""

    def run(seconds: float) -> float:
        started, made, states = time.perf_counter(), 0, bytes(64 * MIXED)
        while (passed := time.perf_counter() - started) < seconds:
            states, _, steps = kernel.advance(states, [CHECKPOINT_STEPS] * MIXED, 2**63, math.inf, path=path.name)
            made += steps
        return made / passed

    return run


def in_two_threads(variant: Variant) -> Variant:
    """Two threads at the same time; their steps in a second together."""

    def run(seconds: float) -> float:
        rates: list[float] = []
        threads = [Thread(target=lambda: rates.append(variant(seconds))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(rates)

    return run


def variants(path: Path) -> dict[str, Variant]:
    return {
        **{f"{chains} chain{'s' * (chains > 1)}": equal(path, chains) for chains in CHAINS},
        "mixed": mixed(path, in_order=False),
        "in order": mixed(path, in_order=True),
        "checkpoint": checkpointed(path),
        "one thread": equal(path, 16),
        "two threads": in_two_threads(equal(path, 16)),
    }


@dataclass(frozen=True)
class Turn:
    """What a variant made in one round, and what the two loops made just before: steps a second."""

    variant: float
    python: float
    evp: float


def measure(variants: dict[tuple[str, str], Variant], evp: Variant, rounds: int, seconds: float) -> list[Round]:
    """Return what each variant made in each round."""
    return [
        {
            name: Turn(
                python=loop_speed(seconds / 2, time.perf_counter), evp=evp(seconds / 2), variant=variant(seconds)
            )
            for name, variant in variants.items()
        }
        for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True)
    ]


def table(path: str, names: Sequence[str], measured: list[Round]) -> Table:
    shown = Table(title=path, title_justify="left")
    for heading in ("", "M steps/s", "x Python", "x EVP", "lowest - highest x Python"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name in names:
        turns = [one[path, name] for one in measured]
        times_python = [turn.variant / turn.python for turn in turns]
        shown.add_row(
            name,
            f"{median(turn.variant for turn in turns) / 1e6:.2f}",
            f"{median(times_python):.2f}",
            f"{median(turn.variant / turn.evp for turn in turns):.2f}",
            f"{min(times_python):.2f} - {max(times_python):.2f}",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.06)
    options = parser.parse_args()
    native = [path for path in paths() if path != PYTHON]
    by_path = {path.name: variants(path) for path in native}
    flat = {(path, name): variant for path, some in by_path.items() for name, variant in some.items()}
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(flat, evp_loop(File(folder)), options.rounds, options.seconds)
    turns = [turn for one in measured for turn in one.values()]
    console = Console(width=120)
    console.print(
        f"{platform.machine()}, Python {platform.python_version()}, {options.rounds} rounds of {options.seconds} s; "
        f"the Python loop makes {median(turn.python for turn in turns) / 1e6:.2f} M steps/s "
        f"({min(turn.python for turn in turns) / 1e6:.2f} - {max(turn.python for turn in turns) / 1e6:.2f}), "
        f"the EVP loop {median(turn.evp for turn in turns) / 1e6:.2f}"
    )
    for path, some in by_path.items():
        console.print(table(path, list(some), measured))
        times_one = [one[path, "two threads"].variant / one[path, "one thread"].variant for one in measured]
        console.print(f"{path}: two threads make {median(times_one):.2f} times what one does\n")


if __name__ == "__main__":
    main()
