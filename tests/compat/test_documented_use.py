"""The user's guide and the guide to advanced usage of urllib3, statement by statement, with either library.

What streaming, TLS and proxies promise is in test_documented_transport.py, the reference in
test_documented_reference.py, the change log in test_documented_changes.py.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import warnings
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer
from servers.scripted import Close, Recv, response

shows = Programs()


def moved(to: str, status: int = 302) -> bytes:
    return response(b"moved", status=status, reason="Moved", headers=[("Location", to)])


# --- making requests --------------------------------------------------------------------------------------------------


@shows
def a_manager_and_the_function(w: World) -> Any:
    url = f"{w.echo.url}/bytes/8"
    one, other = w.manager().request("GET", url), w.lib.request("GET", url)
    kinds = [type(one).__name__, isinstance(one, w.lib.HTTPResponse), isinstance(one, w.lib.BaseHTTPResponse)]
    return one.data, other.data, one.status, other.reason, kinds


@shows
def any_verb(w: World) -> Any:
    verbs = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get"]
    return [w.told(verb)["method"] for verb in verbs], w.manager().request("HEAD", f"{w.echo.url}/bytes/3").headers[
        "content-length"
    ]


@shows
def the_function_takes_no_low_level_options(w: World) -> Any:
    def refused(**options: Any) -> list[str]:
        return w.error(lambda: w.lib.request("GET", f"{w.echo.url}/echo", **options), TypeError)

    return [refused(**{name: None}) for name in ("pool_timeout", "release_conn", "chunked", "assert_same_host")]


@shows
def the_functions_timeout_is_three_seconds(w: World) -> Any:
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(w.lib.PoolManager, "request", lambda self, method, url, **options: seen.append(options))
        w.lib.request("GET", w.echo.url)
        w.lib.request("GET", w.echo.url, timeout=None)
    return [(options["timeout"], sorted(options)) for options in seen]


@shows
def a_url_without_a_scheme(w: World) -> Any:
    netloc = f"{w.echo.host}:{w.echo.port}"
    answer, warnings_ = w.warned(lambda: w.manager().request("GET", f"{netloc}/bytes/1"))
    return answer.data, warnings_


# --- responses --------------------------------------------------------------------------------------------------------


@shows
def parts_of_a_response(w: World) -> Any:
    fields = [("Content-Type", "text/plain"), ("X-Two", "a"), ("x-two", "b")]
    answer = w.manager().request("GET", w.always(b"hi", headers=fields).url)
    return [
        [answer.status, answer.data, answer.reason, answer.version, answer.version_string],
        [repr(answer.headers), answer.headers["x-TWO"], answer.headers.getlist("X-Two"), len(answer.headers)],
        [answer.headers.get("none"), "content-type" in answer.headers, list(answer.headers), dict(answer.headers)],
        [answer.getheader("X-Two"), answer.getheader("none", "-"), answer.getheaders() is answer.headers],
        [answer.info() is answer.headers, answer.geturl(), answer.url, answer.chunked, answer.length_remaining],
    ]


@shows
def json_of_a_response(w: World) -> Any:
    def body(text: bytes) -> Any:
        return w.manager().request("GET", w.always(text).url)

    return [
        body(b'{"a": [1, "\xc3\xbc"]}').json(),
        w.error(lambda: body(b'"\xfc"').json(), UnicodeDecodeError),
        w.error(lambda: body(b"<p>").json(), json.JSONDecodeError),
        json.loads(body(b'{"own": "decoder"}').data),
    ]


@shows
def wrapped_as_text(w: World) -> Any:
    server = w.always("first,1\nsecond,2\nlast \u00fc,3".encode())
    answer = w.manager().request("GET", server.url, preload_content=False)
    answer.auto_close = False
    lines = list(io.TextIOWrapper(answer, encoding="utf-8"))
    other = w.manager().request("GET", server.url, preload_content=False)
    other.auto_close = False
    return lines, list(csv.reader(io.TextIOWrapper(other, encoding="utf-8"))), answer.closed


@shows
def wrapped_without_auto_close_set(w: World) -> Any:
    answer = w.manager().request("GET", w.always(b"a\nb").url, preload_content=False)
    return w.error(lambda: list(io.TextIOWrapper(answer)), ValueError), answer.closed


# --- what is sent -----------------------------------------------------------------------------------------------------


@shows
def headers_of_a_dictionary(w: World) -> Any:
    return w.told(headers={"X-Something": "value", "Accept": "text/plain"})


@shows
def headers_with_several_values(w: World) -> Any:
    headers = w.lib.HTTPHeaderDict()
    headers.add("Accept", "application/json")
    headers.add("accept", "text/plain")
    headers.add("X-One", "a")
    headers.add("X-One", "b", combine=True)
    return w.told(headers=headers), list(headers.items())


@shows
def headers_of_the_manager(w: World) -> Any:
    http = w.manager(headers={"X-Own": "always"})
    with_own = http.request("GET", f"{w.echo.url}/echo").json()["headers"]
    replaced = http.request("GET", f"{w.echo.url}/echo", headers={"X-Other": "only"}).json()["headers"]
    http.headers["X-Late"] = "added"
    late = http.request("GET", f"{w.echo.url}/echo").json()["headers"]
    return [[name for name, _ in pairs] for pairs in (with_own, replaced, late)]


@shows
def cookies(w: World) -> Any:
    setting = w.always(b"", headers=[("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "id=2")])
    answer = w.manager().request("GET", setting.url)
    told = w.told(headers={"Cookie": "session=1; id=2"})
    return told, answer.headers["Set-Cookie"], answer.headers.getlist("set-cookie")


@shows
def cookies_do_not_follow_to_another_host(w: World) -> Any:
    elsewhere = w.always()
    start = w.serve(default=answering(moved(f"http://localhost:{elsewhere.port}/")))
    own = {"Cookie": "secret", "Authorization": "Basic eA==", "Proxy-Authorization": "Basic eA==", "X-Kept": "yes"}
    w.manager().request("GET", start.url, headers=own)
    return [name for name, _ in elsewhere.requests[0].headers if name != "User-Agent"], own


@shows
def query_parameters(w: World) -> Any:
    fields = {"arg": "value", "b": "\u00fc &"}
    told = [w.told(verb, fields=fields)["target"] for verb in ("GET", "DELETE", "OPTIONS")]
    pairs = w.told(fields=[("a", "1"), ("a", "2")])["target"]
    return told, pairs, w.told("POST", "?" + urlencode(fields)), w.told(query="?x=1", fields={"y": "2"})["target"]


@shows
def form_data(w: World) -> Any:
    http, url = w.manager(), f"{w.echo.url}/echo"
    told = http.request("POST", url, fields={"field": "value", "n": 5}, multipart_boundary="B").json()
    coded = http.request("PUT", url, fields={"field": "v w"}, encode_multipart=False).json()
    free = http.request("POST", url, fields={"a": "b"}).json()
    kinds = [dict(part["headers"])["Content-Type"] for part in (told, coded)]
    boundary = dict(free["headers"])["Content-Type"].removeprefix("multipart/form-data; boundary=")
    return told["body"], coded["body"], kinds, len(boundary), free["body"].replace(boundary, "B")


@shows
def json_in_a_request(w: World) -> Any:
    own = {"content-type": "application/vnd.api+json"}
    told = w.told("POST", json={"attribute": "v\u00fc", "n": None}), w.told("PATCH", json=[1], headers=own)
    both = w.error(lambda: w.told("POST", json={}, body=b"x"), TypeError)
    return told, own, both, w.told("POST", json=None)


@shows
def files(w: World) -> Any:
    fields = {"two": ("a.txt", "text"), "three": ("b.bin", b"\0\1", "image/jpeg"), "named": ('q"\u00fc\n.txt', b"x")}
    answer = w.manager().request("POST", f"{w.echo.url}/echo", fields=fields, multipart_boundary="B").json()
    raw = w.told("POST", body=b"\xff\0", headers={"Content-Type": "image/jpeg"})
    return answer["body"], raw


@shows
def a_file_in_a_form_is_no_stream(w: World) -> Any:
    return w.error(lambda: w.told("POST", fields={"a": ("n", io.BytesIO(b"x"))}), TypeError)


# --- time-outs --------------------------------------------------------------------------------------------------------


@shows
def a_timeout_as_a_number(w: World) -> Any:
    late = f"{w.echo.url}/slow?delay=0.2"
    http = w.manager()
    return http.request("GET", late, timeout=3.0).data, w.error(
        lambda: http.request("GET", late, timeout=0.05, retries=1)
    )


@shows
def separate_timeouts(w: World) -> Any:
    late = f"{w.echo.url}/slow?delay=0.15"
    http, limit = w.manager(timeout=0.05), w.lib.Timeout
    return [
        w.error(lambda: http.request("GET", late, retries=0)),
        w.error(lambda: http.request("GET", late, timeout=limit(connect=1.0, read=0.05), retries=False)),
        http.request("GET", late, timeout=limit(connect=1.0)).data,
        http.request("GET", late, timeout=limit(connect=None, read=None)).data,
        http.request("GET", late, timeout=None).data,
        w.error(lambda: http.request("GET", late, timeout=limit(total=0.05), retries=0)),
    ]


@shows
def what_is_no_timeout(w: World) -> Any:
    return [
        w.error(lambda value=value: w.manager().request("GET", w.echo.url, timeout=value), ValueError)
        for value in (0, -1, True, "soon", w.lib.Timeout)
        if value is not w.lib.Timeout
    ]


# --- retries and redirects --------------------------------------------------------------------------------------------


def chain(w: World, steps: int) -> str:
    """A URL that redirects so many times."""
    url = f"{w.echo.url}/bytes/3"
    for _ in range(steps):
        url = f"{w.echo.url}/redirect?to={quote(url, safe='')}"
    return url


@shows
def redirects_by_default(w: World) -> Any:
    http = w.manager()
    answer = http.request("GET", chain(w, 3))
    return (
        answer.data,
        answer.retries.total,
        len(answer.retries.history),
        w.error(lambda: http.request("GET", chain(w, 4))),
    )


@shows
def a_number_of_retries(w: World) -> Any:
    flaky = w.serve([Recv(), Close()], [Recv(), Close()], default=answering(response(b"at last")))
    answer = w.manager().request("GET", flaky.url, retries=10)
    broken = w.serve(default=[Recv(), Close()])
    failure = w.error(lambda: w.manager().request("GET", broken.url, retries=2))
    return answer.data, answer.retries.total, failure, len(broken.connections)


@shows
def retries_by_default(w: World) -> Any:
    broken = w.serve(default=[Recv(), Close()])
    failure = w.error(lambda: w.manager().request("GET", broken.url))
    return failure, len(broken.connections)


@shows
def only_what_is_idempotent_is_tried_again(w: World) -> Any:
    broken = w.serve(default=[Recv(), Close()])
    verbs = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH")
    found = []
    for verb in verbs:
        before = len(broken.connections)
        failure = w.error(lambda verb=verb: w.manager().request(verb, broken.url, retries=1))  # type: ignore[misc]
        found.append((verb, failure, len(broken.connections) - before))
    return found


@shows
def no_retries_and_no_redirects(w: World) -> Any:
    http = w.manager()
    nobody = "http://127.0.0.1:1/"
    return [
        w.error(lambda: http.request("GET", nobody, retries=False)),
        http.request("GET", chain(w, 1), retries=False).status,
        http.request("GET", chain(w, 1), redirect=False).status,
        w.error(lambda: http.request("GET", nobody, retries=1, redirect=False)),
        w.error(lambda: http.request("GET", nobody, retries=0)),
        w.error(lambda: http.request("GET", chain(w, 1), retries=0)),
    ]


@shows
def limits_of_redirects(w: World) -> Any:
    http, policy = w.manager(), w.lib.Retry
    returned = http.request("GET", chain(w, 3), retries=policy(redirect=2, raise_on_redirect=False))
    return [
        w.error(lambda: http.request("GET", chain(w, 3), retries=policy(3, redirect=2))),
        returned.status,
        returned.get_redirect_location(),
        http.request("GET", chain(w, 2), retries=policy(3, redirect=2)).data,
        http.request("GET", chain(w, 1), retries=policy(redirect=False)).status,
    ]


@shows
def a_policy_of_the_manager(w: World) -> Any:
    policy = w.lib.Retry
    return [
        w.manager(retries=False).request("GET", chain(w, 1)).status,
        w.error(lambda: w.manager(retries=policy(5, redirect=2)).request("GET", chain(w, 3))),
        w.manager(retries=policy(5, redirect=2)).request("GET", chain(w, 3), retries=5).data,
        w.error(lambda: w.manager(retries=1).request("GET", chain(w, 2))),
        w.manager(retries=False).request("GET", chain(w, 1), retries=1).data,
    ]


@shows
def relative_redirects(w: World) -> Any:
    url = f"{w.echo.url}/redirect?to="
    ask = w.manager().request
    return [
        ask("GET", url + quote("/bytes/2", safe="")).data,
        ask("GET", url + quote("bytes/2", safe="")).data,
        ask("GET", url + quote("?to=/bytes/1", safe="")).data,
        w.error(lambda: ask("GET", url + quote("ftp://x/", safe=""))),
    ]


# --- errors and logging -----------------------------------------------------------------------------------------------


@shows
def errors_have_one_base(w: World) -> Any:
    http = w.manager()
    return [
        w.error(lambda: http.request("GET", "http://127.0.0.1:1/", retries=False)),
        w.error(lambda: http.request("GET", "http://")),
        w.error(lambda: http.request("GET", "ftp://127.0.0.1/")),
        w.error(lambda: http.request("GET", "http://[::1/")),
        w.error(lambda: http.request("GET", "http://127.0.0.1:99999/")),
        w.error(lambda: w.lib.HTTPConnectionPool("")),
        w.error(lambda: w.lib.proxy_from_url("ftp://127.0.0.1/")),
    ]


@shows
def a_failure_tells_where(w: World) -> Any:
    broken = w.serve(default=[Recv(), Close()])
    try:
        w.manager().request("GET", f"{broken.url}/there?x=1", retries=0)
    except w.exceptions.MaxRetryError as error:
        return error.url, type(error.pool).__name__, error.pool.port == broken.port, type(error.reason).__name__
    raise AssertionError


@shows
def log_of_a_request(w: World) -> Any:
    server = w.always()

    def work() -> None:
        http = w.manager()
        http.request("GET", f"{server.url}/a?b=c")
        http.request("POST", f"{server.url}/a")

    return w.logged(work), w.logged(work, logging.WARNING)


@shows
def log_of_retries_and_redirects(w: World) -> Any:
    broken = w.serve([Recv(), Close()], default=answering(moved("/there"), response(b"ok")))
    records = w.logged(lambda: w.manager().request("GET", broken.url))
    return [record for record in records if "Retrying (" not in record[2] and "Incremented" not in record[2]]


@shows
def the_helper_for_logging(w: World) -> Any:
    logger = logging.getLogger(w.package)
    before = list(logger.handlers), logger.level
    with contextlib.redirect_stderr(io.StringIO()) as told:
        handler = w.lib.add_stderr_logger()
        found = [type(handler).__name__, logger.level, handler in logger.handlers]
        logger.debug("hello")
        logger.removeHandler(handler)
    logger.setLevel(before[1])
    return found, [line.split(" ", 2)[2] for line in told.getvalue().splitlines()], list(logger.handlers) == before[0]


@shows
def the_package_is_silent_by_itself(w: World) -> Any:
    return [type(handler).__name__ for handler in logging.getLogger(w.package).handlers[:1]]


@shows
def warnings_can_be_switched_off(w: World) -> Any:
    url = f"{w.echo.host}:{w.echo.port}/bytes/1"
    server = w.serve_tls()

    def caught(prepare: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            prepare()
            w.manager(cert_reqs="CERT_NONE").request("GET", server.url)
            w.manager().request("GET", url)
        return [w.category.__name__ for w in found if w.category is not ResourceWarning]

    narrow = w.exceptions.InsecureRequestWarning
    return [
        caught(lambda: None),
        caught(w.lib.disable_warnings),
        caught(lambda: w.lib.disable_warnings(narrow)),
        caught(lambda: w.lib.disable_warnings(w.exceptions.DependencyWarning)),
    ]


@shows
def warnings_can_go_to_the_log(w: World) -> Any:
    server, seen = w.serve_tls(), []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("py.warnings")
    logger.addHandler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("always", w.exceptions.InsecureRequestWarning)
        logging.captureWarnings(True)
        try:
            w.manager(cert_reqs="CERT_NONE").request("GET", server.url)
        finally:
            logging.captureWarnings(False)
            logger.removeHandler(handler)
    return ["InsecureRequestWarning" in text for text in seen]


# --- how pools behave -------------------------------------------------------------------------------------------------


@shows
def pools_are_kept_by_origin(w: World) -> Any:
    one, two = w.always(), w.always()
    http = w.manager(num_pools=2)
    for url in (f"{one.url}/a", f"{one.url}/b", two.url):
        http.request("GET", url)
    before = len(http.pools)
    http.request("GET", f"http://localhost:{two.port}/")
    http.request("GET", one.url)
    return before, len(http.pools), len(one.connections), len(two.connections), len(w.manager().pools)


@shows
def ten_pools_by_default(w: World) -> Any:
    http = w.manager()
    pools = [http.connection_from_host(f"h{number}.test") for number in range(12)]
    return (
        len(http.pools),
        http.connection_from_host("h0.test") is pools[0],
        http.connection_from_host("h11.test") is pools[11],
    )


@shows
def connections_beyond_the_size_are_not_kept(w: World) -> Any:
    server = w.always()
    pool = w.pool(server, maxsize=2)
    held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(3)]
    records = w.logged(lambda: [answer.drain_conn() for answer in held], logging.WARNING)
    held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(3)]
    for answer in held:
        answer.drain_conn()
    return records, len(server.connections), pool.num_connections, pool.num_requests


@shows
def a_limit_of_connections(w: World) -> Any:
    server = w.always()
    pool = w.pool(server, maxsize=1, block=True)
    held = pool.urlopen("GET", "/", preload_content=False)
    waited = w.error(lambda: pool.urlopen("GET", "/", pool_timeout=0.05))
    held.drain_conn()
    return waited, pool.urlopen("GET", "/", pool_timeout=0.05).data, len(server.connections)


@shows
def one_connection_for_requests_in_a_row(w: World) -> Any:
    server = w.always()
    http = w.manager()
    for _ in range(4):
        http.request("GET", server.url)
    by_hand = w.pool(server)
    for _ in range(3):
        by_hand.request("GET", "/")
    return len(server.connections)


@shows
def managers_end_with_their_block(w: World) -> Any:
    server = w.always()
    with w.lib.PoolManager() as http:
        http.request("GET", server.url)
        pool = http.connection_from_url(server.url)
        inside = len(http.pools)
    return inside, len(http.pools), w.lib.PoolManager().__exit__(None, None, None), pool.host


@shows
def pools_end_with_their_block(w: World) -> Any:
    server = w.always()
    with w.lib.HTTPConnectionPool(server.host, server.port) as pool:
        pool.request("GET", "/")
    pool.close()
    return w.error(lambda: pool.request("GET", "/")), pool.pool is None


@shows
def the_url_of_a_response(w: World) -> Any:
    http, url = w.manager(), f"{w.echo.url}/bytes/1"
    moved_on = http.request("GET", f"{w.echo.url}/redirect?to={quote(url, safe='')}")
    plain = http.request("GET", f"{url}?x=1#part")
    stays = http.request("GET", chain(w, 1), redirect=False)
    return plain.url, moved_on.url, moved_on.geturl(), stays.url, len(moved_on.retries.history)


@pytest.mark.parametrize("name", shows.names())
def test_as_documented(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    shows.check(name, gear, echo, certs)
