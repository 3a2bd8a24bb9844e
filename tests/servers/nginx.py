"""A real nginx on a free loopback port, run from a directory of its own and without privileges.

=============================  =======================================================================================
path                           answer
=============================  =======================================================================================
``/json``                      a fixed JSON document of 142 bytes; 12 header fields in all
``/10mb``                      a file of 10 000 000 bytes
``/gzip``                      text that is sent gzip-coded to clients that accept it
``/status/<n>``                that status with nginx's own short page, for the codes in :data:`STATUSES`
``/redirect``                  302 to ``/json``
``/upload``                    takes any body: POST gets 200, PUT 201
``/close``                     the same as ``/json``, then the connection is closed
anything else                  404
=============================  =======================================================================================
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

__all__ = ["BIG_SIZE", "JSON_BODY", "STATUSES", "NginxMissing", "NginxServer", "find_nginx"]

STATUSES = (200, 201, 204, 304, 400, 401, 403, 404, 405, 410, 413, 418, 429, 500, 502, 503, 504)
BIG_SIZE = 10_000_000
JSON_BODY = (
    b'{"id": 48213, "name": "spanner, adjustable", "price": "17.90", "currency": "EUR", "in_stock": true, '
    b'"tags": ["tools", "steel"], "rating": 4.5}'
)

START_SECONDS = 5.0
STOP_SECONDS = 2.0

_CONFIG = """
{user}
daemon off;
master_process on;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_max_body_size 0;
    client_body_temp_path tmp_body;
    proxy_temp_path tmp_proxy;
    fastcgi_temp_path tmp_fastcgi;
    uwsgi_temp_path tmp_uwsgi;
    scgi_temp_path tmp_scgi;
    default_type text/plain;
    server {{
        listen {listen};
        root files;
        location = /json {{
            default_type application/json;
            {fields}
            return 200 '{json}';
        }}
        location = /close {{
            default_type application/json;
            keepalive_timeout 0;
            return 200 '{json}';
        }}
        location = /10mb {{ default_type application/octet-stream; }}
        location = /gzip {{ gzip on; gzip_types text/plain; gzip_min_length 1; gzip_http_version 1.0; }}
        location = /redirect {{ return 302 /json; }}
        location = /upload {{
            if ($request_method = PUT) {{ return 201; }}
            return 200 'uploaded';
        }}
        {statuses}
        location / {{ return 404; }}
    }}
}}
"""

# Together with Server, Date, Content-Type, Content-Length and Connection these make twelve.
_JSON_FIELDS = {
    "Cache-Control": "public, max-age=60",
    "Vary": "Accept-Encoding",
    "X-Request-Id": "6f1d2c3b-58a0-4b7e-9a53-0c1f7d2e4b96",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
    "Access-Control-Allow-Origin": "*",
}


class NginxMissing(RuntimeError):
    """There is no nginx on this machine."""


def find_nginx() -> str | None:
    """The path of the nginx binary, also where it lies in an sbin that is not on PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


class NginxServer:
    """Runs nginx (a master and one worker) while its ``with`` block runs.

    :raises NginxMissing: on construction, if there is none to run
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        binary = find_nginx()
        if binary is None:
            raise NginxMissing("nginx is neither on PATH nor in /usr/sbin")
        self.binary = binary
        self.host = host
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``http://host:port`` without a path."""
        return f"http://{self.netloc}"

    @property
    def pid(self) -> int:
        """The process id of the master."""
        assert self._process is not None, "not started"
        return self._process.pid

    def __enter__(self) -> NginxServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts nginx and returns once it accepts connections."""
        for last in (False, False, True):
            try:
                self._start_once()
                return
            except RuntimeError:
                # Between our choice of a free port and nginx's bind another process may have taken it.
                self.stop()
                if last:
                    raise

    def stop(self) -> None:
        """Stops nginx and removes its directory; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _start_once(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="wirepool-nginx-")
        home = Path(self._directory.name)
        self.port = _free_port(self.host)
        _lay_out(home, self.netloc)
        self._process = subprocess.Popen(
            [self.binary, "-p", f"{home}/", "-c", "nginx.conf", "-e", "error.log"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_ready(home)

    def _wait_ready(self, home: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            # The pid file is written after bind; without it the port could be answered by somebody else.
            if (home / "nginx.pid").exists() and _answers(self.host, self.port):
                return
            time.sleep(0.01)
        log = home / "error.log"
        raise RuntimeError(f"nginx did not start: {log.read_text() if log.exists() else 'no log'}")


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        port: int = probe.getsockname()[1]
        return port


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _lay_out(home: Path, listen: str) -> None:
    """Writes the configuration and the files that are served."""
    files = home / "files"
    files.mkdir()
    (files / "10mb").write_bytes(bytes(range(250)) * (BIG_SIZE // 250))
    (files / "gzip").write_bytes(b"the same line, many times over\n" * 200)
    (home / "nginx.conf").write_text(_config(listen))


def _config(listen: str) -> str:
    return _CONFIG.format(
        # As root nginx would run its worker as "nobody", who cannot read a private temporary directory.
        user="user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "",
        listen=listen,
        json=JSON_BODY.decode(),
        fields="\n            ".join(f"add_header {name} '{value}';" for name, value in _JSON_FIELDS.items()),
        statuses="\n        ".join(f"location = /status/{code} {{ return {code}; }}" for code in STATUSES),
    )
