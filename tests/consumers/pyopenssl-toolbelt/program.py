"""requests-toolbelt: its uploads, adapters and helpers; with pyOpenSSL for certificates from memory, and by itself."""

from __future__ import annotations

import io
import os
import re
import socket
import ssl
import warnings
from hashlib import sha1, sha256

import requests
import urllib3
from cryptography.hazmat.primitives.serialization import Encoding
from observing import chain, main, scene, servers
from requests.auth import HTTPBasicAuth
from requests_toolbelt import MultipartDecoder, MultipartEncoder, MultipartEncoderMonitor, StreamingIterator, sessions
from requests_toolbelt.adapters.fingerprint import FingerprintAdapter
from requests_toolbelt.adapters.host_header_ssl import HostHeaderSSLAdapter
from requests_toolbelt.adapters.socket_options import SocketOptionsAdapter, TCPKeepAliveAdapter
from requests_toolbelt.adapters.source import SourceAddressAdapter
from requests_toolbelt.adapters.ssl import SSLAdapter
from requests_toolbelt.adapters.x509 import X509Adapter
from requests_toolbelt.auth.guess import GuessAuth
from requests_toolbelt.cookies.forgetful import ForgetfulCookieJar
from requests_toolbelt.downloadutils import stream, tee
from requests_toolbelt.threaded import map as threaded_map
from requests_toolbelt.utils import dump

from servers.scripted import Recv, ScriptedServer, Send, chunked_response, response

SERVERS = ("echo", "nginx", "certs", "squid")

TIMEOUT = 5


def failure(call):
    try:
        call()
    except Exception as error:
        # pyOpenSSL's are told as those of ssl; which of them is the most precise one is left open.
        return ["ssl.SSLError" if name.startswith("ssl.") else name for name in chain(error)]
    return "nothing"


def by(adapter, url, prefix="https://", **options):
    """The response to a GET through that adapter."""
    with requests.Session() as session:
        session.mount(prefix, adapter)
        return session.get(url, timeout=TIMEOUT, **options)


def read(path):
    with open(path, "rb") as file:
        return file.read()


# --- uploads ----------------------------------------------------------------------------------------------------------


def echoed(data, **fields):
    headers = {"User-Agent": "a program", **fields}
    got = requests.post(servers.echo.url + "/echo", data=data, headers=headers, timeout=TIMEOUT).json()
    return got["headers"], got["body"]


@scene
def multipart():
    fields = {
        "text": "ü",
        "file": ("näme.txt", io.BytesIO(b"content" * 10), "text/plain", {"X-Part": "1"}),
        "bytes": ("b", b"\x00\xff"),
    }
    encoder = MultipartEncoder(fields, boundary="BOUNDARY")
    return echoed(encoder, **{"Content-Type": encoder.content_type})


@scene
def multipart_of_a_large_file():
    path = os.path.join(os.environ["TMPDIR"], "large.bin")
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * 8000)
    seen = []
    with open(path, "rb") as file:
        encoder = MultipartEncoder({"file": ("large", file)}, boundary="BOUNDARY")
        monitor = MultipartEncoderMonitor(encoder, lambda each: seen.append(each.bytes_read))
        found = echoed(monitor, **{"Content-Type": monitor.content_type})
    return found, seen[-1], seen == sorted(seen)


@scene
def multipart_by_urllib3():
    encoder = MultipartEncoder({"a": "1", "file": ("f", io.BytesIO(b"x" * 50_000))}, boundary="BOUNDARY")
    headers = {"Content-Type": encoder.content_type, "Content-Length": str(encoder.len)}
    got = urllib3.request("POST", servers.echo.url + "/echo", body=encoder, headers=headers, timeout=TIMEOUT).json()
    return len(got["body"]), [pair for pair in got["headers"] if pair[0] != "User-Agent"]


@scene
def streaming_iterator():
    return echoed(StreamingIterator(9, iter([b"one", b"two", b"six"]))), echoed(
        StreamingIterator(3, io.BytesIO(b"abc"))
    )


@scene
def multipart_received():
    body = b"--B\r\nContent-Type: text/a\r\n\r\none\r\n--B\r\nX-Y: z\r\n\r\ntwo\r\n--B--\r\n"
    fields = [("Content-Type", "multipart/mixed; boundary=B")]
    with ScriptedServer.always(chunked_response([body[:20], body[20:]], headers=fields)) as server:
        parts = MultipartDecoder.from_response(requests.get(server.url, timeout=TIMEOUT)).parts
    return [(part.content, dict(part.headers)) for part in parts]


