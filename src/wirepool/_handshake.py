"""TLS step by step: which options go into a handshake, the handshake, and what has to be verified after it.

The way to a proxy goes by the proxy's rules, the way to the origin by the connection's own. Contexts and sessions that
connections share are ``_tls``'s. Every step that programs replace in ``wirepool.connection`` is looked up there when
it is needed, so that what they put there is called.

Threading: confined, with the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wirepool._gear import OURS
from wirepool.exceptions import SystemTimeWarning
from wirepool.util import ssl_
from wirepool.util.ssl_ import is_ipaddress
from wirepool.util.ssl_match_hostname import CertificateError

try:
    import ssl
except ImportError:
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from typing import Literal

    from wirepool._tls import Handshake
    from wirepool.connection import HTTPSConnection

__all__ = ["secure_origin", "secure_proxy"]


class _WrappedAndVerifiedSocket(NamedTuple):
    """A TLS socket, and whether we know who is at the other end."""

    socket: Any
    is_verified: bool
    handshake: Handshake | None = None
    """What the session may be resumed under; None if it may not."""


def _seams() -> Any:
    """The module in which programs replace the steps."""
    from wirepool import connection

    return connection


def secure_origin(conn: HTTPSConnection, sock: Any, name: str) -> None:
    """TLS to the origin over ``sock``, which may lead through a tunnel; ``conn`` has the new socket then.

    :param name: what certificate and SNI are for, unless the connection has a ``server_hostname``.
    """
    seams = _seams()
    _warn_of_wrong_clock(seams)
    sessions = conn._sessions if type(conn) in OURS else None
    secured = seams._ssl_wrap_socket_and_match_hostname(
        sock=sock,
        cert_reqs=conn.cert_reqs,
        ssl_version=conn.ssl_version,
        ssl_minimum_version=conn.ssl_minimum_version,
        ssl_maximum_version=conn.ssl_maximum_version,
        ca_certs=conn.ca_certs,
        ca_cert_dir=conn.ca_cert_dir,
        ca_cert_data=conn.ca_cert_data,
        cert_file=conn.cert_file,
        key_file=conn.key_file,
        key_password=conn.key_password,
        cert_data=conn.cert_data,
        key_data=conn.key_data,
        server_hostname=_name_to_verify(conn.server_hostname or name),
        ssl_context=conn.ssl_context,
        tls_in_tls=conn._tunnel_scheme == "https",
        assert_hostname=conn.assert_hostname,
        assert_fingerprint=conn.assert_fingerprint,
        sessions=sessions,
    )
    conn.sock = secured.socket
    conn.is_verified = secured.is_verified
    if sessions is not None and not getattr(conn.sock, "session_reused", False):
        conn._session_name = secured.handshake


def secure_proxy(conn: HTTPSConnection, hostname: str, sock: Any) -> Any:
    """TLS to the proxy, by the proxy's rules. If it has no context of its own, the origin's CA certificates are good
    for it as well, and the origin's context for one that forwards: such requests have no other TLS. Returns the new
    socket."""
    config = conn.proxy_config
    own = config.ssl_context if config is not None else None
    is_its_own = own is not None
    secured = _seams()._ssl_wrap_socket_and_match_hostname(
        sock,
        cert_reqs=own.verify_mode if own is not None else conn.cert_reqs,
        ssl_version=None if is_its_own else conn.ssl_version,
        ssl_minimum_version=None if is_its_own else conn.ssl_minimum_version,
        ssl_maximum_version=None if is_its_own else conn.ssl_maximum_version,
        ca_certs=None if is_its_own else conn.ca_certs,
        ca_cert_dir=None if is_its_own else conn.ca_cert_dir,
        ca_cert_data=None if is_its_own else conn.ca_cert_data,
        cert_file=None,
        key_file=None,
        key_password=None,
        server_hostname=_name_to_verify(hostname),
        ssl_context=own if is_its_own else _context_to_forward_by(conn),
        assert_hostname=config.assert_hostname if config is not None else None,
        assert_fingerprint=config.assert_fingerprint if config is not None else None,
    )
    conn.proxy_is_verified = secured.is_verified
    return secured.socket


def _context_to_forward_by(conn: HTTPSConnection) -> Any:
    """The origins' context, if it is for a proxy that forwards."""
    if not conn.proxy_is_forwarding:
        return None
    # A client certificate given beside a context is put into it for the first origin, and the proxy must not see it.
    return None if conn.cert_file or conn.cert_data else conn.ssl_context


