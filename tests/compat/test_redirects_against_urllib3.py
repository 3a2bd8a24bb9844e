"""Redirects, with urllib3 and with each gear of wirepool: statuses, targets, bodies, fields, and how often.

See ``accounts`` for what is compared. Where wirepool differs on purpose, the kind of case stands in ``ACCEPTED``.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat.accounts import OK, Accepted, Case, Event, Run, Stage, differences, hangs_up, stage
from servers.scripted import response

__all__ = ["stage"]

HERE = "/d/x?y"

CLIENTS = ["pool", "pool, other hosts allowed", "manager"]

ACCEPTED: Accepted = {
    "file": ({"wire"}, "a file body is rewound when `PoolManager` follows a 307 or 308"),
    "spaces around": ({"told", "wire", "log"}, "header values lose white space at both ends"),
    "in bytes": ({"wire"}, "credentials whose names are bytes are not taken to another origin, either"),
    "bad": ({"told", "log"}, "a `Location` that cannot be parsed matters only when it is followed"),
}


def to(location: str | None, status: int = 302, *fields: tuple[str, str], body: bytes = b"elsewhere") -> bytes:
    target = [] if location is None else [("Location", location)]
    return response(body, status=status, headers=[*target, *fields])


def ask(run: Run, client: str, method: str = "GET", own: dict[str, Any] | None = None, **keywords: Any) -> Any:
    """A request by a client that has these keywords of its own."""
    if client == "manager":
        return run.manager(**(own or {})).request(method, run.url + HERE, **keywords)
    if client == "pool, other hosts allowed":
        keywords["assert_same_host"] = False
    return run.pool(**(own or {})).request(method, HERE, **keywords)


def asking(client: str, make: Callable[[Run], dict[str, Any]], method: str = "GET") -> Callable[[Run], None]:
    def program(run: Run) -> None:
        run.tell(lambda: ask(run, client, method, **make(run)))

    return program


# --- which, and with what ---------------------------------------------------------------------------------------------


def generated() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "bytes": lambda: {"body": b"abc", "headers": {"Content-Type": "a/b", "content-length": "3", "X": "y"}},
    "str": lambda: {"body": "\u20ac", "headers": {"Content-Language": "x", "Content-Location": "y", "Digest": "z"}},
    "file": lambda: {"body": io.BytesIO(b"abc"), "headers": {"X": "y"}},
    "file at a position": lambda: {"body": io.BytesIO(b"abc"), "body_pos": 1},
    "list": lambda: {"body": [b"a", "b"], "headers": {"transfer-encoding": "chunked", "Last-Modified": "x"}},
    "chunked": lambda: {"body": b"abc", "chunked": True, "headers": {"content-ENCODING": "x", "X": "y"}},
    "json": lambda: {"json": {"a": 1}},
    "form": lambda: {"fields": {"a": "b"}, "encode_multipart": False},
    "multipart": lambda: {"fields": {"a": "b"}, "multipart_boundary": "BB"},
}
STATUSES = [300, 301, 302, 303, 304, 305, 306, 307, 308]
METHODS = ["GET", "POST", "PUT", "FROB", "HEAD", "DELETE", "get"]


@pytest.mark.parametrize("client", ["pool", "manager"])
@pytest.mark.parametrize("status", STATUSES)
def test_methods_and_bodies(status: int, client: str, stage: Stage) -> None:
    def every(*kinds: str) -> Iterator[tuple[Any, Case]]:
        for method, kind in itertools.product(METHODS, kinds):
            if kind != "none" and method in ("HEAD", "DELETE", "get"):
                continue
            empty = status == 304 or method == "HEAD"
            first = to("/there", status, body=b"" if empty else b"elsewhere")
            program = asking(client, lambda run, kind=kind: BODIES[kind](), method)
            yield (method, kind), Case(program, ([first, OK if method != "HEAD" or status == 303 else response()],))

    files = [kind for kind in BODIES if kind.startswith("file")]
    rewound = client == "manager" and status in (301, 302, 307, 308)
    assert differences(stage, every(*(kind for kind in BODIES if kind not in files))) == {}
    assert differences(stage, every("file"), ACCEPTED["file"] if rewound else None) == {}
    if not rewound:
        assert differences(stage, every("file at a position")) == {}


@pytest.mark.parametrize("client", ["pool", "manager"])
def test_what_is_gone_after_see_other(client: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for second in (302, 303, 307):
            program = asking(client, lambda run: {"body": generated(), "headers": {"X": "y"}}, "POST")
            yield second, Case(program, ([to("/there", 303), to("/then", second), OK],))

    assert differences(stage, every()) == {}


# --- where to ---------------------------------------------------------------------------------------------------------

LOCATIONS: dict[str, str | None] = {
    "path": "/there",
    "the same": "/d/x?y",
    "relative": "there",
    "relative, here": "./there",
    "relative, up": "../there",
    "relative, too far up": "../../../there",
    "with dots": "/a/../b/./c",
    "query": "?q=1",
    "empty query": "?",
    "parameters": ";p",
    "path and parameters": "g;x=1/./y",
    "fragment": "/there#frag",
    "only a fragment": "#frag",
    "query and fragment": "?q#f",
    "empty": "",
    "none": None,
    "colon": "a:b",
    "two slashes": "///x",
    "space": "/a b",
    "tab": "/a\tb",
    "percent": "/%7Ea%zz%2f",
    "latin-1": "/th\xe9re?\xe9#\xe9",
    "utf-8": "/th\xc3\xa9re",
    "brackets": "/a[1]|{}^`",
    "quotes": "/a\"<>'\\",
    "this origin": "http://{netloc0}/there",
    "this origin, no path": "http://{netloc0}",
    "this origin, query": "http://{netloc0}?q",
    "this origin, upper case": "HTTP://{netloc0}/x",
    "this origin, with user": "http://u:p@{netloc0}/x",
    "this origin, no scheme": "//{netloc0}/x",
    "this origin, fragment": "http://{netloc0}/x#f",
    "another port": "http://{netloc1}/there?q",
    "another port, no scheme": "//{netloc1}/x",
    "another port, with user": "http://u:p@{netloc1}/x",
    "another port, dots": "http://{netloc1}/a/../b c",
    "nobody there": "http://127.0.0.1:1/x",
    "https": "https://127.0.0.1:1/x",
    "ftp": "ftp://{netloc0}/x",
    "unknown scheme": "foo://h/x",
    "mail": "mailto:a@b",
    "file": "file:///etc/passwd",
    "data": "data:text/plain,x",
    "script": "javascript:alert(1)",
    "unix socket": "http+unix://%2Ftmp%2Fx/y",
    "host without scheme": "127.0.0.1/x",
    "host and port without scheme": "localhost:80/x",
    "no host": "http:///x",
}
BAD_LOCATIONS = ["http://[::1", "http://127.0.0.1:x/", "http://127.0.0.1:99999/", "http://a b/"]


@pytest.mark.parametrize("client", CLIENTS)
def test_targets(client: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for (name, location), status in itertools.product(LOCATIONS.items(), [302, 303]):
            method = "GET" if status == 302 else "POST"
            program = asking(client, lambda run: {"retries": 2}, method)
            yield (name, status), Case(program, ([to(location, status), OK],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_targets_that_are_not_followed(client: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        ways: list[dict[str, Any]] = [{"retries": False}, {"retries": 0}, {"redirect": False}]
        for (name, location), way in itertools.product(LOCATIONS.items(), ways):
            yield (name, str(way)), Case(asking(client, lambda run, way=way: way), ([to(location)],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_targets_of_targets(client: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        first = ["/a/b/c", "http://{netloc0}/e/f", "?r"]
        for location, (name, then) in itertools.product(first, LOCATIONS.items()):
            yield (
                (location, name),
                Case(asking(client, lambda run: {"retries": 3}), ([to(location), to(then, 307), OK],)),
            )

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_spaces_around_a_target(client: str, stage: Stage) -> None:
    case = Case(asking(client, lambda run: {}), ([to("  /there  "), OK],))
    assert differences(stage, [("spaces", case)], ACCEPTED["spaces around"]) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_bad_targets(client: str, stage: Stage) -> None:
    """They are an error of the same class, but in what is told of them, and in what managers think of the worst."""

    def every(*ways: dict[str, Any]) -> Iterator[tuple[Any, Case]]:
        for location, way in itertools.product(BAD_LOCATIONS, ways):
            yield (location, str(way)), Case(asking(client, lambda run, way=way: way), ([to(location), OK],))

    assert differences(stage, every({"redirect": False})) == {}
    topics, words = ACCEPTED["bad"]
    assert differences(stage, every({}, {"retries": False}), (topics, words)) == {}


# --- how often, and by whom -------------------------------------------------------------------------------------------

Policy = Callable[[Any], Any]


def retry(**arguments: Any) -> Policy:
    return lambda lib: lib.Retry(**arguments)


def as_it_is(value: Any) -> Policy:
    return lambda lib: value


POLICIES: dict[str, Policy] = {
    **{repr(value): as_it_is(value) for value in (None, True, False, 0, 1, 3, -1)},
    **{f"redirect={value}": retry(redirect=value) for value in (None, True, False, 0, 1, 2)},
    **{f"total={value}": retry(total=value) for value in (None, False, 0, 1)},
    "redirects alone": retry(total=None, redirect=1),
    "returned": retry(total=1, raise_on_redirect=False),
    "none, returned": retry(redirect=0, raise_on_redirect=False),
    "no status": retry(status=0, raise_on_status=False),
    "redirects forced": retry(total=5, status_forcelist=[302, 303, 307]),
    "success forced": retry(total=5, status_forcelist=[200]),
    "backoff": retry(total=5, backoff_factor=0.5),
    "retry-after ignored": retry(total=5, respect_retry_after_header=False),
    "only POST": retry(total=5, allowed_methods=["POST"]),
}
CHAIN: list[Event] = [to("/a"), to("/b", 307), to("/c", 301), OK]


@pytest.mark.parametrize("whose", ["call", "client"])
@pytest.mark.parametrize("client", ["pool", "manager"])
def test_policies(client: str, whose: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        ways: list[dict[str, Any]] = [{}, *({"redirect": value} for value in (True, False, None, 0, 1))]
        ways += [{"preload_content": False}, {"preload_content": False, "redirect": False}]
        for (name, policy), way in itertools.product(POLICIES.items(), ways):

            def make(run: Run, policy: Policy = policy, way: dict[str, Any] = way) -> dict[str, Any]:
                retries = {"retries": policy(run.lib)}
                return {**way, **({"own": retries} if whose == "client" else retries)}

            yield (name, str(way)), Case(asking(client, make), (CHAIN,))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", ["pool", "manager"])
@pytest.mark.parametrize("value", ["7", "0", "soon", "Tue, 01 Jan 2030 00:01:40 GMT", "99999999"])
def test_retry_after(value: str, client: str, stage: Stage) -> None:
    plan: list[Event] = [to("/a", 302, ("Retry-After", value)), to("/b", 303, ("Retry-After", value)), OK]

    def every() -> Iterator[tuple[Any, Case]]:
        for name, policy in POLICIES.items():
            yield name, Case(asking(client, lambda run, policy=policy: {"retries": policy(run.lib)}), (plan,))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_happens_on_the_way(client: str, stage: Stage) -> None:
    busy = response(b"later", status=503, headers=[("Connection", "close")])
    plans: dict[str, list[Event]] = {
        "failures": [hangs_up, to("/a", 302, ("Connection", "close")), hangs_up, hangs_up, OK],
        "statuses": [busy, to("/a", 302, ("Connection", "close")), busy, OK],
        "round and round": [to(HERE)],
        "to another and back": [to("http://{netloc1}/a"), OK],
        "not coded as it says": [to("/a", 302, ("Content-Encoding", "gzip")), OK],
        "long": [to("/a", body=b"x" * 100_000), OK],
        "with a cookie": [to("/a", 302, ("Set-Cookie", "a=b")), OK],
        "two locations": [to("/a", 302, ("Location", "/b")), OK],
    }

    def every() -> Iterator[tuple[Any, Case]]:
        for (name, plan), streamed in itertools.product(plans.items(), [False, True]):
            if name == "not coded as it says" and not streamed:
                continue  # what is accepted of bodies that cannot be decoded is compared with retries

            def make(run: Run, streamed: bool = streamed) -> dict[str, Any]:
                retries = run.lib.Retry(4, status_forcelist=[503], backoff_factor=0.1)
                return {"retries": retries, "preload_content": not streamed}

            yield (name, streamed), Case(asking(client, make), (plan, [to("http://{netloc0}/back"), OK]))

    assert differences(stage, every()) == {}


# --- fields -----------------------------------------------------------------------------------------------------------

SECRETS = {"Authorization": "a", "Cookie": "b", "Proxy-Authorization": "c", "X-Mine": "d"}
FIELDS: dict[str, Callable[[Any], Any]] = {
    "none": lambda lib: None,
    "empty": lambda lib: {},
    "secrets": lambda lib: dict(SECRETS),
    "in other spelling": lambda lib: {"AUTHORIZATION": "a", "cookie": "b", "x-MINE": "d", "Content-Type": "t"},
    "a host of their own": lambda lib: {"Host": "example.org", "Authorization": "a"},
    "repeated": lambda lib: lib.HTTPHeaderDict([*SECRETS.items(), ("Cookie", "z"), ("X-Mine", "e")]),
    "of the body": lambda lib: {"content-length": "3", "Content-Encoding": "x", "Content-Foo": "y", "Cookie": "b"},
    "skipped": lambda lib: {"User-Agent": "@@@SKIP_HEADER@@@", "Accept-Encoding": "gzip"},
}
REMOVING: dict[str, Policy] = {
    "default": as_it_is(None),
    "nothing": retry(remove_headers_on_redirect=[]),
    "own": retry(remove_headers_on_redirect=["X-Mine", "HOST"]),
    "off": as_it_is(False),
}
PLACES = ["path", "this origin, upper case", "another port", "another port, no scheme"]


@pytest.mark.parametrize("whose", ["call", "client"])
@pytest.mark.parametrize("client", CLIENTS)
def test_fields(client: str, whose: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for place, status, (rule, policy), (name, fields) in itertools.product(
            PLACES, [302, 303], REMOVING.items(), FIELDS.items()
        ):
            if rule == "off" and name != "secrets":
                continue
            if name == "of the body" and client == "manager" and whose == "client":
                continue

            def make(run: Run, policy: Policy = policy, fields: Any = fields) -> dict[str, Any]:
                headers = {"headers": fields(run.lib)}
                where = {"own": headers} if whose == "client" else headers
                return {**where, "retries": policy(run.lib), "body": b"abc"}

            first = to(LOCATIONS[place], status)
            yield (place, status, rule, name), Case(asking(client, make, "PUT"), ([first, OK],))

    assert differences(stage, every()) == {}


def test_the_callers_fields_stay_as_they_are(stage: Stage) -> None:
    def program(run: Run, fields: Any, client: str, status: int) -> None:
        headers = fields(run.lib)
        before = None if headers is None else list(headers.items())
        ask(run, client, "PUT", headers=headers, body=b"abc")
        run.told.append(before == (None if headers is None else list(headers.items())))

    def every() -> Iterator[tuple[Any, Case]]:
        for (name, fields), client, status in itertools.product(FIELDS.items(), CLIENTS[1:], [303, 308]):

            def one(run: Run, fields: Any = fields, client: str = client, status: int = status) -> None:
                program(run, fields, client, status)

            yield (name, client, status), Case(one, ([to("http://{netloc1}/x", status), OK],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", ["pool, other hosts allowed", "manager"])
def test_names_in_bytes(client: str, stage: Stage) -> None:
    case = Case(asking(client, lambda run: {"headers": {b"Authorization": b"a"}}), ([to("http://{netloc1}/x"), OK],))
    assert differences(stage, [("bytes", case)], ACCEPTED["in bytes"]) == {}


# --- what users make of it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["subclass", "class"])
def test_a_replaced_urlopen_of_a_manager(where: str, stage: Stage) -> None:
    def program(run: Run, kind: str) -> None:
        genuine = run.lib.PoolManager.urlopen

        def urlopen(self: Any, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:
            kw.pop("body_pos", None)  # which tells where a file began
            run.told.append((method, run.plain(url), redirect, sorted((k, run.plain(v)) for k, v in kw.items())))
            return genuine(self, method, url, redirect, **kw)

        with pytest.MonkeyPatch.context() as patch:
            cls = run.lib.PoolManager
            if where == "subclass":
                cls = type("Own", (cls,), {"urlopen": urlopen})
            else:
                patch.setattr(cls, "urlopen", urlopen)
            manager = run.manager(cls=cls)
            run.tell(lambda: manager.request("PUT", run.url, **BODIES[kind]()))

    def every() -> Iterator[tuple[Any, Case]]:
        for kind, second in itertools.product(["none", "bytes", "chunked", "json"], ["/a", "http://{netloc1}/b"]):

            def one(run: Run, kind: str = kind) -> None:
                program(run, kind)

            yield (kind, second), Case(one, ([to("/first"), to(second, 303), OK],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("answer", ["as it is", True])
def test_a_replaced_is_same_host(answer: Any, stage: Stage) -> None:
    def program(run: Run) -> None:
        def is_same_host(self: Any, url: str) -> bool:
            run.told.append(run.plain(url))
            return run.lib.HTTPConnectionPool.is_same_host(self, url) if answer == "as it is" else True

        pool = run.pool(cls=type("Own", (run.lib.HTTPConnectionPool,), {"is_same_host": is_same_host}))
        run.tell(lambda: pool.urlopen("GET", HERE, headers=SECRETS))
        run.tell(lambda: pool.urlopen("GET", HERE, headers=SECRETS, assert_same_host=False))

    def every() -> Iterator[tuple[Any, Case]]:
        for place in PLACES:
            yield place, Case(program, ([to(LOCATIONS[place]), OK, to(LOCATIONS[place]), OK],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("value", [True, False, None])
def test_assert_same_host(value: Any, stage: Stage) -> None:
    def program(run: Run) -> None:
        pool, manager = run.pool(), run.manager()
        for url in (run.url + "/a", run.other + "/a", "//h/x", "/x", "x", "", "?q", "http:/x"):
            run.tell(lambda url=url: pool.urlopen("GET", url, assert_same_host=value))
        run.tell(lambda: manager.request("GET", run.url, assert_same_host=value))

    assert differences(stage, [(value, Case(program, ([OK],)))]) == {}
