"""Fuzzes, one target after the other, and says how it goes:  python -m fuzz.run [--seconds N] TARGET...

Takes the fuzz build; ``make fuzz`` sees to that. New inputs are kept in DIRECTORY/corpus, those that show a fault in
DIRECTORY/findings, what libFuzzer says in DIRECTORY/TARGET.log. Fails if there was a finding.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from .targets import TARGETS

HERE = Path(__file__).parent
STATUS = re.compile(r"#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)")
EVERY = 20.0  # seconds between two lines about the same target

LIMITS = [
    "-max_len=400",
    "-timeout=60",
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=128",
    "-detect_leaks=0",
    "-reload=0",
    "-print_final_stats=1",
]
# Short stacks and a small quarantine: a third of the time. CPython leaks at exit by design, and tests may ask for sizes
# that cannot be had.
SANITIZER = "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16:malloc_context_size=4"


def main() -> int:
    args = arguments()
    failed = False
    for target in args.targets:
        if args.minimise:
            minimise(target, args.directory)
        elif args.replay:
            failed |= (
                subprocess.run([*command(target), *map(str, args.replay)], env=environment(target)).returncode != 0
            )
        else:
            failed |= not fuzz(target, args)
    return int(failed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m fuzz.run")
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many executions of each target")
    parser.add_argument("--directory", type=Path, default=Path("build/fuzz"), help="where results go")
    parser.add_argument("--replay", type=Path, nargs="*", help="only try these inputs")
    parser.add_argument("--minimise", action="store_true", help="make the committed corpus anew of all that is known")
    args = parser.parse_args()
    for target in args.targets:
        if target not in TARGETS:
            parser.error(f"no target {target!r}; there are {' '.join(TARGETS)}")
    return args


def environment(target: str) -> dict[str, str]:
    """Of the process that runs a target: with the run-time library that both guides and watches."""
    spec = find_spec("atheris")
    if spec is None or spec.origin is None:
        sys.exit("atheris is not installed: it has wheels for CPython 3.11 to 3.13 on Linux; see make fuzz PYTHON=...")
    return {
        **os.environ,
        "LD_PRELOAD": str(Path(spec.origin).parents[1] / "asan_with_fuzzer.so"),
        "ASAN_OPTIONS": SANITIZER,
        # For AddressSanitizer to see the blocks that Python hands out; where no C of ours works it costs time.
        "PYTHONMALLOC": "default" if target == "url" else "malloc",
        "PYTHONPATH": str(HERE.parent),
    }


def command(target: str) -> list[str]:
    return [sys.executable, "-m", "fuzz.one", target]


def known(target: str) -> list[Path]:
    """Directories of inputs that are committed."""
    return [place for place in (HERE / "corpus" / target, HERE / "findings" / target) if place.is_dir()]


# --- fuzzing ----------------------------------------------------------------------------------------------------------


def fuzz(target: str, args: argparse.Namespace) -> bool:
    """Whether nothing was found."""
    corpus, findings = args.directory / "corpus" / target, args.directory / "findings"
    for place in (corpus, findings):
        place.mkdir(parents=True, exist_ok=True)
    prefix = findings / f"{target}-"
    options = [*LIMITS, f"-max_total_time={args.seconds}", f"-runs={args.runs}", f"-artifact_prefix={prefix}"]
    words = HERE / "dictionaries" / f"{target}.dict"
    if words.exists():
        options.append(f"-dict={words}")
    print(f"== {target}: fuzzing for {args.seconds} s", flush=True)
    log_file = args.directory / f"{target}.log"
    with (
        log_file.open("w", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            [*command(target), *options, str(corpus), *map(str, known(target))],
            env=environment(target),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stderr is not None
        last = follow(target, process.stderr, log)
    report(target, last, process.returncode)
    if process.returncode:
        explain(target, log_file, prefix)
    return process.returncode == 0


def follow(target: str, lines: IO[str], log: IO[str]) -> tuple[int, int, int, int, float]:
    """Copies what libFuzzer says to the log and tells of it now and then; the last figures."""
    start = said = time.monotonic()
    last = (0, 0, 0, 0, 0.0)
    for line in lines:
        log.write(line)
        if found := STATUS.search(line):
            executions, coverage, features, inputs = map(int, found.groups())
            now = time.monotonic()
            last = (executions, coverage, features, inputs, now - start)
            if now - said > EVERY:
                report(target, last, None)
                said = now
    return last


def report(target: str, last: tuple[int, int, int, int, float], code: int | None) -> None:
    executions, coverage, features, inputs, seconds = last
    end = "" if code is None else ", nothing found" if code == 0 else ", FOUND A FAULT"
    print(
        f"== {target}: {executions:,} executions, {executions / (seconds or 1):,.0f}/s, coverage {coverage} "
        f"({features} features), {inputs} inputs{end}",
        flush=True,
    )


def explain(target: str, log: Path, prefix: Path) -> None:
    print("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-40:]))
    inputs = sorted(prefix.parent.glob(f"{prefix.name}*"), key=lambda path: path.stat().st_mtime)
    if inputs:
        print(f"== {target}: the input is {inputs[-1]}; to try it again:")
        print(f"   make fuzz FUZZ_TARGETS={target} FUZZ_REPLAY={inputs[-1]}", flush=True)


# --- the corpus -------------------------------------------------------------------------------------------------------


def minimise(target: str, directory: Path) -> None:
    """The smallest inputs that reach all that the known ones reach, into the source tree."""
    merged = directory / "merged" / target
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    sources = [place for place in (directory / "corpus" / target, *known(target)) if place.is_dir()]
    env = environment(target)
    env["PATH"] = f"{program(target, directory)}{os.pathsep}{env['PATH']}"
    subprocess.run(
        [*command(target), "-merge=1", "-max_len=4096", "-detect_leaks=0", str(merged), *map(str, sources)],
        env=env,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    place = HERE / "corpus" / target
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(merged, place)
    sizes = [path.stat().st_size for path in place.iterdir()]
    print(f"== {target}: {len(sizes)} inputs, {sum(sizes):,} octets", flush=True)


def program(target: str, directory: Path) -> Path:
    """A directory with a program that is called as native.drive() says: to merge, libFuzzer starts itself again."""
    script = directory.absolute() / "bin" / target / "wirepool-fuzz"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command(target))} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script.parent


if __name__ == "__main__":
    sys.exit(main())
