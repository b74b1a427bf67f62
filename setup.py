"""Build the kernel of ``sha512-chain``, an optional C extension. All else about the package is in pyproject.toml.

A build without a C compiler or without Python's headers succeeds: the Python twin serves then, and the build says so.
Every build is made anew, and what an earlier one left is removed first, so that an old kernel never passes for one
that could not be made. ``build_ext --sanitize`` makes the build that scripts/sanitize.sh runs the tests against.
"""

import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KINDS = Path("src", "dynwork", "kinds")
SOURCES = sorted(path.as_posix() for path in (KINDS / "native").iterdir())
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")  # a free-threaded Python has none before 3.15

HIDDEN = "-fvisibility=hidden"  # nothing is found by its name from outside, and nothing of the outside instead of ours
WARNINGS = ["-Wall", "-Wextra", "-Werror=implicit-function-declaration"]  # undeclared: not of the stable ABI
FAST = ["-O3", "-g0"]
SANITIZED = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-fno-wrapv",  # Python's own flags may hold -fwrapv, with which an overflow is no mistake
    "-g",
    "-O1",
]

WITHOUT = """the C kernel of dynwork was NOT built; the next line says why.
    Everything works, but it hashes in Python, which takes many times as long. For the kernel install a C compiler
    and Python's headers (Debian, Ubuntu: apt install gcc libc6-dev python3-dev; Fedora: dnf install gcc python3-devel),
    then install dynwork again, without pip's cache."""


class BuildKernel(build_ext):
    """Build anew, say what it means when that fails, and build sanitized when asked."""

    user_options = [*build_ext.user_options, ("sanitize", None, "with the address and undefined-behaviour sanitizers")]  # noqa: RUF012
    boolean_options = [*build_ext.boolean_options, "sanitize"]  # noqa: RUF012

    def initialize_options(self):
        """Start from a plain build."""
        super().initialize_options()
        self.sanitize = False

    def run(self):
        """Remove what an earlier build left, then build."""
        self.force = True
        places = [Path(self.build_lib, "dynwork", "kinds"), *([KINDS] if self.inplace else [])]
        for stale in [path for place in places for path in place.glob("_sha512chain*.so")]:
            stale.unlink()
        super().run()

    def build_extension(self, extension):
        """Build one; setuptools turns the failure of an optional one into a warning."""
        if self.sanitize:
            extension.optional = False
            extension.extra_compile_args = [*WARNINGS, "-Werror", HIDDEN, *SANITIZED]
            extension.extra_link_args = SANITIZED
        try:
            super().build_extension(extension)
        except Exception:
            if extension.optional:
                self.warn(WITHOUT)
            raise


setup(
    ext_modules=[
        Extension(
            "dynwork.kinds._sha512chain",
            sources=[path for path in SOURCES if path.endswith(".c")],
            depends=[path for path in SOURCES if path.endswith(".h")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
            extra_compile_args=[*WARNINGS, HIDDEN, *FAST],
            extra_link_args=["-s"],
            py_limited_api=STABLE_ABI,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
    cmdclass={"build_ext": BuildKernel},
)
