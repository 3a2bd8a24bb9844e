"""``wirepool get URL...``: status line and body on stdout, what it took on stderr."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import wirepool
from wirepool._core.headers_out import check_field, check_method

from ._exits import HTTP_ERROR, NO_RESPONSE, NOT_WRITTEN, BadInput
from ._output import Progress, replacing

ABOUT = "fetch URLs: status line and body to stdout, timing to stderr"

_CHUNK = 65536
_MAX_REDIRECTS = 10
_DEFAULT_RETRIES = 3
_FORM = "application/x-www-form-urlencoded"
# "HTTPConnectionPool(host='x', port=1): " in front of a message: the URL that is printed says the same.
_OBJECT_PREFIX = re.compile(r"^<?[\w.]+\([^)]*\)>?: ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this command."""
    add = parser.add_argument
    add("urls", nargs="+", metavar="URL", help="what to fetch; http:// may be left out")
    add("-i", "--include", action="store_true", help="print the response's header fields too")
    add("-X", "--request", metavar="METHOD", help="the method (default GET, with -d POST)")
    add("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header field; may be repeated")
    add("-d", "--data", metavar="DATA", help="the request's body; @FILE is read from that file, @- from stdin")
    add("-o", "--output", metavar="FILE", help="save the body; FILE appears, or is replaced, once it is complete")
    add("--progress", action="store_true", help="with -o: a progress bar even when stderr is no terminal")
    add("--timeout", type=_seconds, metavar="SECONDS", help="for the whole of one request, its body included")
    add("--retries", type=_count, default=_DEFAULT_RETRIES, metavar="N", help="tries after a failed one (default 3)")
    add("-L", "--location", dest="redirect", action="store_true", default=True, help="follow redirects (the default)")
    add("--no-redirect", dest="redirect", action="store_false", help="show a redirect instead of following it")
    add("--cacert", metavar="FILE", help="CA certificates to trust (PEM) instead of the system's")
    add("--cert", metavar="FILE", help="client certificate (PEM, with its chain)")
    add("--key", metavar="FILE", help="its private key, if that is not in the same file")
    add("-k", "--insecure", action="store_true", help="do not verify certificates: whoever answers may be anybody")
    add(
        "--proxy",
        metavar="URL",
        help="http://, https:// or socks5h://[USER:PASSWORD@]HOST:PORT; '' for none at all "
        "(without this option: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say)",
    )


def run(args: argparse.Namespace) -> int:
    """Fetches all URLs, one after the other, through one manager; the worst outcome is the exit code."""
    if args.output is not None and len(args.urls) > 1:
        raise BadInput("-o takes the body of one URL, not of several")
    getter = Getter(args)
    try:
        outcomes = {getter.get(url) for url in args.urls}
    finally:
        getter.close()
    return next((code for code in (NOT_WRITTEN, NO_RESPONSE, HTTP_ERROR) if code in outcomes), 0)


class Getter:
    """What the options say, and the manager that all URLs share.

    :raises BadInput: for a method or a header field that HTTP does not allow, or an unreadable ``@FILE``
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._body = _body(args.data)
        self._headers = _headers(args.header)
        if self._body is not None and "content-type" not in self._headers:
            self._headers["Content-Type"] = _FORM
        self._method = args.request or ("GET" if self._body is None else "POST")
        _refuse(f"-X {self._method!r}", check_method, self._method)
        self._manager = _manager(args)

    def close(self) -> None:
        """Closes all connections."""
        self._manager.clear()

    def get(self, url: str) -> int:
        """Fetches one URL and returns its share of the exit code.

        :raises BadInput: for a URL that no server can be asked for
        """
        started, opened = time.perf_counter(), self._opened()
        try:
            response = self._open(url)
            try:
                code, received = self._deliver(response)
            finally:
                response.close()
        except (wirepool.exceptions.LocationValueError, wirepool.exceptions.InvalidHeader) as error:
            raise BadInput(f"{url}: {_explain(error)}") from error
        except wirepool.exceptions.HTTPError as error:
            print(f"wirepool get: {url}: {_explain(error)}", file=sys.stderr)
            return NO_RESPONSE
        except ValueError as error:
            raise BadInput(f"{url}: {_explain(error)}") from error
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"wirepool get: {self._args.output or 'stdout'}: {_explain(error)}", file=sys.stderr)
            return NOT_WRITTEN
        self._report(url, time.perf_counter() - started, self._opened() - opened, received)
        return code

    def _open(self, url: str) -> Any:
        """Sends the request; the response's body is still to be read."""
        count, seconds = self._args.retries, self._args.timeout
        return self._manager.request(
            self._method,
            url if "://" in url else f"http://{url}",
            body=self._body,
            headers=self._headers,
            timeout=None if seconds is None else wirepool.Timeout(connect=seconds, read=seconds, deadline=seconds),
            redirect=self._args.redirect,
            retries=wirepool.Retry(None, connect=count, read=count, other=count, status=0, redirect=_MAX_REDIRECTS),
            preload_content=False,
            decode_content=False,
        )

    def _deliver(self, response: Any) -> tuple[int, int]:
        """Writes the response where it belongs; returns the exit code and how many bytes the body had."""
        self._print_head(response)
        failed = response.status >= 400
        if self._args.output is None:
            received = self._print_body(response)
        elif failed:
            # An error page must not take the place of the file that was asked for.
            received = len(response.data)
            print(f"wirepool get: {self._args.output}: not written, status {response.status}", file=sys.stderr)
        else:
            received = self._save(response)
        return (HTTP_ERROR if failed else 0), received

    def _print_head(self, response: Any) -> None:
        lines = [f"{response.version_string} {response.status} {response.reason or ''}".rstrip()]
        if self._args.include:
            lines += [f"{name}: {value}" for name, value in response.headers.iteritems()]
            lines += [""]
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("latin-1", "replace"))
        sys.stdout.buffer.flush()

    def _print_body(self, response: Any) -> int:
        out, received, last = sys.stdout.buffer, 0, b""
        for last in _pieces(response):
            out.write(last)
            received += len(last)
        if received and not last.endswith(b"\n") and (len(self._args.urls) > 1 or sys.stdout.isatty()):
            out.write(b"\n")
        out.flush()
        return received

    def _save(self, response: Any) -> int:
        with replacing(self._args.output) as file:
            if not self._args.progress and not sys.stderr.isatty():
                return sum(file.write(piece) for piece in _pieces(response))
            return _save_visibly(response, file)

    def _opened(self) -> int:
        """How many connections were opened so far."""
        pools = self._manager.pools
        return sum(pool.num_connections for key in pools.keys() if (pool := pools.get(key)))  # noqa: SIM118

    def _report(self, url: str, seconds: float, opened: int, received: int) -> None:
        connection = {0: "connection reused", 1: "new connection"}.get(opened, f"{opened} new connections")
        print(f"{self._method} {url}: {seconds * 1000:.1f} ms, {connection}, {received} bytes", file=sys.stderr)


