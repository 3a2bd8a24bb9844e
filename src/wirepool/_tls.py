"""What TLS connections share: contexts with their certificates loaded, and sessions to resume.

Reading a bundle of CA certificates costs more than thirty handshakes, so contexts made here are kept and used again by
every connection that asks for the same: same options, same files (by modification time), same environment, the file for
secrets (``SSLKEYLOGFILE``) still there. A context that somebody changed since is not handed out any more. Contexts that
the user brings are the user's: nothing of them is kept here.

A session is kept until the server no longer resumes it: taking it out of OpenSSL costs as much as resuming saves. (To
use a TLS 1.3 ticket twice lets who watches the network see that the connections have one client, RFC 8446 C.4; they
have one address, too.)

A session (RFC 8446 2.2, RFC 5077) is resumed only by a connection with the same context, unchanged, to the same name,
out of the same pool; what is checked after the handshake (fingerprint, asserted host name) is checked again. Python's
``ssl`` skips chain and host name when a session is resumed: both were verified, by the same rules, when it began.

Threading: shared. The contexts have the one lock of this module; a pool's sessions are a dictionary whose races are
benign.
"""

from __future__ import annotations

import itertools
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from wirepool.exceptions import SSLError
from wirepool.util import ssl_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Handshake", "Options", "begin", "equip", "finish", "policy", "recall", "remember", "shared_context"]

# Contexts take 200 KiB each with the usual bundle. A program with more sets of options than this is in a loop.
_MAX_CONTEXTS = 32
# A pool has one origin; more than its proxy's and its own session come from options that were changed on the way.
_MAX_SESSIONS = 8
# Each session that Python's ssl hands out before 3.12.8 and 3.13.1 leaves a copy behind that nothing can free, 7 KiB
# with the certificate of its peer (python/cpython#116810). There so many may stay in a process, under 2 MiB;
# connections made after that resume what is known and keep nothing new.
_LEAKS_SESSIONS = sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)
_MAX_LEAKED_SESSIONS = 256
_reads_left: Iterator[bool] = (
    itertools.repeat(True, _MAX_LEAKED_SESSIONS) if _LEAKS_SESSIONS else itertools.repeat(True)
)

_PASSWORD_MISSING = "Client private key is encrypted, password is required"


class Options(NamedTuple):
    """All that distinguishes one default context from another; hashable if the user's values are."""

    cert_reqs: Any
    checks_hostname: bool
    ssl_version: Any
    minimum_version: Any
    maximum_version: Any
    ca_certs: str | None
    ca_cert_dir: str | None
    ca_cert_data: str | bytes | None
    cert_file: str | None
    key_file: str | None
    key_password: str | None
    cert_data: str | bytes | None
    key_data: str | bytes | None


