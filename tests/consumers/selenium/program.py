"""selenium: webdriver.Remote against a scripted WebDriver server, and what ClientConfig sets: TLS, proxies, fields."""

from __future__ import annotations

import base64
import json
import os
import warnings

from observing import chain, main, scene, servers
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.proxy import Proxy
from selenium.webdriver.remote.client_config import AuthType, ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection

from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, response
from servers.tls import TLSServer

SERVERS = ("certs", "squid", "socks")

TIMEOUT = 5
JSON = ("Content-Type", "application/json; charset=utf-8")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PIXEL = base64.b64encode(b"\x89PNG").decode()


def answer(value, status=200, reason="OK"):
    return response(json.dumps({"value": value}).encode(), status=status, reason=reason, headers=[JSON])


def error(name, status):
    return answer({"error": name, "message": f"no: {name}", "stacktrace": ""}, status, "No")


class Driver:
    """A browser driver that knows a page of one element."""

    url = "about:blank"

    def __call__(self, conn):
        while True:
            request = conn.recv()
            conn.send(self.answer_to(request.method, request.target, json.loads(request.body or b"{}")))

    def answer_to(self, method, target, body):
        command = target.partition("/session")[2].lstrip("/").partition("/")[2]
        if target.endswith("/session"):
            return answer({"sessionId": "s-1", "capabilities": {"browserName": "chrome", "browserVersion": "1"}})
        if method == "DELETE" and not command:
            return answer(None)
        known = {
            "url": self._url,
            "title": lambda body: answer("Titel ü"),
            "source": lambda body: answer("<p>" + "ä" * 50_000 + "</p>"),
            "screenshot": lambda body: answer(PIXEL),
            "element": self._find,
            "elements": lambda body: answer([{ELEMENT: "e-1"}, {ELEMENT: "e-2"}]),
            "element/e-1/text": lambda body: answer("text"),
            "element/e-1/click": lambda body: answer(None),
            "element/e-1/value": lambda body: answer(None),
            "execute/sync": lambda body: answer([body["script"], *body["args"]]),
            "cookie": lambda body: answer([{"name": "a", "value": "b"}] if method == "GET" else None),
            "timeouts": lambda body: answer(None),
            "window": lambda body: answer("w-1"),
        }
        return known[command](body) if command in known else error("unknown command", 404)

    def _url(self, body):
        if "url" in body:
            if body["url"].endswith("nowhere"):
                return error("unknown error", 500)
            self.url = body["url"]
            return answer(None)
        return answer(self.url)

    def _find(self, body):
        return answer({ELEMENT: "e-1"}) if body["value"] == "#known" else error("no such element", 404)


def options():
    return webdriver.ChromeOptions()


def config(server, **more):
    return ClientConfig(remote_server_addr=server.url, **{"timeout": TIMEOUT, **more})


def failure(call):
    """What the call gives or raises."""
    try:
        return call()
    except WebDriverException as caught:
        return chain(caught), caught.msg
    except Exception as caught:
        return chain(caught)