# --- adapters ---------------------------------------------------------------------------------------------------------


@scene
def source_addresses():
    with ScriptedServer.always(response(b"x")) as server, requests.Session() as session:
        session.mount("http://", SourceAddressAdapter("127.0.0.3"))
        for _ in range(3):
            session.get(server.url, timeout=TIMEOUT)
        with requests.Session() as other:
            other.mount("http://", SourceAddressAdapter(("127.0.0.4", 0)))
            with other.get(server.url, stream=True, timeout=TIMEOUT) as got:
                name = got.raw.connection.sock.getsockname()[0]
        return name, len(server.connections), failure(lambda: SourceAddressAdapter(7))


@scene
def socket_options():
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]

    def told(adapter):
        with requests.Session() as session:
            session.mount("http://", adapter)
            with session.get(servers.echo.url + "/bytes/3", stream=True, timeout=TIMEOUT) as got:
                sock = got.raw.connection.sock
                asked = ((6, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (6, socket.TCP_KEEPIDLE))
                return [bool(sock.getsockopt(*pair)) for pair in asked], sock.getsockopt(6, socket.TCP_KEEPIDLE)

    return (
        told(SocketOptionsAdapter()),
        told(SocketOptionsAdapter(socket_options=options)),
        told(TCPKeepAliveAdapter(idle=77, interval=7)),
    )


@scene
def tls_versions():
    url, ca_file = servers.nginx.https_url + "/tls", servers.certs.ca_file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        versions = (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLSv1_2)
        return [by(SSLAdapter(each), url, verify=ca_file).json()["protocol"] for each in versions]


@scene
def fingerprints():
    url, certs = servers.nginx.https_url + "/json", servers.certs
    certificate = ssl.PEM_cert_to_DER_cert(
        re.search("-----BEGIN.*?-----END C[^-]*-----", read(certs.server_cert).decode(), re.S)[0]
    )
    right = [sha1(certificate).hexdigest(), ":".join(re.findall("..", sha256(certificate).hexdigest()))]
    return (
        [by(FingerprintAdapter(each), url, verify=certs.ca_file).status_code for each in right],
        [by(FingerprintAdapter(each), url, verify=False).status_code for each in right],
        failure(lambda: by(FingerprintAdapter("0" * 40), url, verify=certs.ca_file)),
        failure(lambda: by(FingerprintAdapter("00"), url, verify=certs.ca_file)),
    )


@scene
def host_header():
    ca_file = servers.certs.ca_file
    url = servers.nginx.https_url.replace("localhost", "127.0.0.1") + "/json"
    with requests.Session() as session:
        session.mount("https://", HostHeaderSSLAdapter())
        session.verify = ca_file

        def get(**fields):
            return session.get(url, headers=fields, timeout=TIMEOUT).status_code

        return (
            get(Host="localhost"),
            failure(lambda: get(Host="elsewhere.example")),
            get(),
            get(host="localhost"),
            failure(lambda: get(Host="elsewhere.example")),
        )


# --- certificates from memory, by pyOpenSSL ---------------------------------------------------------------------------


def client_adapter(**options):
    certs = servers.certs
    options.setdefault("pk_bytes", read(certs.client_key))
    return X509Adapter(cert_bytes=read(certs.client_cert), encoding=Encoding.PEM, max_retries=0, **options)


@scene
def client_certificates():
    url = servers.nginx.client_url + "/tls"
    return (
        by(client_adapter(), url, verify=servers.certs.ca_file).json()["client"],
        failure(lambda: by(client_adapter(), url, verify=servers.certs.other_ca_file)),
        failure(lambda: by(client_adapter(), url.replace("localhost", "127.0.0.2"), verify=servers.certs.ca_file)),
        failure(lambda: client_adapter(pk_bytes=b"no key")),
    )


@scene
def kept_alive():
    """Several requests on one connection, through pyOpenSSL."""
    with requests.Session() as session:
        session.mount("https://", client_adapter())
        session.verify = servers.certs.ca_file
        url = servers.nginx.client_url
        found = [session.get(url + "/tls", timeout=TIMEOUT).json()["protocol"] for _ in range(2)]
        with session.get(url + "/10mb", stream=True, timeout=TIMEOUT) as got:
            sock = got.raw.connection.sock
            size = sum(len(piece) for piece in got.iter_content(1 << 16))
        return found, type(sock).__name__, size


@scene
def everywhere():
    """pyOpenSSL in the place of the standard library's ssl, for all."""
    from urllib3.contrib import pyopenssl

    url = servers.nginx.https_url
    pyopenssl.inject_into_urllib3()
    try:
        with urllib3.PoolManager(ca_certs=servers.certs.ca_file, retries=False, timeout=TIMEOUT) as manager:
            with manager.request("GET", url + "/json", preload_content=False) as got:
                found = [type(got.connection.sock).__name__, urllib3.util.ssl_.SSLContext, got.json()["id"]]
            found.append(len(manager.request("GET", url + "/10mb").data))
        found.append(requests.get(url + "/json", verify=servers.certs.ca_file, timeout=TIMEOUT).status_code)
        found.append(failure(lambda: requests.get(url, verify=servers.certs.other_ca_file, timeout=TIMEOUT)))
    finally:
        pyopenssl.extract_from_urllib3()
    after = requests.get(url + "/json", verify=servers.certs.ca_file, timeout=TIMEOUT).status_code
    return found, after, urllib3.util.ssl_.SSLContext


# --- helpers ----------------------------------------------------------------------------------------------------------


@scene
def dumped():
    def without_dates(data):
        return re.sub(rb"(Date|Server|User-Agent): [^\r]*\r\n", b"", bytes(data))

    got = requests.get(servers.echo.url + "/redirect?to=/bytes/5", timeout=TIMEOUT)
    posted = requests.post(servers.nginx.url + "/json", data=b"body", timeout=TIMEOUT)
    proxies = {"http": servers.squid.url}
    forwarded = requests.get(servers.nginx.url + "/status/204", proxies=proxies, timeout=TIMEOUT)
    return (
        without_dates(dump.dump_all(got)),
        re.sub(rb"Via[^\r]*|Cache[^\r]*|X-Cache[^\r]*", b"", without_dates(dump.dump_response(posted))),
        without_dates(dump.dump_response(forwarded)).partition(b"\r\n")[0],
        got.raw.version,
    )


@scene
def downloads():
    where = os.environ["TMPDIR"]
    fields = [("Content-Disposition", 'attachment; filename="of the server.bin"')]
    with ScriptedServer.always(chunked_response([b"a" * 3000, b"b" * 3000], headers=fields)) as server:

        def get():
            return requests.get(server.url + "/x.bin", stream=True, timeout=TIMEOUT)

        path = stream.stream_response_to_file(get(), path=where)
        buffer, kept = io.BytesIO(), bytearray()
        lengths = [len(piece) for piece in tee.tee(get(), buffer, chunksize=4096)]
        others = [len(piece) for piece in tee.tee_to_bytearray(get(), kept, chunksize=4096)]
        return os.path.basename(path), os.path.getsize(path), lengths, len(buffer.getvalue()), others, len(kept)


@scene
def threads():
    calls = [{"method": "GET", "url": f"{servers.echo.url}/bytes/{n}", "timeout": TIMEOUT} for n in range(20)]
    answers, errors = threaded_map(calls, num_processes=4)
    return sorted(len(each.content) for each in answers), [chain(each.exception) for each in errors]


@scene
def of_sessions():
    with sessions.BaseUrlSession(servers.echo.url + "/") as session:
        session.cookies = ForgetfulCookieJar()
        return session.get("bytes/3", timeout=TIMEOUT).content, session.post("/status/201", timeout=TIMEOUT).url


@scene
def guessed_authentication():
    challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5, opaque="o"'
    asks = response(b"who?", status=401, reason="Unauthorized", headers=[("WWW-Authenticate", challenge)])
    with ScriptedServer([Recv(), Send(asks), Recv(), Send(response(b"you"))]) as server:
        got = requests.get(server.url, auth=GuessAuth("u", "p"), timeout=TIMEOUT)
        offered = server.requests[1].header("Authorization").partition(" ")[0]
    basic = requests.get(servers.echo.url + "/echo", auth=HTTPBasicAuth("u", "p"), timeout=TIMEOUT).status_code
    return got.text, [each.status_code for each in got.history], offered, basic


main()
