"""Builds the extension modules of ``wirepool._core``; everything else is in pyproject.toml.

Switches (environment variables, off by default):
  WIREPOOL_DEBUG=1      -O0, asserts on
  WIREPOOL_COVERAGE=1   gcc counts what runs, by lines of the .pyx; see tools/coverage.py
  WIREPOOL_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer
  WIREPOOL_WERROR=1     WARNINGS, as errors: for CI, never for who installs with a compiler that we have not met
  WIREPOOL_FUZZ=1       the same, coverage that guides libFuzzer, and the fuzz targets in C; for clang only
"""

import os
import sys
import sysconfig

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

MODULES = [
    "errors",
    "buffer",
    "head",
    "chunked",
    "headers_out",
    "sockio",
    "tlsio",
    "liveness",
    "watch",
    "idle",
    "exchange",
]

# Modules in Python whose branches guide the fuzzer.
GUIDES = ["util.url", "_decode"]

DEBUG, COVERAGE, SANITIZE, FUZZ, WERROR = (
    os.environ.get(f"WIREPOOL_{name}", "0") == "1" for name in ("DEBUG", "COVERAGE", "SANITIZE", "FUZZ", "WERROR")
)

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
    "auto_pickle": False,
    "autotestdict": False,
    "allow_none_for_extension_args": False,
    "embedsignature": False,
    "warn.maybe_uninitialized": True,
}

# Cython has no C initialiser for our own warnings policy: fail the build on any of its warnings.
Options.warning_errors = True

# What our headers, and the C that Cython makes of our sources, are free of with gcc and clang. Left out, since Cython
# itself writes such C: -Wshadow (its thread state, in nested blocks), -Wundef (PyPy's version), -Wredundant-decls (its
# prototypes), -Wfloat-equal and -Wformat-nonliteral (its helpers), -Wcast-align (clang, on objects' structs), and
# -Wswitch-enum (an `if` over some values of an enum becomes a switch), -Wunreachable-code (labels nobody goes to;
# Pythons made by clang ask for it).
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wcast-qual",
    "-Wdouble-promotion",
    "-Wformat=2",
    "-Wno-format-nonliteral",
    "-Wno-unreachable-code",
    "-Wimplicit-fallthrough",
    "-Wmissing-prototypes",
    "-Wnull-dereference",
    "-Wold-style-definition",
    "-Wpointer-arith",
    "-Wstrict-prototypes",
    "-Wvla",
    "-Wwrite-strings",
]
if sys.version_info >= (3, 14):
    # What gcc guesses from the flow of Cython's helpers there (calls of methods; 16 more than 12) is shown, and no
    # error. clang does not know one of the options.
    WARNINGS += ["-Wno-unknown-warning-option", "-Wno-error=maybe-uninitialized", "-Wno-error=null-dereference"]

compile_args: list[str] = []
link_args: list[str] = []
if sys.platform != "win32":
    compile_args = ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O2", "-g0"]
    if WERROR:
        # Python's own headers are not ours to mend.
        headers = {sysconfig.get_path(name) for name in ("include", "platinclude")}
        compile_args += ["-Werror", *WARNINGS, *(f"-isystem{path}" for path in sorted(headers))]
    if SANITIZE or FUZZ:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
        compile_args += [*flags, "-g", *(["-O1"] if SANITIZE else [])]  # tests wait for Python more than for us
        link_args += flags
else:
    link_args = ["ws2_32.lib"]
if COVERAGE:
    compile_args = ["-O0", "-g0", "--coverage"]
    link_args = ["--coverage"]


def extension(name: str, source: str, *more_args: str) -> Extension:
    return Extension(
        name,
        [source],
        include_dirs=["ext/include"],
        depends=["ext/include/wp_platform.h", "ext/include/wp_tables.h"],
        extra_compile_args=[*compile_args, *more_args],
        extra_link_args=link_args,
    )


if FUZZ:
    # What Cython generates calls Python's functions through pointers of other types, as all of CPython does.
    compile_args.append("-fno-sanitize=function")
guided = ["-fsanitize=fuzzer-no-link"] if FUZZ else []
extensions = [extension(f"wirepool._core.{name}", f"ext/wirepool/_core/{name}.pyx", *guided) for name in MODULES]
if FUZZ:
    # The targets go without coverage: what counts is what the library does. Modules in Python whose branches guide the
    # fuzzer are compiled like the core.
    DIRECTIVES["annotation_typing"] = False
    extensions.append(extension("wirepool_fuzz_native", "tests/fuzz/native.pyx"))
    extensions += [
        extension(f"wirepool.{name}", f"src/wirepool/{name.replace('.', '/')}.py", *guided) for name in GUIDES
    ]

setup(
    # With sanitizers and coverage compiling takes a minute.
    options={"build_ext": {"parallel": os.cpu_count()}} if FUZZ else {},
    ext_modules=cythonize(
        extensions,
        include_path=["ext"],
        emit_linenums=COVERAGE,
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
    ),
)