def session(server, **more):
    """Opens and ends a session, with a step in between."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        driver = webdriver.Remote(server.url, options=options(), client_config=config(server, **more))
        driver.get("http://127.0.0.1/page")
        url = driver.current_url
        driver.quit()
    return url, type(getattr(driver.command_executor, "_conn", None)), [warning.category for warning in seen]


def heads(server):
    varying = ("host", "user-agent", "content-length")
    return [
        (request.line, [pair for pair in request.headers if pair[0].lower() not in varying])
        for request in server.requests
    ]


# --- a session --------------------------------------------------------------------------------------------------------


@scene
def whole_session():
    with ScriptedServer(default=Driver()) as server:
        driver = webdriver.Remote(command_executor=server.url, options=options())
        driver.get("http://127.0.0.1/page")
        element = driver.find_element(By.CSS_SELECTOR, "#known")
        element.click()
        element.send_keys("ü\ue007")
        found = [
            driver.session_id,
            driver.current_url,
            driver.title,
            len(driver.page_source),
            driver.get_screenshot_as_png(),
            element.text,
            len(driver.find_elements(By.TAG_NAME, "p")),
            driver.execute_script("return arguments", 1, "ä", None, [True], {"a": 1.5}),
            driver.get_cookies(),
            driver.current_window_handle,
            failure(lambda: driver.find_element(By.CSS_SELECTOR, "#unknown")),
            failure(lambda: driver.get("http://127.0.0.1/nowhere")),
            failure(driver.refresh),
        ]
        driver.implicitly_wait(1)
        driver.quit()
        bodies = [request.body for request in server.requests]
        return found, heads(server), bodies[1:], len(server.connections)


@scene
def fields_and_credentials():
    found = {}
    for name, more in {
        "basic": {"username": "me", "password": "pässword"},
        "bearer": {"auth_type": AuthType.BEARER, "token": "t"},
        "key": {"auth_type": AuthType.X_API_KEY, "token": "t"},
        "fields": {"user_agent": "mine/1", "extra_headers": {"X-Mine": "1"}},
        "no keep-alive": {"keep_alive": False},
        "manager": {"init_args_for_pool_manager": {"init_args_for_pool_manager": {"retries": 0, "maxsize": 3}}},
    }.items():
        with ScriptedServer(default=Driver()) as server:
            found[name] = failure(lambda: session(server, **more)), heads(server), len(server.connections)  # noqa: B023
    return found


# --- answers that are odd ---------------------------------------------------------------------------------------------


@scene
def odd_answers():
    """What the connection makes of them by itself."""
    png = ("Content-Type", "image/png")
    elsewhere = response(b"", status=302, reason="Found", headers=[("Location", "/elsewhere")])
    found = {}
    for name, sent in {
        "json": answer(1),
        "no value": response(b"{}", headers=[JSON]),
        "text": response(b" plain ", headers=[("Content-Type", "text/plain")]),
        "png": response(b"PNG", headers=[png]),
        "empty": response(b""),
        "unauthorized": response(b"", status=401, reason="Unauthorized"),
        "error": response(b"oops ", status=500, reason="Server Error"),
        "error without a body": response(b"", status=500, reason="Server Error"),
        "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
        "redirect": elsewhere,
    }.items():
        there = [Recv(), Send(answer("there"))]
        with ScriptedServer([Recv(), Send(sent), *there, *there, Hold()]) as server:
            connection = RemoteConnection(client_config=config(server))
            found[name] = (
                failure(lambda: connection._request("GET", server.url + "/x")),  # noqa: B023
                failure(lambda: connection._request("POST", server.url + "/x", body="{}")),  # noqa: B023
                [request.line for request in server.requests],
            )
            connection.close()
    return found


@scene
def broken_answers():
    found = {}
    for name, script in {
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
        "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
        "silence": [Recv(), Hold()],
    }.items():
        with ScriptedServer(default=script) as server:
            connection = RemoteConnection(client_config=config(server, timeout=0.05 if name == "silence" else TIMEOUT))
            names = failure(lambda: connection.execute("newSession", {"capabilities": {}}))  # noqa: B023
            # What tells how much is missing: an IncompleteRead of http.client, or of the class derived from it.
            alike = [each.replace("urllib3.exceptions.Incomplete", "http.client.Incomplete") for each in names]
            found[name] = alike, len(server.requests)
    gone = RemoteConnection(client_config=ClientConfig("http://127.0.0.1:1", timeout=TIMEOUT))
    return found, failure(lambda: gone.execute("newSession", {}))


# --- TLS and proxies --------------------------------------------------------------------------------------------------


class Shown:
    """The certificate of the TLS servers below."""

    @staticmethod
    def load_into(context):
        context.load_cert_chain(servers.certs.server_cert, servers.certs.server_key)


@scene
def tls():
    def get(**more):
        with TLSServer(default=Driver(), certificate=Shown) as server:
            return failure(lambda: session(server, **more))

    return {
        "ca": get(ca_certs=servers.certs.ca_file),
        "other ca": get(ca_certs=servers.certs.other_ca_file),
        "default roots": get(),
        "ignored": get(ignore_certificates=True),
    }


@scene
def proxies():
    found = {}
    wrong = servers.squid.auth_url_with_credentials.replace("//", "//x")
    for name, url in {
        "http": servers.squid.url,
        "credentials": servers.squid.auth_url_with_credentials,
        "no credentials": servers.squid.auth_url,
        "wrong credentials": wrong,
        "socks5": servers.socks.socks5,
        "socks with password": servers.socks.guarded,
        "gone": "http://127.0.0.1:1",
    }.items():
        found[name] = _by_proxy(url)
    return found


def _by_proxy(url):
    proxy = Proxy({"proxyType": "MANUAL", "httpProxy": url, "sslProxy": url})
    with ScriptedServer(default=Driver()) as server:
        plain = failure(lambda: session(server, proxy=proxy))
        if isinstance(plain[-1], str) and "ERR_" in plain[-1]:
            plain = plain[0], "a page of squid's"
        via = [request.header("via") is not None for request in server.requests]
    with TLSServer(default=Driver(), certificate=Shown) as server:
        secure = failure(lambda: session(server, proxy=proxy, ca_certs=servers.certs.ca_file))
    return plain, via, secure


@scene
def proxy_of_the_environment():
    os.environ["http_proxy"] = servers.squid.url
    try:
        found = []
        for excluded in ("", "127.0.0.1"):
            os.environ["no_proxy"] = excluded
            with ScriptedServer(default=Driver()) as server:
                got = failure(lambda: session(server))
                found.append((got, [request.header("via") is not None for request in server.requests]))
        return found
    finally:
        del os.environ["http_proxy"], os.environ["no_proxy"]


main()
