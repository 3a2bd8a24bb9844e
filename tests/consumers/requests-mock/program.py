"""requests-mock: responses made by hand, as an adapter and in the place of all adapters, beside a real server."""

from __future__ import annotations

import io
import re

import requests
import requests_mock
from observing import chain, main, scene, servers
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

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
        "encoding": answer.encoding,
        "content": answer.content,
        "cookies": answer.cookies.get_dict(),
        "history": [(each.status_code, each.url) for each in answer.history],
        "raw": (isinstance(answer.raw, HTTPResponse), answer.raw.status, answer.raw.version, list(answer.raw.headers)),
    }


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    return "nothing"


@scene
def methods():
    with requests_mock.Mocker() as mock:
        mock.register_uri(requests_mock.ANY, URL, text="tëxt", status_code=207, reason="Many", headers={"X-Thing": "t"})
        names = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "INVENTED")
        return {name: told(requests.request(name, URL, timeout=TIMEOUT)) for name in names}, mock.call_count


@scene
def bodies():
    raw = HTTPResponse(io.BytesIO(b"raw"), status=203, headers={"X-Raw": "1"}, preload_content=False, reason="Raw")
    answers = {
        "text": {"text": "tëxt", "headers": {"Content-Type": "text/plain; charset=latin-1"}},
        "content": {"content": b"\x00\xff"},
        "json": {"json": {"a": [1, None, "ü"]}},
        "file": {"body": io.BytesIO(b"a file")},
        "raw": {"raw": raw},
        "empty": {},
    }
    with requests_mock.Mocker() as mock:
        for name, options in answers.items():
            mock.get(f"{URL}/{name}", **options)
        return {name: told(requests.get(f"{URL}/{name}", timeout=TIMEOUT)) for name in answers}


@scene
def streamed():
    found = []
    with requests_mock.Mocker() as mock:
        mock.get(URL, content=b"x" * 2500)
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            found.append([len(piece) for piece in got.iter_content(1000)])
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            found.append([got.raw.read(10), got.raw.tell(), len(got.raw.read()), got.raw.read(), got.raw.closed])
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            found.append([len(piece) for piece in got.raw.stream(1000)])
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            buffer = bytearray(100)
            found.append([got.raw.readinto(buffer), got.raw.readable(), got.raw.connection, got.raw.isclosed()])
        mock.get(URL, text="one\ntwo\n")
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            found.append(list(got.iter_lines()))
        with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
            found.append([got.raw.read(3), got.raw.data, got.raw._fp is None])
    return found


@scene
def created_by_hand():
    request = requests.Request("GET", URL).prepare()
    made = requests_mock.create_response(request, text="made", headers={"X-A": "1"}, cookies={"c": "1"})
    original = getattr(made.raw, "_original_response", None)
    return told(made), type(original), made.raw.getheader("x-a") if hasattr(made.raw, "getheader") else None


@scene
def cookies():
    with requests_mock.Mocker() as mock, requests.Session() as session:
        jar = requests_mock.CookieJar()
        jar.set("of-jar", "1", domain="an.example", path="/")
        mock.get(URL, cookies=jar)
        mock.get(URL + "/x", headers={"Set-Cookie": "of-header=2; Path=/path"})
        first, second = session.get(URL, timeout=TIMEOUT), session.get(URL + "/x", timeout=TIMEOUT)
        return first.cookies.get_dict(), second.cookies.get_dict(), session.cookies.get_dict()


@scene
def redirects():
    with requests_mock.Mocker() as mock:
        mock.get(URL, status_code=302, headers={"Location": "/other"})
        mock.get("http://an.example/other", status_code=301, headers={"Location": "https://b.example/"})
        mock.get("https://b.example/", json={"got": "there"})
        return told(requests.get(URL, timeout=TIMEOUT)), [each.url for each in mock.request_history]


@scene
def lists_callbacks_and_errors():
    def answer(request, context):
        context.status_code = 418
        context.headers["X-Method"] = request.method
        return f"body: {request.text}"

    with requests_mock.Mocker() as mock:
        mock.get(URL, [{"text": "one"}, {"text": "two", "status_code": 500}])
        mock.post(URL, text=answer)
        mock.put(URL, exc=requests.ConnectTimeout)
        mock.get(re.compile("http://re.example/.*"), text="pattern")
        got = [requests.get(URL, timeout=TIMEOUT).text for _ in range(3)]
        posted = told(requests.post(URL, data="sent", timeout=TIMEOUT))
        errors = [
            failure(lambda: requests.put(URL, timeout=TIMEOUT)),
            failure(lambda: requests.get("http://unknown.example/", timeout=TIMEOUT)),
        ]
        return got, posted, errors, requests.get("http://re.example/x", timeout=TIMEOUT).text


@scene
def matchers():
    with requests_mock.Mocker() as mock:
        mock.get(URL + "?q=1", text="query")
        mock.get(URL, request_headers={"X-Kind": "a"}, text="header")
        mock.post(URL, additional_matcher=lambda request: "yes" in (request.text or ""), text="matched")
        calls = [
            requests.get(URL, params={"q": "1"}, timeout=TIMEOUT),
            requests.get(URL, headers={"X-Kind": "a"}, timeout=TIMEOUT),
            requests.post(URL, data="yes", timeout=TIMEOUT),
        ]
        last = mock.last_request
        return [each.text for each in calls], last.method, last.text, last.timeout, last.verify, last.scheme


@scene
def as_an_adapter():
    """Mounted on one session; other schemes and sessions go to the server."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", "mock://h/x", text="mocked")
    with requests.Session() as session:
        session.mount("mock://", adapter)
        mocked = told(session.get("mock://h/x", timeout=TIMEOUT))
        real = told(session.get(servers.echo.url + "/bytes/5", timeout=TIMEOUT))
        return mocked, real, adapter.called


@scene
def let_through():
    with requests_mock.Mocker(real_http=True) as mock, requests.Session() as session:
        mock.get(URL, text="mocked")
        url = servers.echo.url
        found = [told(session.get(url + path, timeout=TIMEOUT)) for path in ("/bytes/5", "/gzip", "/chunked")]
        posted = session.post(url + "/echo", data=b"body", timeout=TIMEOUT).json()["body"]
        secure = session.get(servers.nginx.https_url + "/json", verify=servers.certs.ca_file, timeout=TIMEOUT).json()
        with session.get(url + "/chunked?n=3&size=100", stream=True, timeout=TIMEOUT) as got:
            lengths = [len(piece) for piece in got.iter_content(120)]
        return found, posted, secure, lengths, session.get(URL, timeout=TIMEOUT).text, mock.call_count


@scene
def let_through_one():
    with requests_mock.Mocker() as mock:
        mock.register_uri("GET", servers.echo.url + "/bytes/4", real_http=True)
        return (
            requests.get(servers.echo.url + "/bytes/4", timeout=TIMEOUT).content,
            failure(lambda: requests.get(servers.echo.url + "/bytes/5", timeout=TIMEOUT)),
        )


@scene
def a_session_before_during_and_after():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        url = servers.echo.url + "/bytes/5"
        found = [session.get(url, timeout=TIMEOUT).content]
        with requests_mock.Mocker(session=session) as mock:
            mock.get(url, text="mocked")
            found.append(session.get(url, timeout=TIMEOUT).content)
        found.append(session.get(url, timeout=TIMEOUT).content)
        return found


main()
