"""google-auth over its urllib3 transport: refreshed tokens, AuthorizedHttp, metadata, errors, mutual TLS."""

from __future__ import annotations

import datetime
import json
import logging
import os
from urllib.parse import parse_qsl

import certifi
import google.auth.transport.urllib3 as transport
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import compute_engine, exceptions, jwt
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.urllib3 import AuthorizedHttp, Request
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from observing import chain, main, scene, servers

from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, response

SERVERS = ("nginx", "certs")

TIMEOUT = 5
JSON = ("Content-Type", "application/json; charset=utf-8")

logging.disable(logging.CRITICAL)


def answer(value, status=200, reason="OK"):
    return response(json.dumps(value).encode(), status=status, reason=reason, headers=[JSON])


class Google:
    """Gives out tokens t-1, t-2 and so on at ``/token``, and elsewhere lets in who brings the newest."""

    def __init__(self, refusals=0, errors=()):
        self.issued = 0
        self.refusals = refusals
        self.errors = list(errors)
        self.asked = []

    def __call__(self, conn):
        while True:
            request = conn.recv()
            conn.send(self.answer_to(request))

    def answer_to(self, request):
        if request.target.startswith("/token"):
            form = dict(parse_qsl(request.body.decode()))
            self.asked.append({name: value for name, value in form.items() if name != "assertion"})
            if self.errors:
                return self.errors.pop(0)
            self.issued += 1
            return answer({"access_token": f"t-{self.issued}", "expires_in": 3600, "id_token": "i", "scope": "a b"})
        if request.target.startswith("/computeMetadata"):
            return self._metadata(request)
        if self.refusals:
            self.refusals -= 1
            return answer({"error": "expired"}, 401, "Unauthorized")
        return answer(
            {"line": request.line, "body": request.body.decode(), "authorization": request.header("authorization")}
        )

    def _metadata(self, request):
        path = request.target.partition("?")[0]
        if path.endswith("/token"):
            self.issued += 1
            value = answer({"access_token": f"m-{self.issued}", "expires_in": 3600, "token_type": "Bearer"})
        else:
            value = answer({"default": {"email": "e", "scopes": ["s"]}, "email": "e", "scopes": ["s"]})
        return value.replace(b"\r\n\r\n", b"\r\nMetadata-Flavor: Google\r\n\r\n", 1)


def credentials(server, token=None, **more):
    return Credentials(
        token,
        refresh_token="r",
        token_uri=server.url + "/token",
        client_id="c",
        client_secret="s",
        scopes=["a"],
        **more,
    )


def failure(call):
    """What the call gives or raises, with the error that google-auth passes on."""
    try:
        return call()
    except exceptions.GoogleAuthError as error:
        inner = [each for each in error.args if isinstance(each, BaseException)]
        said = [each for each in error.args if isinstance(each, (str, dict))]
        alike = [each.replace("urllib3.exceptions.Incomplete", "http.client.Incomplete") for each in chain(error)]
        return alike, said, len(inner), error.retryable
    except Exception as error:
        return chain(error)


def told(got):
    return got.status, got.headers.get("content-type"), json.loads(got.data)


def sent_to(server):
    """The fields of each request; the library's name for itself is its own."""
    left_out = ("host", "user-agent")
    return [[pair for pair in request.headers if pair[0].lower() not in left_out] for request in server.requests]


def authorization_of(request):
    """The kind of what was brought; a signed token differs from run to run."""
    return (request.header("authorization") or "").partition(".")[0][:20]


# --- tokens -----------------------------------------------------------------------------------------------------------


@scene
def refresh():
    google = Google()
    with ScriptedServer(default=google) as server:
        each = credentials(server)
        request = Request(urllib3.PoolManager(timeout=TIMEOUT))
        each.refresh(request)
        first = each.token, each.valid, each.expired, each.granted_scopes, each.id_token
        each.refresh(request)
        heads = sent_to(server)
        plain = request(server.url + "/x", method="PUT", body=b"b", headers={"X": "1"}, timeout=TIMEOUT)
        return (
            first,
            each.token,
            google.asked,
            [sent.line for sent in server.requests],
            heads,
            told(plain),
            plain.headers,
        )


