"""What TLS connections share: which options make which context, when one is used again, and which sessions fit."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from servers.certs import Authority
from wirepool import _tls
from wirepool._tls import Handshake, Options, begin, equip, finish, policy, recall, remember, shared_context
from wirepool.exceptions import SSLError
from wirepool.util import ssl_
from wirepool.util.ssl_ import create_urllib3_context

NOTHING = Options(ssl.CERT_REQUIRED, True, *[None] * 11)


def options(**given: Any) -> Options:
    return NOTHING._replace(**given)


def client_context(certs: Authority, **attributes: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certs.ca_file)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No contexts of other tests."""
    monkeypatch.setattr(_tls, "_contexts", {})


class Maker:
    """Stands for ``create_urllib3_context`` and notes its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **kw: Any) -> ssl.SSLContext:
        self.calls.append(kw)
        return create_urllib3_context(**kw)


@pytest.fixture
def make() -> Maker:
    return Maker()


# --- one context for the same options ---------------------------------------------------------------------------------


def test_equal_options_share_a_context(certs: Authority, make: Maker) -> None:
    asked = options(ca_certs=certs.ca_file)
    context = shared_context(asked, make)
    assert shared_context(options(ca_certs=certs.ca_file), make) is context
    assert make.calls == [
        {
            "ssl_version": ssl.PROTOCOL_TLS,
            "cert_reqs": ssl.CERT_REQUIRED,
            "ssl_minimum_version": None,
            "ssl_maximum_version": None,
        }
    ]


DIFFERENT: dict[str, Callable[[Authority], dict[str, Any]]] = {
    "cert_reqs": lambda certs: {"cert_reqs": ssl.CERT_OPTIONAL},
    "checks_hostname": lambda certs: {"checks_hostname": False},
    "minimum_version": lambda certs: {"minimum_version": ssl.TLSVersion.TLSv1_3},
    "maximum_version": lambda certs: {"maximum_version": ssl.TLSVersion.TLSv1_2},
    "ca_certs": lambda certs: {"ca_certs": certs.stranger().ca_file},
    "ca_cert_dir": lambda certs: {"ca_cert_dir": certs.hashed_directory()},
    "ca_cert_data": lambda certs: {"ca_cert_data": certs.ca_data},
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_other_options_make_another_context(certs: Authority, make: Maker, change: Any) -> None:
    first = shared_context(options(ca_certs=certs.ca_file), make)
    second = shared_context(options(**{"ca_certs": certs.ca_file, **change(certs)}), make)
    assert first is not second
    assert len(make.calls) == 2


def test_other_identities_make_other_contexts(certs: Authority, make: Maker) -> None:
    contexts = []
    for name in ("anna", "otto"):
        client = certs.client(name)
        files = {"cert_file": client.cert_file, "key_file": client.key_file}
        data = {"cert_data": Path(client.cert_file).read_text(), "key_data": Path(client.key_file).read_bytes()}
        contexts += [shared_context(options(ca_certs=certs.ca_file, **given), make) for given in (files, data)]
    assert len(set(map(id, contexts))) == 4


def test_another_maker_or_another_class_makes_another_context(
    certs: Authority, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Context(ssl.SSLContext):
        pass

    asked = options(ca_certs=certs.ca_file)
    first = shared_context(asked, make)
    assert shared_context(asked, Maker()) is not first
    monkeypatch.setattr(ssl_, "SSLContext", Context)
    assert type(shared_context(asked, make)) is Context
    monkeypatch.undo()


def test_what_cannot_be_compared_is_not_shared(certs: Authority, make: Maker) -> None:
    asked = options(ca_cert_data=bytearray(ssl.PEM_cert_to_DER_cert(certs.ca_data)))
    assert shared_context(asked, make) is not shared_context(asked, make)
    assert _tls._contexts == {}


def test_a_deprecated_option_is_told_each_time(certs: Authority) -> None:
    for _ in range(2):
        with pytest.warns(FutureWarning):
            shared_context(options(ca_certs=certs.ca_file, ssl_version=ssl.PROTOCOL_TLSv1_2), create_urllib3_context)
    assert _tls._contexts == {}


@pytest.mark.parametrize("what", ["ca_certs", "cert_file", "key_file"])
def test_a_file_that_changed_is_read_again(certs: Authority, make: Maker, tmp_path: Path, what: str) -> None:
    client = certs.client()
    given = {"ca_certs": certs.ca_file, "cert_file": client.cert_file, "key_file": client.key_file}
    path = tmp_path / "file.pem"
    path.write_bytes(Path(given[what]).read_bytes())
    asked = options(**{**given, what: str(path)})
    first = shared_context(asked, make)
    assert shared_context(asked, make) is first
    os.utime(path, (1, 1))
    assert shared_context(asked, make) is not first


def test_a_directory_that_changed_is_read_again(certs: Authority, make: Maker) -> None:
    directory = certs.hashed_directory()
    first = shared_context(options(ca_cert_dir=directory), make)
    (Path(directory) / "another").write_text("")
    os.utime(directory, (1, 1))
    assert shared_context(options(ca_cert_dir=directory), make) is not first


def test_the_environment_counts(certs: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = options(ca_certs=certs.ca_file)
    contexts = [shared_context(asked, create_urllib3_context)]
    monkeypatch.setenv("SSLKEYLOGFILE", "$SOMEWHERE/keys.log")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("SOMEWHERE", str(tmp_path / name))
        contexts.append(shared_context(asked, create_urllib3_context))
        assert contexts[-1].keylog_filename == str(tmp_path / name / "keys.log")
    assert len(set(map(id, contexts))) == 3


def test_the_systems_roots_count_if_they_are_used(
    certs: Authority, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certs.ca_file)
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    first = shared_context(NOTHING, make)
    explicit = shared_context(options(ca_certs=certs.ca_file), make)
    assert shared_context(NOTHING, make) is first
    monkeypatch.setenv("SSL_CERT_FILE", certs.stranger().ca_file)
    assert shared_context(NOTHING, make) is not first
    assert shared_context(options(ca_certs=certs.ca_file), make) is explicit


def test_no_roots_are_read_for_nothing(make: Maker) -> None:
    context = shared_context(options(cert_reqs=ssl.CERT_NONE), make)
    assert context.cert_store_stats()["x509"] == 0


def test_the_oldest_goes_when_there_are_too_many(certs: Authority, make: Maker) -> None:
    asked = [options(ca_cert_data=certs.ca_data + "\n" * number) for number in range(_tls._MAX_CONTEXTS + 1)]
    contexts = [shared_context(one, make) for one in asked]
    assert len(_tls._contexts) == _tls._MAX_CONTEXTS
    assert shared_context(asked[-1], make) is contexts[-1]
    assert shared_context(asked[0], make) is not contexts[0]


def test_many_threads(certs: Authority) -> None:
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def work() -> None:
        barrier.wait(5)
        found.extend(
            shared_context(options(ca_certs=certs.ca_file, checks_hostname=bool(n % 2)), create_urllib3_context)
            for n in range(20)
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 160
    assert len(_tls._contexts) == 2
    assert {context.check_hostname for context in found} == {True, False}


# --- how a context is made --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cert_reqs", "checks", "mode", "check_hostname"),
    [
        (ssl.CERT_REQUIRED, True, ssl.CERT_REQUIRED, True),
        (ssl.CERT_REQUIRED, False, ssl.CERT_REQUIRED, False),
        (ssl.CERT_OPTIONAL, True, ssl.CERT_OPTIONAL, False),
        (ssl.CERT_NONE, True, ssl.CERT_NONE, False),
        (ssl.CERT_NONE, False, ssl.CERT_NONE, False),
    ],
)
def test_how_the_peer_is_verified(cert_reqs: Any, checks: bool, mode: Any, check_hostname: bool) -> None:
    context = shared_context(options(cert_reqs=cert_reqs, checks_hostname=checks), create_urllib3_context)
    assert (context.verify_mode, context.check_hostname) == (mode, check_hostname)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("before", [(ssl.CERT_NONE, False), (ssl.CERT_REQUIRED, False), (ssl.CERT_REQUIRED, True)])
@pytest.mark.parametrize(
    ("cert_reqs", "checks", "after"),
    [
        (ssl.CERT_NONE, True, (ssl.CERT_NONE, False)),
        (ssl.CERT_NONE, False, (ssl.CERT_NONE, False)),
        (ssl.CERT_REQUIRED, False, (ssl.CERT_REQUIRED, False)),
    ],
)
def test_a_users_context_gets_the_policy(before: Any, cert_reqs: Any, checks: bool, after: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = before[1]
    context.verify_mode = before[0]
    equip(context, options(cert_reqs=cert_reqs, checks_hostname=checks))
    assert (context.verify_mode, context.check_hostname) == after


def test_a_users_context_keeps_what_it_checks(certs: Authority) -> None:
    context = client_context(certs)
    equip(context, NOTHING)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] == 1, "the system's roots are not added"


def test_bad_roots() -> None:
    for given in ({"ca_certs": "/nowhere"}, {"ca_cert_data": "no certificate"}):
        with pytest.raises(SSLError):
            shared_context(options(**given), create_urllib3_context)
        with pytest.raises(SSLError):
            equip(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), options(**given))
    assert _tls._contexts == {}


@pytest.mark.parametrize("together", [False, True])
def test_an_encrypted_key_never_asks_on_the_terminal(certs: Authority, tmp_path: Path, together: bool) -> None:
    client = certs.client(password="secret")
    path = tmp_path / "both.pem"
    path.write_bytes(Path(client.cert_file).read_bytes() + Path(client.key_file).read_bytes())
    files = {"cert_file": str(path)} if together else {"cert_file": client.cert_file, "key_file": client.key_file}
    with pytest.raises(SSLError, match="password is required"):
        shared_context(options(**files), create_urllib3_context)
    shared_context(options(**files, key_password="secret"), create_urllib3_context)


# --- policy -----------------------------------------------------------------------------------------------------------


CHANGES: dict[str, Callable[[ssl.SSLContext, Authority], Any]] = {
    "check_hostname": lambda context, certs: setattr(context, "check_hostname", False),
    "verify_flags": lambda context, certs: setattr(context, "verify_flags", ssl.VERIFY_CRL_CHECK_LEAF),
    "common name": lambda context, certs: setattr(context, "hostname_checks_common_name", True),
    "minimum": lambda context, certs: setattr(context, "minimum_version", ssl.TLSVersion.TLSv1_3),
    "maximum": lambda context, certs: setattr(context, "maximum_version", ssl.TLSVersion.TLSv1_2),
    "options": lambda context, certs: setattr(context, "options", context.options | ssl.OP_NO_TICKET),
    "roots": lambda context, certs: context.load_verify_locations(certs.stranger().ca_file),
    "revocation": lambda context, certs: context.load_verify_locations(certs.crl()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_is_seen(certs: Authority, change: Any) -> None:
    context = client_context(certs, hostname_checks_common_name=False)
    before = policy(context)
    assert policy(context) == before == policy(client_context(certs, hostname_checks_common_name=False))
    change(context, certs)
    assert policy(context) != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_context_that_was_changed_is_not_handed_out(certs: Authority, make: Maker, change: Any) -> None:
    asked = options(ca_certs=certs.ca_file)
    first = shared_context(asked, make)
    before = policy(first)
    change(first, certs)
    second = shared_context(asked, make)
    assert second is not first
    assert policy(second) == before
    assert shared_context(asked, make) is second


# --- sessions ---------------------------------------------------------------------------------------------------------


@contextmanager
def connected(context: ssl.SSLContext, server: ssl.SSLContext, session: Any = None) -> Iterator[ssl.SSLSocket]:
    """A connection after its handshake and after the server has said something."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as sock:
            sock.sendall(b"x")
            with suppress(BrokenPipeError):  # OpenSSL 3.6 tries to tell a peer that left without a word
                sock.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with context.wrap_socket(ours, server_hostname="localhost", session=session) as sock:
        assert sock.recv(1) == b"x"
        yield sock
    thread.join(5)


