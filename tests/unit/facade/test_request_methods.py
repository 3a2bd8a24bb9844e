"""How request() turns its arguments into those of urlopen()."""

from __future__ import annotations

import inspect
import json as json_module
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest

from wirepool import _request_methods
from wirepool._collections import HTTPHeaderDict
from wirepool._request_methods import RequestMethods


class Recorder(RequestMethods):
    """Answers with the call that reached urlopen."""

    def urlopen(self, *args: Any, **kw: Any) -> Any:  # type: ignore[override]
        return args, kw


POOL_HEADERS = {"H": "1"}


@pytest.fixture
def http() -> Any:
    return Recorder(dict(POOL_HEADERS))


def call(result: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kw = result
    return args, {name: dict(value) if isinstance(value, Mapping) else value for name, value in kw.items()}


# --- methods that put fields into the URL -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "get", "HEAD", "delete", "Options"])
def test_a_plain_request_reaches_urlopen_as_it_is(http: Any, method: str) -> None:
    args, kw = http.request(method, "/")
    assert args == (method.upper(), "/")
    assert kw == {"headers": POOL_HEADERS}
    assert kw["headers"] is http.headers


def test_options_are_passed_on(http: Any) -> None:
    assert http.request("GET", "/", retries=3, timeout=None) == (
        ("GET", "/"),
        {"headers": POOL_HEADERS, "retries": 3, "timeout": None},
    )


@pytest.mark.parametrize("headers", [{}, {"X": "2"}, HTTPHeaderDict(X="2")])
@pytest.mark.parametrize("options", [{}, {"redirect": False}])
def test_headers_replace_those_of_the_pool(http: Any, headers: Any, options: dict[str, Any]) -> None:
    kw = http.request("GET", "/", headers=headers, **options)[1]
    assert kw["headers"] is headers
    assert kw == {"headers": headers, **options}


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({"a": "b c", "d": "é&"}, "?a=b+c&d=%C3%A9%26"),
        ([("a", "1"), ("a", 2)], "?a=1&a=2"),
        ([(b"a", b"\xff")], "?a=%FF"),
        ({}, ""),
        ([], ""),
    ],
)
def test_fields_become_the_query(http: Any, fields: Any, query: str) -> None:
    assert http.request("GET", "/p", fields=fields) == (("GET", f"/p{query}"), {"headers": POOL_HEADERS})


def test_a_query_is_appended_blindly(http: Any) -> None:
    assert http.request("GET", "/p?x=1", fields={"a": "b"})[0] == ("GET", "/p?x=1?a=b")


@pytest.mark.parametrize("body", ["text", "", b"", b"octets"])
def test_a_get_may_have_a_body(http: Any, body: Any) -> None:
    assert http.request("GET", "/", body) == (("GET", "/"), {"headers": POOL_HEADERS, "body": body})
    assert http.request("GET", "/", body=body, fields={"a": "b"})[0] == ("GET", "/?a=b")


def test_bodies_and_forms_that_are_none_do_not_count(http: Any) -> None:
    assert http.request("GET", "/", None, None, None, None) == (("GET", "/"), {"headers": POOL_HEADERS})


# --- methods that put fields into the body ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "put", "PATCH", "TRACE", "weird"])
def test_no_body(http: Any, method: str) -> None:
    args, kw = http.request(method, "/")
    assert args == (method.upper(), "/")
    assert kw == {"headers": POOL_HEADERS}
    assert isinstance(kw["headers"], HTTPHeaderDict)


def test_a_form_is_multipart(http: Any) -> None:
    args, kw = http.request("POST", "/", fields={"a": "b"}, multipart_boundary="B")
    assert args == ("POST", "/")
    assert kw["body"] == b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--B--\r\n'
    assert dict(kw["headers"]) == {**POOL_HEADERS, "Content-Type": "multipart/form-data; boundary=B"}
    assert http.headers == POOL_HEADERS


def test_a_form_may_be_urlencoded(http: Any) -> None:
    fields = [("a", "b c"), ("a", "é")]
    assert call(http.request("POST", "/", fields=fields, encode_multipart=False)) == (
        ("POST", "/"),
        {"body": "a=b+c&a=%C3%A9", "headers": {**POOL_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}},
    )


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
@pytest.mark.parametrize("multipart", [True, False])
def test_a_content_type_of_ones_own_stays(http: Any, name: str, multipart: bool) -> None:
    headers = {name: "mine"}
    kw = http.request("POST", "/", fields={"a": "b"}, headers=headers, encode_multipart=multipart)[1]
    assert dict(kw["headers"]) == {name: "mine"}
    assert headers == {name: "mine"}