@scene
def refresh_that_fails():
    busy = answer({"error": "temporarily_unavailable"}, 503, "Busy")
    denied = answer({"error": "invalid_grant", "error_description": "no"}, 400, "Bad")
    found = {}
    for name, errors in {
        "denied": [denied],
        "busy once": [busy],
        "no json": [response(b"oops", status=500, reason="No")],
        "no token": [answer({})],
    }.items():
        google = Google(errors=errors)
        with ScriptedServer(default=google) as server:
            each = credentials(server)
            found[name] = failure(lambda: each.refresh(Request(urllib3.PoolManager()))), each.token, len(google.asked)  # noqa: B023
    return found


@scene
def service_accounts():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    google = Google()
    with ScriptedServer(default=google) as server:
        info = {
            "client_email": "e@p",
            "token_uri": server.url + "/token",
            "private_key": key.private_bytes(*kinds).decode(),
            "private_key_id": "k",
        }
        each = service_account.Credentials.from_service_account_info(info, scopes=["a"], subject="you@p")
        http = AuthorizedHttp(each, http=urllib3.PoolManager(timeout=TIMEOUT))
        got = told(http.request("GET", server.url + "/x"))
        assertion = dict(parse_qsl(server.requests[0].body.decode()))["assertion"]
        header, claims, _, _ = jwt._unverified_decode(assertion)
        signed = service_account.Credentials.from_service_account_info(info, always_use_jwt_access=True)
        http = AuthorizedHttp(signed, http=urllib3.PoolManager(timeout=TIMEOUT), default_host="h")
        status = http.request("GET", server.url + "/x").status
        return got, header, sorted(claims), claims["sub"], google.asked, status, authorization_of(server.requests[-1])


@scene
def metadata_server():
    google = Google()
    with ScriptedServer(default=google) as server:
        from google.auth.compute_engine import _metadata

        os.environ["GCE_METADATA_HOST"] = server.netloc
        _metadata._GCE_METADATA_HOST = server.netloc
        each = compute_engine.Credentials()
        http = urllib3.PoolManager(timeout=TIMEOUT)
        found = failure(lambda: each.refresh(Request(http))), each.token, each.service_account_email
        lines = [request.line.partition("?")[0] for request in server.requests]
        got = told(AuthorizedHttp(each, http=http).request("GET", server.url + "/x"))
    gone = compute_engine.Credentials()
    _metadata._GCE_METADATA_HOST = "127.0.0.1:1"
    return found, lines, got, _metadata.ping(Request(http), timeout=1, retry_count=1), type(gone)


# --- AuthorizedHttp ---------------------------------------------------------------------------------------------------


@scene
def authorized():
    google = Google()
    with ScriptedServer(default=google) as server:
        http = AuthorizedHttp(credentials(server), http=urllib3.PoolManager(timeout=TIMEOUT, headers={"X-Mine": "1"}))
        with http:
            found = [
                told(http.request("GET", server.url + "/a?b=c", fields={"d": "e"})),
                told(http.request("POST", server.url + "/json", json={"a": 1})),
                told(http.request("POST", server.url + "/form", fields={"a": "ü"}, encode_multipart=False)),
                told(http.request("PUT", server.url + "/raw", body=b"raw", headers={"X-Other": "2"})),
                told(http.urlopen("DELETE", server.url + "/x", preload_content=True, retries=2)),
            ]
            http.headers = {"X-New": "3"}
            found.append(http.http.headers)
            stream = http.request("GET", server.url + "/x", preload_content=False)
            found.append(len(b"".join(stream.stream(5))))
        sent = sent_to(server)
        return found, sent, len(server.connections), google.asked