def server_context(certs: Authority, **attributes: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, value in attributes.items():
        setattr(context, name, value)
    certs.localhost.load_into(context)
    return context


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_is_resumed(certs: Authority, version: Any) -> None:
    server = server_context(certs, maximum_version=version)
    context = client_context(certs)
    sessions: dict[Any, Any] = {}
    wanted = begin(context, NOTHING, "localhost")
    assert recall(sessions, wanted) is None
    with connected(context, server) as sock:
        made = finish(wanted, sock)
        assert made == wanted
        remember(sessions, sock, made)
    with connected(context, server, recall(sessions, wanted)) as sock:
        assert sock.session_reused


def test_without_a_store_nothing_is_kept(certs: Authority) -> None:
    context = client_context(certs)
    wanted = begin(context, NOTHING, "localhost")
    with connected(context, server_context(certs)) as sock:
        remember(None, sock, wanted)
    assert recall(None, wanted) is None


def test_sessions_that_cannot_be_resumed_are_not_kept(certs: Authority) -> None:
    server = server_context(certs, num_tickets=0)
    context = client_context(certs, minimum_version=V13)
    sessions: dict[Any, Any] = {}
    with connected(context, server) as sock:
        remember(sessions, sock, begin(context, NOTHING, "localhost"))
    assert sessions == {}


def test_a_socket_that_was_closed_meanwhile(certs: Authority) -> None:
    context = client_context(certs)
    sessions: dict[Any, Any] = {}
    with connected(context, server_context(certs)) as sock:
        sock.close()
        remember(sessions, sock, begin(context, NOTHING, "localhost"))
    assert sessions == {}


def handshake(context: Any, **changes: Any) -> Handshake:
    return begin(context, NOTHING, "localhost")._replace(**changes)


def test_what_a_session_fits(certs: Authority) -> None:
    context, other = client_context(certs), client_context(certs)
    made = handshake(context)
    sessions = {made.key: ("session", made.policy)}
    assert recall(sessions, made) == "session"
    assert recall(sessions, handshake(other)) is None
    assert recall(sessions, handshake(context, server_hostname="other.test")) is None
    assert recall(sessions, handshake(context, identity=("me",))) is None
    context.check_hostname = False
    assert recall(sessions, handshake(context)) is None
    context.check_hostname = True
    assert recall(sessions, handshake(context)) == "session"


def test_identities(certs: Authority, tmp_path: Path) -> None:
    context = client_context(certs)
    path = tmp_path / "cert.pem"
    path.write_text("one")
    given = [
        {},
        {"cert_file": str(path)},
        {"cert_file": str(path), "key_file": "/nowhere"},
        {"cert_data": "one"},
        {"cert_data": "one", "key_data": bytearray(b"key")},
        {"cert_data": "two"},
    ]
    keys = [begin(context, options(**one), "localhost").key for one in given]
    assert len(set(keys)) == len(keys)
    assert keys == [begin(context, options(**one), "localhost").key for one in given]
    assert begin(context, options(cert_data=b"one"), "localhost").key == keys[3]
    os.utime(path, (1, 1))
    assert begin(context, options(cert_file=str(path)), "localhost").key != keys[1]


def test_a_context_that_changed_during_the_handshake(certs: Authority) -> None:
    context = client_context(certs)
    made = begin(context, NOTHING, "localhost")
    with connected(context, server_context(certs)) as sock:
        context.verify_flags ^= ssl.VERIFY_X509_STRICT
        assert finish(made, sock) is None


def test_another_context_put_into_the_socket(certs: Authority) -> None:
    context = client_context(certs)
    made = begin(context, NOTHING, "localhost")
    sessions: dict[Any, Any] = {}
    with connected(context, server_context(certs)) as sock:
        sock.context = client_context(certs)
        remember(sessions, sock, made)
    assert sessions == {}


def test_a_store_forgets_the_oldest(certs: Authority) -> None:
    context = client_context(certs)
    sessions: dict[Any, Any] = {}
    with connected(context, server_context(certs, maximum_version=V12)) as sock:
        for number in range(_tls._MAX_SESSIONS + 3):
            remember(sessions, sock, handshake(context, server_hostname=f"{number}.test"))
    assert [key[1] for key in sessions] == [f"{number}.test" for number in range(3, _tls._MAX_SESSIONS + 3)]


def test_no_more_is_taken_than_may_leak(certs: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tls, "_reads_left", itertools.repeat(True, 2))
    context = client_context(certs)
    sessions: dict[Any, Any] = {}
    with connected(context, server_context(certs, maximum_version=V12)) as sock:
        for number in range(3):
            remember(sessions, sock, handshake(context, server_hostname=f"{number}.test"))
    assert [key[1] for key in sessions] == ["0.test", "1.test"]


def test_contexts_of_other_classes_have_no_sessions(certs: Authority) -> None:
    class Context(ssl.SSLContext):
        pass

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    made = begin(context, NOTHING, "localhost")
    assert recall({made.key: ("session", made.policy)}, made) is None
    assert finish(made, object()) == made


# --- roots in a directory ---------------------------------------------------------------------------------------------


def test_roots_that_a_handshake_found_are_no_change(certs: Authority, make: Maker) -> None:
    asked = options(ca_cert_dir=certs.hashed_directory())
    context = shared_context(asked, make)
    made = begin(context, asked, "localhost")
    with connected(context, server_context(certs)) as sock:
        assert context.cert_store_stats()["x509_ca"] == 1
        done = finish(made, sock)
    assert done is not None
    assert done.policy == policy(context) != made.policy
    assert shared_context(asked, make) is context


def test_roots_that_somebody_added_meanwhile_are_a_change(certs: Authority, make: Maker) -> None:
    asked = options(ca_cert_dir=certs.hashed_directory())
    context = shared_context(asked, make)
    made = begin(context, asked, "localhost")
    with connected(context, server_context(certs)) as sock:
        context.load_verify_locations(certs.stranger().ca_file)
        assert finish(made, sock) is None
    assert shared_context(asked, make) is not context


def test_roots_that_somebody_added_in_their_place_are_a_change(certs: Authority, make: Maker) -> None:
    """As many as the handshake might have found, but others."""
    asked = options(ca_certs=certs.ca_file, ca_cert_dir=certs.hashed_directory())
    context = shared_context(asked, make)
    made = begin(context, asked, "localhost")
    with connected(context, server_context(certs)) as sock:
        context.load_verify_locations(certs.stranger().ca_file)
        assert finish(made, sock) is None
    assert shared_context(asked, make) is not context


def test_a_users_context_with_a_directory(certs: Authority) -> None:
    """Nobody knows what else happened to it: the first session is not kept, the next one is."""
    context = ssl.create_default_context(capath=certs.hashed_directory())
    server = server_context(certs)
    outcomes = []
    for _ in range(2):
        made = begin(context, NOTHING, "localhost")
        with connected(context, server) as sock:
            outcomes.append(finish(made, sock))
    assert outcomes[0] is None
    assert outcomes[1] is not None
