"""responses: what is answered without a server, on the adapter of requests, beside what is let through to one."""

from __future__ import annotations

import os
import re

import requests
import responses
from observing import chain, main, scene, servers
from requests.adapters import HTTPAdapter
from responses import _recorder, matchers, registries
from urllib3.util import Retry

SERVERS = ("echo", "nginx", "certs")

TIMEOUT = 5
URL = "http://an.example/path"


def told(answer):
    """What the user sees of a response."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Server")}
    return {
        "status": answer.status_code,
        "reason": answer.reason,
        "url": answer.url,
        "headers": headers,
        "content": answer.content,
        "cookies": answer.cookies.get_dict(),
        "history": [(each.status_code, each.url) for each in answer.history],
        "raw": (type(answer.raw), answer.raw.status, answer.raw.version, answer.raw.closed, list(answer.raw.headers)),
    }


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    return "nothing"


@scene
@responses.activate
def methods():
    responses.head(URL, headers={"X-Thing": "t"})
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        responses.add(method, URL, body=f"a {method}", status=207, headers={"X-Thing": "t"}, content_type="text/plain")
    found = [told(requests.request(each.method, URL, timeout=TIMEOUT)) for each in responses.registered()]
    return found, len(responses.calls), [call.request.method for call in responses.calls]


@scene
@responses.activate
def an_answer_to_head_with_a_body():
    responses.head(URL, body="a body")
    return failure(lambda: requests.head(URL, timeout=TIMEOUT))


@scene
@responses.activate
def bodies():
    answers = {
        "text": {"body": "tëxt"},
        "bytes": {"body": b"\x00\xff"},
        "json": {"json": {"a": [1, None, "ü"]}},
        "file": {"body": open(os.devnull, "rb")},  # noqa: SIM115 - responses closes it
        "empty": {},
        "headers": {"body": "x", "headers": [("X-A", "1"), ("X-A", "2"), ("Set-Cookie", "c=1; Path=/")]},
        "length": {"body": "four", "auto_calculate_content_length": True},
    }
    for name, options in answers.items():
        responses.get(f"{URL}/{name}", **options)
    return {name: told(requests.get(f"{URL}/{name}", timeout=TIMEOUT)) for name in answers}


@scene
@responses.activate
def streamed():
    responses.get(URL, body=b"x" * 2500, auto_calculate_content_length=True)
    found = []
    with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
        found.append([len(piece) for piece in got.iter_content(1000)])
    with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
        found.append([got.raw.read(10), got.raw.tell(), len(got.raw.read()), got.raw.read(), got.raw.closed])
    with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
        found.append([len(piece) for piece in got.raw.stream(1000)])
    responses.get(URL + "/lines", body="one\ntwo\n")
    with requests.get(URL + "/lines", stream=True, timeout=TIMEOUT) as got:
        found.append(list(got.iter_lines()))
    return found


@scene
@responses.activate
def cookies():
    responses.get(URL, headers={"Set-Cookie": "a=1; Path=/, b=2; Path=/x"})
    responses.get(URL + "/x", body="")
    with requests.Session() as session:
        session.get(URL, timeout=TIMEOUT)
        session.get(URL + "/x", timeout=TIMEOUT)
        return session.cookies.get_dict(), responses.calls[1].request.headers.get("Cookie")


@scene
@responses.activate
def redirects():
    responses.get(URL, status=302, headers={"Location": "/other"})
    responses.get("http://an.example/other", status=301, headers={"Location": "https://b.example/"})
    responses.get("https://b.example/", json={"got": "there"})
    responses.get("http://an.example/for-ever", status=302, headers={"Location": "/for-ever"})
    return (
        told(requests.get(URL, timeout=TIMEOUT)),
        requests.get(URL, allow_redirects=False, timeout=TIMEOUT).next.url,
        failure(lambda: requests.get("http://an.example/for-ever", timeout=TIMEOUT)),
    )


@scene
@responses.activate
def matching():
    responses.post(URL, body="json", match=[matchers.json_params_matcher({"a": 1})])
    responses.post(URL, body="form", match=[matchers.urlencoded_params_matcher({"a": "1"})])
    responses.post(URL, body="parts", match=[matchers.multipart_matcher({"f": b"content"})])
    responses.get(URL, body="query", match=[matchers.query_param_matcher({"q": "1"})])
    responses.get(URL, body="header", match=[matchers.header_matcher({"X-Kind": "a"})])
    responses.get(re.compile(r"http://re\.example/\d+$"), body="pattern")
    found = [
        requests.post(URL, json={"a": 1}, timeout=TIMEOUT).text,
        requests.post(URL, data={"a": "1"}, timeout=TIMEOUT).text,
        requests.post(URL, files={"f": b"content"}, timeout=TIMEOUT).text,
        requests.get(URL, params={"q": "1"}, timeout=TIMEOUT).text,
        requests.get(URL, headers={"X-Kind": "a"}, timeout=TIMEOUT).text,
        requests.get("http://re.example/12", timeout=TIMEOUT).text,
    ]
    return found, failure(lambda: requests.get(URL + "/unknown", timeout=TIMEOUT))


@scene
@responses.activate
def callbacks_and_errors():
    def answer(request):
        return 418, {"X-Method": request.method, "X-Body": str(request.body)}, b"short"

    responses.add_callback("POST", URL, callback=answer, content_type="text/x")
    responses.get(URL, body=requests.ConnectTimeout("slow"))
    responses.put(URL, body=OSError("no"))
    return (
        told(requests.post(URL, data="body", timeout=TIMEOUT)),
        failure(lambda: requests.get(URL, timeout=TIMEOUT)),
        failure(lambda: requests.put(URL, timeout=TIMEOUT)),
    )


# --- retries, which responses drives by hand --------------------------------------------------------------------------


class Logged(Retry):
    """A subclass as programs write them."""

    seen = []

    def increment(self, method=None, url=None, response=None, error=None, *args, **kwargs):
        self.seen.append((method, url, response and response.status, error and type(error)))
        return super().increment(method, url, response, error, *args, **kwargs)


@scene
@responses.activate(registry=registries.OrderedRegistry)
def retries():
    for status, headers in ((503, {"Retry-After": "0"}), (500, {}), (200, {}), (500, {}), (500, {}), (500, {})):
        responses.get(URL, body=f"{status}", status=status, headers=headers)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Logged(2, status_forcelist=[500, 503], backoff_factor=0)))
        got = told(session.get(URL, timeout=TIMEOUT))
        return got, failure(lambda: session.get(URL, timeout=TIMEOUT)), Logged.seen, len(responses.calls)


@scene
@responses.activate
def retries_that_return():
    responses.get(URL, status=500)
    policy = Retry(2, status_forcelist=[500], raise_on_status=False, backoff_factor=0)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=policy))
        return session.get(URL, timeout=TIMEOUT).status_code, len(responses.calls)


# --- beside a real server ---------------------------------------------------------------------------------------------


@scene
def let_through():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_passthru(servers.echo.url)
        mock.add_passthru(servers.nginx.https_url)
        mock.get(URL, body="mocked")
        found = [
            told(requests.get(servers.echo.url + path, timeout=TIMEOUT)) for path in ("/bytes/9", "/gzip", "/chunked")
        ]
        secure = requests.get(servers.nginx.https_url + "/json", verify=servers.certs.ca_file, timeout=TIMEOUT)
        mocked = requests.get(URL, timeout=TIMEOUT).text
        counted = len(mock.calls)
    return found, secure.json(), mocked, counted


@scene
def a_session_before_during_and_after():
    """One session, whose pool has a connection already."""
    with requests.Session() as session:
        url = servers.echo.url + "/bytes/5"
        found = [session.get(url, timeout=TIMEOUT).content]
        with responses.RequestsMock() as mock:
            mock.get(url, body="mocked")
            found.append(session.get(url, timeout=TIMEOUT).content)
        found.append(session.get(url, timeout=TIMEOUT).content)
        return found


@scene
def recorded():
    """Recorded from the server, played without it."""
    where = os.path.join(os.environ["TMPDIR"], "recorded.yaml")
    url = servers.echo.url

    @_recorder.record(file_path=where)
    def record():
        return [told(requests.get(url + path, timeout=TIMEOUT)) for path in ("/bytes/3", "/status/404", "/echo")]

    first = record()
    with responses.RequestsMock() as mock:
        mock._add_from_file(where)
        again = [told(requests.get(url + path, timeout=TIMEOUT)) for path in ("/bytes/3", "/status/404")]
        requests.get(url + "/echo", timeout=TIMEOUT)
    return first[:2], again


main()