@scene
def refused_tokens():
    found = {}
    for refusals in (1, 2, 3):
        google = Google(refusals=refusals)
        with ScriptedServer(default=google) as server:
            http = AuthorizedHttp(credentials(server, token="old"), http=urllib3.PoolManager(timeout=TIMEOUT))
            got = http.request("POST", server.url + "/x", body=b"again")
            authorizations = [request.header("authorization") for request in server.requests]
            found[refusals] = got.status, json.loads(got.data), authorizations, len(server.connections)
    return found


@scene
def expired_tokens():
    google = Google()
    with ScriptedServer(default=google) as server:
        past = datetime.datetime(2020, 1, 1)
        http = AuthorizedHttp(credentials(server, token="old", expiry=past), http=urllib3.PoolManager(timeout=TIMEOUT))
        return told(http.request("GET", server.url + "/x")), [request.line for request in server.requests]


@scene
def retries_and_redirects():
    busy = response(b"", status=503, reason="Busy", headers=[("Retry-After", "0")])
    moved = response(b"", status=302, reason="Found", headers=[("Location", "/there")])
    good = answer({"ok": True})
    with ScriptedServer([Recv(), Send(busy), Recv(), Send(moved), Recv(), Send(good)], [Recv(), Close()]) as server:
        http = AuthorizedHttp(AnonymousCredentials(), http=urllib3.PoolManager(timeout=TIMEOUT))
        policy = urllib3.Retry(3, status_forcelist=[503])
        return told(http.request("GET", server.url + "/x", retries=policy)), [each.line for each in server.requests]


@scene
def broken_answers():
    found = {}
    for name, script in {
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
        "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
        "silence": [Recv(), Hold()],
        "coding": [Recv(), Send(response(b"no gzip", headers=[("Content-Encoding", "gzip")])), Close()],
    }.items():
        with ScriptedServer(default=script) as server:
            request = Request(urllib3.PoolManager(retries=1))
            limit = 0.05 if name == "silence" else TIMEOUT
            found[name] = failure(lambda: request(server.url, timeout=limit).data), len(server.requests)  # noqa: B023
    wrong = (
        ("http://127.0.0.1:1/", {}),
        ("http://[::1", {}),
        ("gopher://x/", {}),
        (servers.nginx.url, {"a": "b\r\nc: d"}),
    )
    more = [failure(lambda each=each: Request(urllib3.PoolManager())(each[0], headers=each[1])) for each in wrong]
    return found, more


# --- TLS --------------------------------------------------------------------------------------------------------------


@scene
def default_manager():
    http = AuthorizedHttp(AnonymousCredentials())
    kept = {name: value for name, value in http.http.connection_pool_kw.items() if name != "ca_certs"}
    return kept, failure(lambda: http.request("GET", servers.nginx.https_url + "/tls", retries=False))


@scene
def mutual_tls():
    certs = servers.certs
    with open(certs.client_cert, "rb") as cert, open(certs.client_key, "rb") as key:
        pair = cert.read(), key.read()
    where, certifi.where = certifi.where, lambda: certs.ca_file
    try:
        found = {}
        for wanted in ("false", "true"):
            os.environ["GOOGLE_API_USE_CLIENT_CERTIFICATE"] = wanted
            http = AuthorizedHttp(AnonymousCredentials())
            configured = http.configure_mtls_channel(lambda: pair), http.is_mtls
            got = http.request("GET", servers.nginx.client_url + "/tls", retries=False)
            shown = json.loads(got.data)["client"].partition(",")[0] if got.status == 200 else None
            found[wanted] = configured, got.status, shown, type(http.http.connection_pool_kw.get("ssl_context"))
        wrong = failure(lambda: http.configure_mtls_channel(lambda: (b"no", b"cert")))
        return found, wrong, http.is_mtls, transport.RequestMethods in AuthorizedHttp.__mro__
    finally:
        certifi.where = where
        del os.environ["GOOGLE_API_USE_CLIENT_CERTIFICATE"]


main()