def _ssl_wrap_socket_and_match_hostname(
    sock: Any,
    *,
    cert_reqs: str | int | None,
    ssl_version: str | int | None,
    ssl_minimum_version: int | None,
    ssl_maximum_version: int | None,
    cert_file: str | None,
    key_file: str | None,
    key_password: str | None,
    ca_certs: str | None,
    ca_cert_dir: str | None,
    ca_cert_data: str | bytes | None,
    assert_hostname: str | Literal[False] | None,
    assert_fingerprint: str | None,
    server_hostname: str | None,
    ssl_context: ssl.SSLContext | None,
    tls_in_tls: bool = False,
    cert_data: str | bytes | None = None,
    key_data: str | bytes | None = None,
    sessions: dict[Any, Any] | None = None,
) -> _WrappedAndVerifiedSocket:
    """The handshake, and after it whatever of the verification OpenSSL has not done.

    :param sessions: of earlier connections, to resume one; see ``_tls``.
    """
    from wirepool import _tls

    seams = _seams()
    options = _tls.Options(
        cert_reqs=seams.resolve_cert_reqs(cert_reqs),
        # What we check after the handshake in its place, or what this OpenSSL cannot check as it should.
        checks_hostname=not (
            assert_fingerprint
            or assert_hostname
            or assert_hostname is False
            or ssl_.IS_PYOPENSSL
            or not ssl_.HAS_NEVER_CHECK_COMMON_NAME
        ),
        ssl_version=ssl_version,
        minimum_version=ssl_minimum_version,
        maximum_version=ssl_maximum_version,
        ca_certs=ca_certs,
        ca_cert_dir=ca_cert_dir,
        ca_cert_data=ca_cert_data,
        cert_file=cert_file,
        key_file=key_file,
        key_password=key_password,
        cert_data=cert_data,
        key_data=key_data,
    )
    context: Any = ssl_context
    if context is None:
        context = _tls.shared_context(options, seams.create_urllib3_context)
    else:
        _tls.equip(context, options)
    handshake = _tls.begin(context, options, server_hostname)
    session = _tls.recall(sessions, handshake)
    secured = seams.ssl_wrap_socket(
        sock=sock,
        server_hostname=server_hostname,
        ssl_context=context,
        tls_in_tls=tls_in_tls,
        **({} if session is None else {"session": session}),
    )
    try:
        _verify_further(secured, context, assert_hostname, assert_fingerprint, server_hostname)
        return _WrappedAndVerifiedSocket(
            socket=secured,
            is_verified=context.verify_mode == ssl.CERT_REQUIRED or bool(assert_fingerprint),
            handshake=_tls.finish(handshake, secured),
        )
    except BaseException:
        secured.close()
        raise


def _verify_further(
    sock: Any,
    context: Any,
    assert_hostname: str | Literal[False] | None,
    assert_fingerprint: str | None,
    server_hostname: str | None,
) -> None:
    if assert_fingerprint:
        _seams()._assert_fingerprint(sock.getpeercert(binary_form=True), assert_fingerprint)
    elif context.verify_mode != ssl.CERT_NONE and not context.check_hostname and assert_hostname is not False:
        by_common_name = getattr(context, "hostname_checks_common_name", False) or False
        _seams()._match_hostname(sock.getpeercert(), assert_hostname or server_hostname or "", by_common_name)


def _match_hostname(cert: Any, asserted_hostname: str, hostname_checks_common_name: bool = False) -> None:
    """Whether a certificate is for a name; what it is for is logged if not.

    :raises CertificateError: it is not.
    """
    seams = _seams()
    try:
        seams.match_hostname(cert, _name_to_verify(asserted_hostname), hostname_checks_common_name)
    except CertificateError as error:
        seams.log.warning("Certificate did not match expected hostname: %s. Certificate: %s", asserted_hostname, cert)
        # Some want to see the certificate that was refused.
        error._peer_cert = cert  # type: ignore[attr-defined]
        raise


def _name_to_verify(name: str) -> str:
    """A host as certificates and SNI have it: no dot at the end; addresses without brackets and zone."""
    bare = name.strip("[]").partition("%")[0] if ":" in name else name
    return bare if bare != name and is_ipaddress(bare) else name.rstrip(".")


def _warn_of_wrong_clock(seams: Any) -> None:
    if seams.datetime.date.today() < seams.RECENT_DATE:
        import warnings

        warnings.warn(
            f"the system's clock says it is before {seams.RECENT_DATE}: certificates will seem not yet valid",
            SystemTimeWarning,
            stacklevel=5,
        )