def _manager(args: argparse.Namespace) -> Any:
    options: dict[str, Any] = {"ca_certs": args.cacert, "cert_file": args.cert, "key_file": args.key}
    options = {name: value for name, value in options.items() if value is not None}
    for name, path in options.items():
        if not os.path.isfile(path):
            raise BadInput(f"--{_OPTIONS[name]} {path}: no such file")
    if args.insecure:
        options["cert_reqs"] = "CERT_NONE"
        wirepool.disable_warnings(wirepool.exceptions.InsecureRequestWarning)
    num_pools = max(10, 2 * len(args.urls))
    if not args.proxy:
        return wirepool.PoolManager(num_pools, trust_env=args.proxy is None, **options)
    try:
        if args.proxy.lower().startswith("socks"):
            return _socks_manager(args.proxy, num_pools, options)
        return wirepool.ProxyManager(args.proxy, num_pools, **options)
    except wirepool.exceptions.HTTPError as error:
        raise BadInput(f"--proxy {args.proxy}: {_explain(error)}") from error


def _socks_manager(proxy: str, num_pools: int, options: dict[str, Any]) -> Any:
    try:
        from wirepool.contrib.socks import SOCKSProxyManager
    except ImportError as error:
        raise BadInput(f"--proxy {proxy}: {error}") from error
    try:
        return SOCKSProxyManager(proxy, num_pools=num_pools, **options)
    except ValueError as error:
        raise BadInput(f"--proxy {proxy}: {error}") from error


_OPTIONS = {"ca_certs": "cacert", "cert_file": "cert", "key_file": "key"}


def _pieces(response: Any) -> Iterator[bytes]:
    pieces: Iterator[bytes] = response.stream(_CHUNK, decode_content=False)
    return pieces


def _save_visibly(response: Any, file: BinaryIO) -> int:
    length = response.headers.get("Content-Length", "")
    progress = Progress(sys.stderr, int(length) if length.isdecimal() else None)
    received = 0
    try:
        for piece in _pieces(response):
            received += file.write(piece)
            progress.add(len(piece))
    finally:
        progress.finish()
    return received


def _headers(lines: list[str]) -> wirepool.HTTPHeaderDict:
    headers = wirepool.HTTPHeaderDict()
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            raise BadInput(f"-H {line!r}: expected 'Name: value'")
        _refuse(f"-H {line!r}", check_field, name, value)
        headers.add(name, value)
    return headers


def _refuse(what: str, check: Callable[..., None], *arguments: str) -> None:
    """Complains before anything is connected to, let alone sent."""
    try:
        check(*arguments)
    except ValueError as error:
        raise BadInput(f"{what}: {error}") from error


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else os.fsencode(data)
    try:
        if data == "@-":
            return sys.stdin.buffer.read()
        with open(data[1:], "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"-d {data}: {_explain(error)}") from error


def _explain(error: BaseException) -> str:
    """The cause in one line: without the layers of retrying around it, and without names of objects."""
    while isinstance(error, wirepool.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines() or [type(error).__name__]
    return _OBJECT_PREFIX.sub("", lines[0])


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value
