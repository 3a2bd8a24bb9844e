"""Builds the extension modules of ``wirepool._core``; everything else is in pyproject.toml.

Switches (environment variables, off by default):
  WIREPOOL_DEBUG=1      -O0, asserts on
  WIREPOOL_COVERAGE=1   line tracing; the C files stay beside the .pyx, where the coverage plug-in looks for them
  WIREPOOL_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer
  WIREPOOL_FUZZ=1       the same, coverage that guides libFuzzer, and the fuzz targets in C; for clang only
"""

import os
import sys

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

DEBUG, COVERAGE, SANITIZE, FUZZ = (
    os.environ.get(f"WIREPOOL_{name}", "0") == "1" for name in ("DEBUG", "COVERAGE", "SANITIZE", "FUZZ")
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

compile_args: list[str] = []
link_args: list[str] = []
macros: list[tuple[str, str | None]] = []
if sys.platform != "win32":
    compile_args = ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O2", "-g0"]
    if SANITIZE or FUZZ:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        compile_args += [*flags, "-g"]
        link_args += flags
else:
    link_args = ["ws2_32.lib"]
if COVERAGE:
    DIRECTIVES["linetrace"] = True
    macros.append(("CYTHON_TRACE_NOGIL", "1"))


def extension(name: str, source: str, *more_args: str) -> Extension:
    return Extension(
        name,
        [source],
        include_dirs=["ext/include"],
        depends=["ext/include/wp_platform.h", "ext/include/wp_tables.h"],
        define_macros=macros,
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
        build_dir=None if COVERAGE else "build/cython",
        compiler_directives=DIRECTIVES,
    ),
)
