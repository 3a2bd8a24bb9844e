"""pip, which brings a urllib3 of its own: it must not notice what `urllib3` is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pip
from observing import main, scene

from servers.scripted import ScriptedServer, response

NAME = "tiny-1.0-py3-none-any.whl"
FILES = {
    "tiny.py": "WORD = 'tiny'\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "tiny.py,,\n",
}


def wheel():
    path = os.path.join(os.environ["TMPDIR"], NAME)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    with open(path, "rb") as file:
        return file.read()


def index(conn):
    """A simple index with one project, and the file."""
    content = wheel()
    page = f'<!DOCTYPE html><html><body><a href="/files/{NAME}">{NAME}</a></body></html>'.encode()
    while True:
        request = conn.recv()
        if request.target.startswith("/files/"):
            conn.send(response(content))
        elif request.target == "/simple/tiny/":
            conn.send(response(page, headers=[("Content-Type", "text/html")]))
        else:
            conn.send(response(b"", status=404, reason="Not Found"))


# As this program runs itself: on the one library or on the other.
RUNNER = [sys.executable, *(["-m", "wirepool", "exec"] if "wirepool" in sys.modules else [])]


def run(*arguments):
    done = subprocess.run(
        [*RUNNER, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", *arguments],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    return done.returncode, [
        line for line in done.stdout.splitlines() if line.startswith(("Success", "tiny", "Available"))
    ]


@scene
def installing():
    target = os.path.join(os.environ["TMPDIR"], "target")
    with ScriptedServer(default=index) as server:
        where = ("--index-url", server.url + "/simple/")
        found = [
            run("install", *where, "--no-deps", "--target", target, "tiny"),
            run("index", "versions", *where, "tiny"),
            run("download", *where, "--no-deps", "--retries", "0", "nothing")[0],
        ]
        targets = [request.target for request in server.requests]
        return found, targets, sorted(os.listdir(target)), pip.__version__ != ""


main()