def test_a_body_is_passed_on(http: Any) -> None:
    assert call(http.request("POST", "/", body="x", retries=1)) == (
        ("POST", "/"),
        {"body": "x", "headers": POOL_HEADERS, "retries": 1},
    )


def test_a_form_and_a_body_exclude_each_other(http: Any) -> None:
    with pytest.raises(TypeError, match="'fields' and 'body'"):
        http.request("POST", "/", fields={"a": "b"}, body="x")
    with pytest.raises(TypeError, match="'fields' and 'body'"):
        http.request_encode_body("POST", "/", fields={"a": "b"}, body=None)
    assert http.request("POST", "/", fields={}, body="x")[1]["body"] == "x"


def test_headers_of_the_caller_are_copied(http: Any) -> None:
    headers = HTTPHeaderDict([("A", "1"), ("A", "2")])
    kw = http.request("POST", "/", fields={"a": "b"}, headers=headers)[1]
    assert kw["headers"].getlist("a") == ["1", "2"]
    assert list(headers) == ["A"]


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1, "é"]}, [], 0, "", False, {"nested": {"n": None}}])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_json(http: Any, method: str, value: Any) -> None:
    args, kw = http.request(method, "/", json=value)
    assert args == (method, "/")
    assert json_module.loads(kw["body"]) == value
    assert dict(kw["headers"]) == {**POOL_HEADERS, "Content-Type": "application/json"}
    assert http.headers == POOL_HEADERS


def test_json_is_compact_utf8(http: Any) -> None:
    assert http.request("POST", "/", json={"a": [1, 2], "é": None})[1]["body"] == '{"a":[1,2],"é":null}'.encode()


@pytest.mark.parametrize("headers", [{"content-TYPE": "x/y"}, HTTPHeaderDict({"content-TYPE": "x/y"})])
def test_json_of_another_type(http: Any, headers: Any) -> None:
    kw = http.request("POST", "/", json=1, headers=headers)[1]
    assert dict(kw["headers"]) == {"content-TYPE": "x/y"}
    assert kw["headers"] is not headers


def test_json_leaves_the_callers_headers_alone(http: Any) -> None:
    headers = {"X": "1"}
    kw = http.request("POST", "/", json=1, headers=headers)[1]
    assert (dict(kw["headers"]), headers) == ({"X": "1", "Content-Type": "application/json"}, {"X": "1"})


@pytest.mark.parametrize("body", ["x", "", b""])
def test_json_and_a_body_exclude_each_other(http: Any, body: Any) -> None:
    with pytest.raises(TypeError, match="'body' and 'json'"):
        http.request("POST", "/", body=body, json=0)


def test_json_and_a_form(http: Any) -> None:
    with pytest.raises(TypeError, match="'fields' and 'body'"):
        http.request("POST", "/", json=1, fields={"a": "b"})
    args, kw = http.request("GET", "/", json=1, fields={"a": "b"})
    assert (args, kw["body"]) == (("GET", "/?a=b"), b"1")


def test_what_json_cannot_say(http: Any) -> None:
    with pytest.raises(TypeError):
        http.request("POST", "/", json=object())


# --- the two steps on their own ---------------------------------------------------------------------------------------


def test_request_encode_url(http: Any) -> None:
    assert http.request_encode_url("get", "/", {"a": "b"}, {"X": "1"}, timeout=1) == (
        ("get", "/?a=b"),
        {"headers": {"X": "1"}, "timeout": 1},
    )
    assert http.request_encode_url("GET", "/")[1]["headers"] is http.headers


def test_request_encode_body(http: Any) -> None:
    assert call(http.request_encode_body("post", "/", {"a": "b"}, {"X": "1"}, False, None, timeout=1)) == (
        ("post", "/"),
        {"body": "a=b", "headers": {"X": "1", "Content-Type": "application/x-www-form-urlencoded"}, "timeout": 1},
    )
    kw = http.request_encode_body("POST", "/", {"a": "b"}, None, True, "BOUNDARY")[1]
    assert kw["headers"]["content-type"] == "multipart/form-data; boundary=BOUNDARY"


# --- seams ------------------------------------------------------------------------------------------------------------


class Overridden(Recorder):
    def request_encode_url(self, method: str, url: str, **kw: Any) -> Any:  # type: ignore[override]
        return "url step", method, url, kw

    def request_encode_body(self, method: str, url: str, **kw: Any) -> Any:  # type: ignore[override]
        return "body step", method, url, kw


