"""A real nginx on free loopback ports, run from a directory of its own and without privileges.

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
``/tls``                       JSON on the connection: ``scheme``, ``protocol``, ``name`` (SNI), ``alpn``, ``reused`` (a
                               truth value), ``client`` (subject of the certificate that the client showed)
anything else                  404
=============================  =======================================================================================

With a certificate it listens on five ports more, which speak TLS; see :class:`TLSListeners`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ._process import ServerMissing, ServerProcess, answers, find_program, free_ports, netloc

__all__ = [
    "BIG_SIZE",
    "HTTP2_REQUESTS",
    "JSON_BODY",
    "STATUSES",
    "Listener",
    "NginxMissing",
    "NginxServer",
    "TLSListeners",
    "find_nginx",
]

STATUSES = (200, 201, 204, 304, 400, 401, 403, 404, 405, 410, 413, 418, 429, 500, 502, 503, 504)
BIG_SIZE = 10_000_000
HTTP2_REQUESTS = 20
JSON_BODY = (
    b'{"id": 48213, "name": "spanner, adjustable", "price": "17.90", "currency": "EUR", "in_stock": true, '
    b'"tags": ["tools", "steel"], "rating": 4.5}'
)

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
    map $ssl_session_reused $reused {{ default false; r true; }}
    {servers}
}}
"""

_SERVER = """    server {{
        {listen}
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
        location = /tls {{
            default_type application/json;
            return 200 '{{"scheme": "$scheme", "protocol": "$ssl_protocol", "name": "$ssl_server_name", \
"alpn": "$ssl_alpn_protocol", "reused": $reused, "client": "$ssl_client_s_dn"}}';
        }}
        {statuses}
        location / {{ return 404; }}
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


NginxMissing = ServerMissing


def find_nginx() -> str | None:
    """The path of the nginx binary."""
    return find_program("nginx")


class CertificateFiles(Protocol):
    """What nginx needs to know of a certificate: two PEM files, the first with the chain."""

    @property
    def cert_file(self) -> str: ...

    @property
    def key_file(self) -> str: ...


@dataclass(frozen=True)
class Listener:
    """One port that speaks TLS."""

    host: str
    port: int

    @property
    def netloc(self) -> str:
        return netloc(self.host, self.port)

    @property
    def url(self) -> str:
        """``https://host:port`` without a path, the host as an IP address."""
        return f"https://{self.netloc}"


@dataclass(frozen=True)
class TLSListeners:
    """The ports of one nginx that speak TLS; all have the same paths."""

    both: Listener
    """TLS 1.2 and 1.3; session tickets as nginx has them by default."""
    tls12: Listener
    """TLS 1.2 only."""
    tls13: Listener
    """TLS 1.3 only."""
    client: Listener
    """Requests without a client certificate get 400, as is nginx's way. Equal to ``both`` without a ``client_ca``."""
    http2: Listener
    """HTTP/2 with clients that offer it, at most :data:`HTTP2_REQUESTS` on a connection."""


class NginxServer(ServerProcess):
    """Runs nginx (a master and one worker) while its ``with`` block runs.

    :param tls: the certificate of further ports that speak TLS; None leaves them out
    :param client_ca: file with the authority of the client certificates that the last of them asks for
    :raises NginxMissing: on construction, if there is none to run
    """

    program = "nginx"
    log = "error.log"

    def __init__(
        self, host: str = "127.0.0.1", *, tls: CertificateFiles | None = None, client_ca: str | None = None
    ) -> None:
        super().__init__(host)
        self.port = 0
        self._certificate = tls
        self._client_ca = client_ca
        self._tls: TLSListeners | None = None

    @property
    def netloc(self) -> str:
        return netloc(self.host, self.port)

    @property
    def url(self) -> str:
        """``http://host:port`` without a path."""
        return f"http://{self.netloc}"

    @property
    def tls(self) -> TLSListeners:
        """The ports that speak TLS; only if it was given a certificate."""
        assert self._tls is not None, "started without a certificate"
        return self._tls

    def _lay_out(self, home: Path) -> list[str]:
        files = home / "files"
        files.mkdir()
        (files / "10mb").write_bytes(bytes(range(250)) * (BIG_SIZE // 250))
        (files / "gzip").write_bytes(b"the same line, many times over\n" * 200)
        (home / "nginx.conf").write_text(_config(self._listens()))
        return [self.binary, "-p", f"{home}/", "-c", "nginx.conf", "-e", "error.log"]

    def _ready(self, home: Path) -> bool:
        # The pid file is written after bind; without it the port could be answered by somebody else.
        return (home / "nginx.pid").exists() and answers(self.host, self.port)

    def _listens(self) -> list[str]:
        """What tells one ``server`` block from the next: ports, and how they speak TLS."""
        if self._certificate is None:
            (self.port,) = free_ports(self.host, 1)
            return [f"listen {self.netloc};"]
        self.port, *ports = free_ports(self.host, 6)
        self._tls = TLSListeners(*(Listener(self.host, port) for port in ports))
        client = f"ssl_verify_client on; ssl_client_certificate {self._client_ca};" if self._client_ca else ""
        return [
            f"listen {self.netloc};",
            self._secure(self.tls.both, "TLSv1.2 TLSv1.3"),
            self._secure(self.tls.tls12, "TLSv1.2"),
            self._secure(self.tls.tls13, "TLSv1.3"),
            self._secure(self.tls.client, "TLSv1.2 TLSv1.3", client),
            self._secure(self.tls.http2, "TLSv1.2 TLSv1.3", f"keepalive_requests {HTTP2_REQUESTS};", parameter="http2"),
        ]

    def _secure(self, listener: Listener, protocols: str, more: str = "", *, parameter: str = "") -> str:
        assert self._certificate is not None
        return (
            f"listen {listener.netloc} ssl {parameter}; ssl_protocols {protocols}; {more} "
            f"ssl_certificate {self._certificate.cert_file}; ssl_certificate_key {self._certificate.key_file};"
        )


def _config(listens: list[str]) -> str:
    return _CONFIG.format(
        # As root nginx would run its worker as "nobody", who cannot read a private temporary directory.
        user="user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "",
        servers="\n".join(_server(listen) for listen in listens),
    )


def _server(listen: str) -> str:
    return _SERVER.format(
        listen=listen,
        json=JSON_BODY.decode(),
        fields="\n            ".join(f"add_header {name} '{value}';" for name, value in _JSON_FIELDS.items()),
        statuses="\n        ".join(f"location = /status/{code} {{ return {code}; }}" for code in STATUSES),
    )
