"""Exceptions and warnings of urllib3 and of wirepool, made of the same arguments: what they say, hold and pickle to."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import socket
import warnings
from collections.abc import Callable
from email.errors import MissingHeaderBodySeparatorDefect
from typing import Any

import pytest

pytest.importorskip("urllib3", minversion="2.8")

import urllib3.exceptions
import urllib3.util.ssl_match_hostname

import wirepool.exceptions
import wirepool.util.ssl_match_hostname

THEIRS, OURS = urllib3.exceptions, wirepool.exceptions
CLASSES = [
    name for name, value in vars(THEIRS).items() if inspect.isclass(value) and value.__module__ == THEIRS.__name__
]


class Named:
    """Stands for a pool, a connection or a response."""

    length_remaining = 5

    def __str__(self) -> str:
        return "Pool(host='h', port=1)"

    __repr__ = __str__

    def tell(self) -> int:
        return 17


P = Named()
OTHER = OSError(1, "no")
ARGUMENTS: list[tuple[Any, ...]] = [
    (),
    ("m",),
    ("",),
    (None,),
    (OTHER,),
    (3,),
    ("localhost",),
    (P,),
    ("m", OTHER),
    (P, "m"),
    (None, "m"),
    (P, None),
    (3, 5),
    (P, b"zz"),
    ([], b"data"),
    (["x"], None),
    ([MissingHeaderBodySeparatorDefect()], "data"),
    (P, "/u", "m"),
    (P, "/u", OTHER),
    (P, "/u", 7),
    (P, None, "m"),
    (None, None, "m"),
    ("h", P, socket.gaierror(-2, "unknown")),
    ("a", "b", "c", "d"),
]


def outcome(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return f"raises {type(error).__name__}"


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return re.sub(r"(at 0x|wirepool\.|urllib3\.)[0-9a-f]*", "", repr(value))


def look(error: BaseException) -> Any:
    """What can be seen of an exception."""
    return [str(error), repr(error), plain(error.args), plain(vars(error))]


def both(call: Callable[[Any], Any], name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """What comes of a call with an exception of either library, or of the attempt to make it."""
    theirs = outcome(lambda: getattr(THEIRS, name)(*arguments))
    ours = outcome(lambda: getattr(OURS, name)(*arguments))
    if isinstance(theirs, str):
        return theirs, ours
    if isinstance(outcome(lambda: look(theirs)), str):
        return None, None  # it cannot print what it was made of, which is none of our business
    return outcome(lambda: call(theirs)), outcome(lambda: call(ours))


# --- the hierarchy ----------------------------------------------------------------------------------------------------


def test_the_hierarchy_is_the_same() -> None:
    for name in CLASSES:
        theirs, ours = getattr(THEIRS, name), getattr(OURS, name)
        for other in CLASSES:
            expected = issubclass(theirs, getattr(THEIRS, other))
            assert issubclass(ours, getattr(OURS, other)) is expected, (name, other)
        outside = {parent for parent in theirs.__mro__ if parent.__module__ != THEIRS.__name__}
        assert {parent for parent in ours.__mro__ if parent.__module__ != OURS.__name__} == outside


def test_aliases_are_the_same() -> None:
    assert OURS.ConnectionError is OURS.ProtocolError
    assert THEIRS.ConnectionError is THEIRS.ProtocolError
    theirs, ours = urllib3.util.ssl_match_hostname.CertificateError, wirepool.util.ssl_match_hostname.CertificateError
    assert theirs.__mro__[1:] == ours.__mro__[1:]


# --- what they say and hold -------------------------------------------------------------------------------------------

# The scheme is an attribute of urllib3's URLSchemeUnknown, but not of its child; the other is for pickling.
HOLDS_MORE = {"ProxySchemeUnknown": {"scheme"}, "HeaderParsingError": {"_source"}}


@pytest.mark.parametrize("name", CLASSES)
def test_errors_say_and_hold_the_same(name: str) -> None:
    made = 0
    for arguments in ARGUMENTS:
        theirs, ours = both(look, name, arguments)
        if isinstance(theirs, list):
            made += 1
            for additional in HOLDS_MORE.get(name, ()):
                ours[3].pop(additional)
        assert ours == theirs, arguments
    assert made


def test_the_deprecated_pool_of_a_connection_error() -> None:
    for module in (THEIRS, OURS):
        error = module.NewConnectionError(P, "m")  # type: ignore[attr-defined]
        with pytest.warns(FutureWarning, match="pool"):
            assert error.pool is P


# --- through pickle and copy ------------------------------------------------------------------------------------------

# Garbled or failing there, and right here; the first table of docs/compat.md, "Objects", lists them.
PICKLED_RIGHT = {
    "HostChangedError",
    "LocationParseError",
    "URLSchemeUnknown",
    "ProxySchemeUnknown",
    "HeaderParsingError",
    "InvalidChunkLength",
}


def travel(error: BaseException) -> Any:
    return look(there_and_back(error))


def there_and_back(error: BaseException) -> Any:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in PICKLED_RIGHT])
def test_errors_pickle_and_are_copied_to_the_same(name: str) -> None:
    for arguments in ARGUMENTS:
        theirs, ours = both(travel, name, arguments)
        assert ours == theirs, arguments
        theirs, ours = both(lambda error: look(copy.copy(error)), name, arguments)
        assert ours == theirs, arguments


# Their first argument, a pool or a response, becomes None.
STAYS_BEHIND = {"HostChangedError", "InvalidChunkLength"}


@pytest.mark.parametrize("name", sorted(PICKLED_RIGHT))
def test_errors_that_urllib3_garbles_come_back_whole(name: str) -> None:
    travelled = 0
    for arguments in ARGUMENTS:
        error = outcome(lambda arguments=arguments: getattr(OURS, name)(*arguments))
        if not isinstance(error, str):
            back = there_and_back(error)
            travelled += 1
            kept = slice(1, None) if name in STAYS_BEHIND else slice(None)
            assert back.args[kept] == error.args[kept]
            assert str(back) == (
                str(error).replace(str(arguments[0]), "None", 1) if hasattr(error, "pool") else str(error)
            )
    assert travelled


def test_there_are_exceptions_to_compare() -> None:
    assert len(CLASSES) > 35