@pytest.mark.parametrize(
    ("method", "arguments", "passed"),
    [
        ("get", {}, {"fields": None, "headers": None}),
        ("get", {"fields": {"a": "b"}}, {"fields": {"a": "b"}, "headers": None}),
        ("get", {"body": "x", "retries": 1}, {"fields": None, "headers": None, "body": "x", "retries": 1}),
        ("get", {"headers": {}}, {"fields": None, "headers": {}}),
        ("post", {}, {"fields": None, "headers": None}),
        ("post", {"body": "x", "multipart_boundary": "B"}, None),
        ("post", {"fields": {}, "json": None}, {"fields": {}, "headers": None}),
    ],
)
def test_overridden_steps_are_taken(method: str, arguments: dict[str, Any], passed: dict[str, Any] | None) -> None:
    if passed is None:
        passed = {"fields": None, "headers": None, **arguments}
    step = "url step" if method == "get" else "body step"
    assert Overridden().request(method, "/", **arguments) == (step, method.upper(), "/", passed)


def test_a_step_replaced_on_the_instance_is_taken(http: Any) -> None:
    http.request_encode_url = lambda *args, **kw: ("mine", args, kw)
    assert http.request("get", "/") == ("mine", ("GET", "/"), {"fields": None, "headers": None})


def test_a_step_bound_to_another_object_is_taken(http: Any) -> None:
    other = Recorder({"other": "1"})
    http.request_encode_url = other.request_encode_url
    assert http.request("GET", "/")[1]["headers"] == {"other": "1"}


def test_a_mocked_step_is_taken(http: Any) -> None:
    with mock.patch.object(http, "request_encode_url") as step:
        http.request("GET", "/", retries=2)
    step.assert_called_once_with("GET", "/", fields=None, headers=None, retries=2)
    assert http.request("GET", "/")[0] == ("GET", "/")


def test_a_step_patched_on_the_base_class_is_taken(http: Any) -> None:
    with mock.patch.object(RequestMethods, "request_encode_url", autospec=True) as step:
        http.request("GET", "/")
    step.assert_called_once_with(http, "GET", "/", fields=None, headers=None)


def test_a_wrapper_that_looks_like_the_step_is_taken() -> None:
    seen = []

    class Wrapper:
        """Does as tracing libraries do: forwards every attribute to what it wraps."""

        def __init__(self, wrapped: Any) -> None:
            self.wrapped = wrapped

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return Wrapper(self.wrapped.__get__(instance, owner))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wrapped, name)

        def __call__(self, *args: Any, **kw: Any) -> Any:
            seen.append(args)
            return self.wrapped(*args, **kw)

    class Traced(Recorder):
        request_encode_url = Wrapper(RequestMethods.request_encode_url)  # type: ignore[assignment]

    assert Traced().request("GET", "/") == (("GET", "/"), {"headers": {}})
    assert seen == [("GET", "/")]


def test_the_set_of_methods_may_be_changed() -> None:
    class Mine(Recorder):
        _encode_url_methods = {"POST"}

    http: Any = Mine()
    assert http.request("POST", "/", fields={"a": "b"}) == (("POST", "/?a=b"), {"headers": {}})
    assert http.request("GET", "/", fields={"a": "b"}, encode_multipart=False)[1]["body"] == "a=b"


def test_the_encoder_is_looked_up_when_needed(http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_request_methods, "encode_multipart_formdata", lambda fields, boundary: (b"mine", "x/y"))
    assert http.request("POST", "/", fields={"a": "b"})[1]["body"] == b"mine"


def test_urlopen_is_for_subclasses() -> None:
    with pytest.raises(NotImplementedError, match="urlopen"):
        RequestMethods().request("GET", "/")


def test_no_headers() -> None:
    assert RequestMethods().headers == {}
    assert RequestMethods(None).headers == {}
    given = {"a": "b"}
    assert RequestMethods(given).headers is given
    http: Any = Recorder()
    http.headers = None
    assert http.request("GET", "/") == (("GET", "/"), {"headers": None})
    assert dict(http.request("POST", "/", json=1)[1]["headers"]) == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("request", "method url body fields headers json urlopen_kw"),
        ("urlopen", "method url body headers encode_multipart multipart_boundary kw"),
        ("request_encode_url", "method url fields headers urlopen_kw"),
        ("request_encode_body", "method url fields headers encode_multipart multipart_boundary urlopen_kw"),
    ],
)
def test_arguments_keep_their_names_and_places(method: str, names: str) -> None:
    assert list(inspect.signature(getattr(RequestMethods(), method)).parameters) == names.split()
