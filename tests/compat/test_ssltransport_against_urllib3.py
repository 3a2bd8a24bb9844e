"""TLS over any socket: urllib3's class and wirepool's, on the same server in memory.

What comes of it must be equal, errors of a class of the same name. Where the difference is wanted, it stands here with
its reason; one that is no longer a difference fails as well.
"""

from __future__ import annotations

import importlib
import inspect
import ssl
from array import array
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from compat.two_libraries import OURS, THEIRS, Library, differences
from servers.memory_tls import MemoryServer

SERVER, CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(autouse=True, scope="module")
def certificates() -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").configure_cert(SERVER)
    authority.configure_trust(CLIENT)


def module(library: Library) -> Any:
    return importlib.import_module(f"{library.package}.util.ssltransport")


class Connection:
    """A client of one of the libraries, and its server, who has said *greeting*."""

    def __init__(self, library: Library, greeting: bytes = b"", **options: Any) -> None:
        self.server = MemoryServer(SERVER)
        self.client: Any = module(library).SSLTransport(self.server, CLIENT, "localhost", **options)
        # The session tickets of TLS 1.3 go first.
        self.server.tls.write(b"!")
        assert self.client.recv(1) == b"!"
        if greeting:
            self.server.tls.write(greeting)


def found(scenario: Callable[[Connection, Any], Any], arguments: list[Any], **options: Any) -> dict[int, Any]:
    """The cases in which the libraries differ, by their number."""

    def run(library: Library, number: int) -> Any:
        return scenario(Connection(library, **options), arguments[number])

    return differences(run, [(number,) for number in range(len(arguments))])


def test_signatures() -> None:
    theirs, ours = module(THEIRS), module(OURS)
    for name, method in vars(theirs.SSLTransport).items():
        if inspect.isfunction(method) or isinstance(method, staticmethod):
            expected = inspect.signature(getattr(theirs.SSLTransport, name)).parameters.values()
            actual = inspect.signature(getattr(ours.SSLTransport, name)).parameters.values()
            # Ours may have more, by keyword only.
            extra = [p for p in actual if p.kind is p.KEYWORD_ONLY and p.name not in {q.name for q in expected}]
            assert [(p.name, p.kind, p.default) for p in actual if p not in extra] == [
                (p.name, p.kind, p.default) for p in expected
            ], name
    for name in ("SSL_BLOCKSIZE", "_WriteBuffer", "_ReturnValue", "ProxySchemeUnsupported"):
        assert hasattr(ours, name)
    assert ours.SSL_BLOCKSIZE == theirs.SSL_BLOCKSIZE


def test_receiving() -> None:
    sizes = [(), (0,), (1,), (5,), (100,), (-1,), (5, 0), (5, 1), ("5",), (None,)]
    for name in ("recv", "read"):

        def receive(connection: Connection, arguments: tuple[Any, ...], name: str = name) -> Any:
            return getattr(connection.client, name)(*arguments)

        cases = [arguments for arguments in sizes if name == "recv" or len(arguments) < 2]
        assert found(receive, cases, greeting=b"hello world") == {}


def test_receiving_into_a_buffer() -> None:
    arguments = [(8,), (8, None), (8, 0), (8, 3), (8, 100), (20,), (0,), (8, 3, 1)]

    def receive(connection: Connection, case: tuple[Any, ...]) -> Any:
        buffer = bytearray(case[0])
        return connection.client.recv_into(buffer, *case[1:]), buffer

    assert found(receive, arguments, greeting=b"hello world") == {}


def test_receiving_into_an_array_counts_octets() -> None:
    """They count its items, so that a part of it stays empty."""

    def receive(connection: Connection, kind: str) -> Any:
        return connection.client.recv_into(array(kind, [0, 0]))

    assert found(receive, ["B", "I"], greeting=b"hello world") == {1: (2, 8)}


def test_sending() -> None:
    data = [
        b"hello", b"", bytearray(b"hello"), memoryview(b"hello")[1:], array("H", [1, 2]), bytes(50_000), "text", 5, [1],
    ]  # fmt: skip
    for name in ("send", "sendall"):

        def send(connection: Connection, data: Any, name: str = name) -> Any:
            return getattr(connection.client, name)(data), connection.server.received()

        assert found(send, data) == {}
        assert found(lambda connection, flags, name=name: getattr(connection.client, name)(b"a", flags), [0, 1]) == {}


def test_files() -> None:
    modes = ["r", "w", "rb", "wb", "rw", "rwb", "b", "", "br", "x", "a", "rt", "r+"]
    cases = [(mode, buffering) for mode in modes for buffering in (None, -1, 0, 1, 100)]

    def make(connection: Connection, case: tuple[Any, ...]) -> Any:
        # Theirs are counted by the socket beneath.
        connection.server._io_refs = 0  # type: ignore[attr-defined]
        connection.server._decref_socketios = lambda: None  # type: ignore[attr-defined]
        with connection.client.makefile(*case) as file:
            said = file.readline() if file.readable() else None
            return type(file).__name__, getattr(file, "mode", None), said

    assert found(make, cases, greeting=b"hello\nworld") == {}


# With how the server ends, and whether the client accepts an end that is not announced.
ENDS = [(announced, suppress) for announced in (True, False) for suppress in (True, False)]


def test_the_end_of_the_stream() -> None:
    """Where *recv* has nothing more to give they return 0, if the end was not announced."""
    number_instead_of_octets = {ENDS.index((False, True)): ((b"hello", 0, 0, 0), (b"hello", b"", b"", 0))}

    def read(library: Library, number: int) -> Any:
        announced, suppress = ENDS[number]
        connection = Connection(library, b"hello", suppress_ragged_eofs=suppress)
        if announced:
            with pytest.raises(ssl.SSLWantReadError):
                connection.server.tls.unwrap()
        connection.server.has_ended = True
        client = connection.client
        return client.recv(9), client.recv(9), client.recv(9), client.recv_into(bytearray(9))

    assert differences(read, [(number,) for number in range(len(ENDS))]) == number_instead_of_octets


def test_a_name_that_cannot_be_verified() -> None:
    """They do not verify the name of a server for which none is given, though the context demands it."""

    def connect(library: Library, name: str | None) -> Any:
        module(library).SSLTransport(MemoryServer(SERVER), CLIENT, name)

    cases = [("localhost",), ("example.test",), (None,)]
    assert differences(connect, cases) == {None: (None, "raises ValueError")}


def test_contexts() -> None:
    def validate(library: Library, context: Any) -> Any:
        return module(library).SSLTransport._validate_ssl_context_for_tls_in_tls(context)

    assert differences(validate, [(CLIENT,), (None,), ("text",)]) == {}