class Handshake(NamedTuple):
    """What a session is worth: it is resumed where all of this is the same again."""

    context: Any
    server_hostname: str | None
    identity: tuple[Any, ...]
    policy: tuple[Any, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """A session keeps its context alive, so the id is not given to another as long as the session is kept."""
        return id(self.context), self.server_hostname, self.identity


class _Kept(NamedTuple):
    context: Any
    policy: tuple[Any, ...]
    roots: frozenset[int]
    """Hashes of the certificates in it, if more may come from a directory."""
    log: tuple[int, int] | None
    """The file that it writes the secrets of connections to, as device and inode."""


# What was there before anything could replace it (truststore does): only of this class we know what a session implies.
_SSLContext = ssl.SSLContext if ssl.SSLContext.__module__ == "ssl" else None

# What SSLContext.cert_store_stats() counts.
_STORE = ("x509", "crl", "x509_ca")
_STATISTICS = len(_STORE)

_contexts: dict[Any, _Kept] = {}


def shared_context(options: Options, make: Callable[..., Any]) -> Any:
    """The context for ``options``, made by ``make`` (``create_urllib3_context``) unless there is one already.

    :raises SSLError: certificates cannot be loaded.
    """
    if options.ssl_version is not None:  # deprecated, and to be told each time
        return _new_context(options, make)
    key = (options, make, ssl_.context_class(), _surroundings(options))
    try:
        kept = _contexts.get(key)
    except TypeError:  # certificates in a bytearray
        return _new_context(options, make)
    if kept is None or kept.log != _log_of_secrets() or policy(kept.context) != kept.policy:
        context = _new_context(options, make)
        if not policy(context):
            return context
        roots = _roots(context) if _finds_roots(options) else frozenset()
        kept = _keep(key, _Kept(context, policy(context), roots, _log_of_secrets()))
    return kept.context


def _keep(key: Any, kept: _Kept) -> _Kept:
    # Without a lock: a finalizer or a signal handler may come in anywhere, and ask for a context, too.
    for oldest in list(_contexts)[: max(0, len(_contexts) + 1 - _MAX_CONTEXTS)]:
        _contexts.pop(oldest, None)
    _contexts[key] = kept
    return kept


def _finds_roots(options: Options) -> bool:
    """Whether roots may be in a directory, from which OpenSSL takes one when a handshake first needs it."""
    return bool(options.ca_cert_dir) or not _has_roots(options)


def _roots(context: Any) -> frozenset[int]:
    if type(context) is not _SSLContext:
        return frozenset()
    return frozenset(map(hash, context.get_ca_certs(binary_form=True)))


def _surroundings(options: Options) -> tuple[Any, ...]:
    """What a context depends on beside its options: the state of files and of the environment."""
    return (
        *(ssl_._file_version(p) for p in (options.ca_certs, options.ca_cert_dir, options.cert_file, options.key_file)),
        _path_of_log(),
        None if _has_roots(options) else _default_roots_version(),
    )


def _path_of_log() -> str:
    path = os.environ.get("SSLKEYLOGFILE")
    return os.path.expandvars(path) if path else ""


def _log_of_secrets() -> tuple[int, int] | None:
    """Which file is at that path now. A context keeps the one open that it found or made, though it was deleted since,
    or renamed."""
    path = _path_of_log()
    try:
        status = os.stat(path) if path else None
    except OSError:
        return None
    return status and (status.st_dev, status.st_ino)


def _has_roots(options: Options) -> bool:
    return bool(options.ca_certs or options.ca_cert_dir or options.ca_cert_data)


def _default_roots_version() -> tuple[Any, ...]:
    paths = ssl.get_default_verify_paths()
    return tuple(ssl_._file_version(path) for path in (paths.cafile, paths.capath))


def _new_context(options: Options, make: Callable[..., Any]) -> Any:
    context = make(
        ssl_version=ssl_.resolve_ssl_version(options.ssl_version),
        cert_reqs=options.cert_reqs,
        ssl_minimum_version=options.minimum_version,
        ssl_maximum_version=options.maximum_version,
    )
    _set_verification(context, options.cert_reqs, options.checks_hostname)
    if _has_roots(options):
        ssl_._load_roots_once(context, options.ca_certs, options.ca_cert_dir, options.ca_cert_data)
    elif options.cert_reqs != ssl.CERT_NONE:
        ssl_._load_default_roots(context)
    _client_certificate(context, options)
    return context


def equip(context: Any, options: Options) -> None:
    """Put what ``options`` ask for into a context that the user brought; certificates only if it has them not yet.

    :raises SSLError: certificates cannot be loaded.
    """
    _set_verification(context, options.cert_reqs, options.checks_hostname)
    if _has_roots(options):
        ssl_._load_roots_once(context, options.ca_certs, options.ca_cert_dir, options.ca_cert_data)
    _client_certificate(context, options)


def _set_verification(context: Any, cert_reqs: Any, checks_hostname: bool) -> None:
    """Sets how the peer is verified, in the order that ``ssl`` demands."""
    if not checks_hostname or cert_reqs == ssl.CERT_NONE:
        context.check_hostname = False
    context.verify_mode = cert_reqs


def _client_certificate(context: Any, options: Options) -> None:
    """Loads the client certificate that ``options`` name, from files or from memory.

    :raises SSLError: it is encrypted and there is no password, or only the key was given.
    """
    if options.cert_data is None and options.key_data is None:
        _client_certificate_from_files(context, options)
        return
    if options.cert_file or options.key_file:
        raise SSLError("Give the client certificate either as files (cert_file, key_file) or as data, not as both")
    if options.cert_data is None:
        raise SSLError("key_data needs cert_data, the certificate that belongs to the key")
    if options.key_password is None and _is_encrypted(options.key_data or options.cert_data):
        raise SSLError(_PASSWORD_MISSING)
    from wirepool._private_file import private_file

    pem = _as_bytes(options.cert_data) + b"\n" + _as_bytes(options.key_data or b"")
    with private_file(pem) as path:
        context.load_cert_chain(path, None, options.key_password)


def _client_certificate_from_files(context: Any, options: Options) -> None:
    cert_file, key_file = options.cert_file, options.key_file
    # The key may be in the same file. OpenSSL would ask for the password on the terminal.
    if options.key_password is None and cert_file and not key_file and ssl_._is_key_file_encrypted(cert_file):
        raise SSLError(_PASSWORD_MISSING)
    ssl_._load_client_certificate(context, cert_file, key_file, options.key_password)


def _is_encrypted(pem: str | bytes) -> bool:
    return b"ENCRYPTED" in _as_bytes(pem)


def _as_bytes(data: str | bytes) -> bytes:
    return data.encode("ascii") if isinstance(data, str) else bytes(data)


# ---------------------------------------------------------------- sessions


def policy(context: Any) -> tuple[Any, ...]:
    """How strict a context is; two equal answers at different times mean that nobody has changed that meanwhile.

    Nothing of one that does not tell: truststore's count no certificates, and take in more with each handshake.
    """
    if not _tells_all(type(context)):
        return ()
    statistics = context.cert_store_stats()  # walks through the whole store
    return (
        context.verify_mode,
        context.check_hostname,
        context.verify_flags,
        context.hostname_checks_common_name,
        context.minimum_version,
        context.maximum_version,
        context.options,
        *(statistics[kind] for kind in _STORE),
    )


def _tells_all(kind: type) -> bool:
    return _SSLContext is not None and (
        kind is _SSLContext or (issubclass(kind, _SSLContext) and kind.cert_store_stats is _SSLContext.cert_store_stats)
    )


def begin(context: Any, options: Options, server_hostname: str | None) -> Handshake:
    """What the handshake that comes next will be made under."""
    return Handshake(context, server_hostname, _identity(options), policy(context))


def _identity(options: Options) -> tuple[Any, ...]:
    """Who we say we are; a session goes on with what was said when it began."""
    if not (options.cert_file or options.key_file or options.cert_data):
        return ()
    files = (ssl_._file_version(path) for path in (options.cert_file, options.key_file))
    return (*files, *(data and _as_bytes(data) for data in (options.cert_data, options.key_data)))


def finish(made: Handshake, sock: Any) -> Handshake | None:
    """What the handshake was made under; None if somebody changed the context meanwhile.

    Roots that OpenSSL took from a directory to verify the peer are no change, and kept contexts go on with them.
    """
    now = policy(made.context)
    if now == made.policy:
        return made
    kept = next(((key, kept) for key, kept in list(_contexts.items()) if kept.context is made.context), None)
    if kept is None or kept[1].policy != made.policy or now[:-_STATISTICS] != made.policy[:-_STATISTICS]:
        return None
    roots = _roots(made.context)
    found = roots - kept[1].roots
    if not found or len(found) != _growth(made.policy, now) or not found <= _verified_chain(sock):
        return None
    _keep(kept[0], kept[1]._replace(policy=now, roots=roots))
    return made._replace(policy=now)


def _growth(before: tuple[Any, ...], now: tuple[Any, ...]) -> int:
    """How many certificates of authorities were added; -1 if anything else was."""
    added = {name: b - a for name, a, b in zip(_STORE, before[-_STATISTICS:], now[-_STATISTICS:], strict=True)}
    return added["x509_ca"] if added["x509"] == added["x509_ca"] and added["crl"] == 0 else -1


def _verified_chain(sock: Any) -> set[int]:
    if type(sock) is not ssl.SSLSocket:
        return set()
    certificates = sock._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return {hash(ssl.PEM_cert_to_DER_cert(certificate.public_bytes())) for certificate in certificates}


def recall(sessions: dict[Any, Any] | None, wanted: Handshake) -> Any:
    """A session to resume, or None."""
    if not sessions or type(wanted.context) is not _SSLContext:
        return None
    found = sessions.get(wanted.key)
    if found is None or found[1] != wanted.policy:
        return None
    return found[0]


def remember(sessions: dict[Any, Any] | None, sock: ssl.SSLSocket, made: Handshake) -> None:
    """Keep the session of a connection whose handshake succeeded, if it can be resumed.

    With TLS 1.3 the server sends what it takes after the handshake, so this is for after the first response. By then
    the context may have become stricter, hence ``made``.
    """
    if sessions is None or sock.context is not made.context or type(made.context) is not _SSLContext:
        return
    if not next(_reads_left, False):
        return
    try:
        session = sock.session
    except (ValueError, OSError):  # closed meanwhile
        return
    if session is None or not (session.has_ticket or (session.id and sock.version() != "TLSv1.3")):
        return
    while len(sessions) >= _MAX_SESSIONS:
        sessions.pop(next(iter(sessions)), None)
    sessions[made.key] = (session, made.policy)
