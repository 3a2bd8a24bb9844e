"""Header fields of the fast gear in the form of ``http.client``, before and after somebody reads them."""

from __future__ import annotations

import copy
import http.client
import http.cookiejar
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._http_client import message_from, unread_message

FIELDS = b"A: b\r\nSet-Cookie: x=1\r\n y\r\nset-cookie: z=2\r\nBad line\r\nContent-Type: text/html\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n" + FIELDS


def unread() -> Any:
    return unread_message(HEAD)


def is_read(message: Any) -> bool:
    return type(message) is http.client.HTTPMessage and "_headers" in vars(message)


@pytest.mark.parametrize("name", ["Set-Cookie", "SET-COOKIE", "a", "Set-Cookie2", "", " ", "Bad line", "ü"])
@pytest.mark.parametrize("default", [None, [], "x"], ids=repr)
def test_get_all_needs_no_reading(name: str, default: Any) -> None:
    message = unread()
    assert message.get_all(name, default) == message_from(HEAD).get_all(name, default)
    assert not is_read(message)


def test_it_is_called_what_it_will_be() -> None:
    message = unread()
    assert isinstance(message, http.client.HTTPMessage)
    assert (type(message).__module__, type(message).__name__, type(message).__qualname__) == (
        "http.client",
        "HTTPMessage",
        "HTTPMessage",
    )


USES: dict[str, Callable[[Any], Any]] = {
    "items": lambda m: m.items(),
    "keys": lambda m: (m.keys(), list(m), len(m), "a" in m),
    "item": lambda m: (m["A"], m["nothing"], m.get("a"), m.get("nothing", 1)),
    "text": lambda m: (str(m), m.as_bytes()),
    "type": lambda m: (m.get_content_type(), m.get_params(), m.get_filename(), m.is_multipart()),
    "payload": lambda m: m.get_payload(),
    "defects": lambda m: (m.defects, m.preamble, m.epilogue, m.policy),
    "headers": lambda m: (m._headers, m.raw_items and list(m.raw_items())),
    "lines": lambda m: m.getallmatchingheaders("a"),
    "set": lambda m: (m.__setitem__("B", "c"), m.items()),
    "delete": lambda m: (m.__delitem__("set-cookie"), m.get_all("set-cookie"), m.items()),
    "add": lambda m: (m.add_header("B", "c", d="e"), m.replace_header("A", "x"), m.items()),
    "preamble": lambda m: (setattr(m, "preamble", "hello"), m.items(), m.preamble),
    "missing": lambda m: hasattr(m, "missing"),
    "copied": lambda m: copy.copy(m).items(),
    "deeply copied": lambda m: (copy.deepcopy(m).items(), type(copy.deepcopy(m))),
    "pickled": lambda m: (pickle.loads(pickle.dumps(m)).items(), type(pickle.loads(pickle.dumps(m)))),
    "truth": bool,
    "values by another name": lambda m: m.get_all(b"a".decode()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_it_is_used_like_one_that_was_read(use: Callable[[Any], Any]) -> None:
    assert use(unread()) == use(message_from(HEAD))


def test_it_becomes_a_genuine_one() -> None:
    message = unread()
    assert message["A"] == "b"
    assert is_read(message)
    assert vars(message).keys() == vars(message_from(HEAD)).keys()


def test_a_replaced_get_all_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get_all(self: Any, name: str, failobj: Any = None) -> Any:
        asked.append(name)
        return failobj

    monkeypatch.setattr(http.client.HTTPMessage, "get_all", get_all, raising=False)
    assert unread().get_all("A", 1) == 1
    assert asked == ["A"]


def test_a_replaced_class_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(http.client.HTTPMessage):
        pass

    monkeypatch.setattr(http.client, "HTTPMessage", Mine)
    assert type(unread()) is Mine
    assert unread()["A"] == "b"


def test_a_cookie_jar_does_not_read_it_without_need() -> None:
    class Answer:
        def __init__(self, head: bytes) -> None:
            self.message: Any = unread_message(head)

        def info(self) -> Any:
            return self.message

    import urllib.request

    request = urllib.request.Request("http://example.org/")
    for head, cookies in ((HEAD, ["x", "z"]), (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", [])):
        jar, answer = http.cookiejar.CookieJar(), Answer(head)
        jar.extract_cookies(answer, request)  # type: ignore[arg-type]
        assert [cookie.name for cookie in jar] == cookies
        assert not is_read(answer.message)


def test_threads_read_it_together() -> None:
    for _ in range(50):
        message = unread()
        ready = threading.Barrier(4)
        found: list[Any] = []

        def read(message: Any = message, ready: threading.Barrier = ready, found: list[Any] = found) -> None:
            ready.wait(10)
            found.append((message.get_all("a"), message.items(), message._headers is message._headers))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [(["b"], message_from(HEAD).items(), True)] * 4
