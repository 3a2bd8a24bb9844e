"""truststore: its contexts handed to pools, managers and adapters, and put in the place of the standard library's."""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager

import requests
import truststore
import urllib3
from observing import chain, main, scene, servers
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

SERVERS = ("nginx", "certs", "squid")

TIMEOUT = 5


@contextmanager
def system_trusts(file):
    """On Linux what the system trusts is in a file, which this names."""
    os.environ["SSL_CERT_FILE"] = file
    # Otherwise those of the machine count, too.
    os.environ["SSL_CERT_DIR"] = os.environ["TMPDIR"]
    try:
        yield
    finally:
        del os.environ["SSL_CERT_FILE"], os.environ["SSL_CERT_DIR"]


@contextmanager
def injected():
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


def outcomes(*calls):
    """What each call returns, or the names of what it raises."""
    found = []
    for call in calls:
        try:
            found.append(call())
        except Exception as error:
            found.append(chain(error)[:3])
    return found


def by_manager(path="/tls", **options):
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT, **options) as manager:
        return [manager.request("GET", servers.nginx.https_url + path).status for _ in range(2)]


def by_requests(session=requests, **options):
    return session.get(servers.nginx.https_url + "/tls", timeout=TIMEOUT, **options).json()["scheme"]


# --- contexts that are handed in --------------------------------------------------------------------------------------


@scene
def contexts():
    certs = servers.certs
    with system_trusts(certs.ca_file):
        right = outcomes(lambda: by_manager(ssl_context=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
    with system_trusts(certs.other_ca_file):
        wrong = outcomes(lambda: by_manager(ssl_context=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
    return right, wrong


@scene
def pools():
    with system_trusts(servers.certs.ca_file):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        options = {"ssl_context": context, "timeout": TIMEOUT, "maxsize": 1, "block": True}
        port = int(servers.nginx.https_url.rpartition(":")[2])
        with urllib3.HTTPSConnectionPool("localhost", port, **options) as pool:
            found = [pool.request("GET", "/json").json()["id"] for _ in range(3)]
            with pool.request("GET", "/10mb", preload_content=False) as got:
                found.append(sum(len(piece) for piece in got.stream(1 << 16)))
            return found, pool.num_connections, pool.num_requests


@scene
def names():
    with system_trusts(servers.certs.ca_file):
        loose, none, strict = (truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(3))
    loose.check_hostname = none.check_hostname = False
    none.verify_mode = ssl.CERT_NONE

    def call(context, **more):
        with system_trusts(servers.certs.ca_file):
            return by_manager(ssl_context=context, server_hostname="elsewhere.example", **more)

    return outcomes(
        lambda: call(strict),
        lambda: call(loose),
        lambda: call(loose, assert_hostname=False),
        lambda: call(none),
        lambda: call(strict, assert_hostname="localhost"),
        lambda: by_manager(ssl_context=strict, assert_hostname="elsewhere.example"),
        lambda: by_manager(ssl_context=strict),
    )


@scene
def what_is_at_the_socket():
    with system_trusts(servers.certs.ca_file):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        manager = urllib3.PoolManager(ssl_context=context, timeout=TIMEOUT)
        with manager, manager.request("GET", servers.nginx.https_url + "/tls", preload_content=False) as got:
            sock = got.connection.sock
            return (
                type(sock).__name__,
                isinstance(sock, ssl.SSLSocket),
                sock.version(),
                sock.getpeercert()["subjectAltName"],
                got.connection.is_verified,
                got.json()["scheme"],
            )


@scene
def through_a_proxy():
    with system_trusts(servers.certs.ca_file):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        options = {"ssl_context": context, "timeout": TIMEOUT}

        def through(url, **more):
            with urllib3.ProxyManager(url, **options, **more) as manager:
                return manager.request("GET", servers.nginx.https_url + "/tls").json()["scheme"]

        proxy_context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return outcomes(
            lambda: through(servers.squid.url),
            lambda: through(servers.squid.https_url, proxy_ssl_context=proxy_context),
        )


@scene
def adapters():
    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args, **kwargs):
            kwargs["ssl_context"] = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            return super().init_poolmanager(*args, **kwargs)

    found = []
    for file in (servers.certs.ca_file, servers.certs.other_ca_file):
        with system_trusts(file), requests.Session() as session:
            session.mount("https://", Adapter())
            found += outcomes(lambda session=session: by_requests(session), lambda: by_requests())
    return found


@scene
def client_certificates():
    with system_trusts(servers.certs.ca_file):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(servers.certs.client_cert, servers.certs.client_key)
        with urllib3.PoolManager(ssl_context=context, timeout=TIMEOUT) as manager:
            return manager.request("GET", servers.nginx.client_url + "/tls").json()["client"]


@scene
def threads():
    """One context, whose lock a handshake holds."""
    found = []
    with system_trusts(servers.certs.ca_file):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with urllib3.PoolManager(ssl_context=context, maxsize=8, timeout=TIMEOUT) as manager:

            def call():
                for _ in range(3):
                    found.append(manager.request("GET", servers.nginx.https_url + "/json").status)

            running = [threading.Thread(target=call) for _ in range(8)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
    return found


# --- in the place of ssl.SSLContext -----------------------------------------------------------------------------------


@scene
def managers_with_it_injected():
    certs = servers.certs
    with injected():
        with system_trusts(certs.ca_file):
            right = outcomes(
                by_manager, lambda: by_manager(ca_certs=certs.ca_file), lambda: by_manager(assert_hostname="x")
            )
        with system_trusts(certs.other_ca_file):
            wrong = outcomes(by_manager, lambda: by_manager(cert_reqs="CERT_NONE"))
    with system_trusts(certs.ca_file):
        after = outcomes(by_manager)
    return right, wrong, after


@scene
def requests_with_it_injected():
    found = []
    with injected():
        for file in (servers.certs.ca_file, servers.certs.other_ca_file):
            with system_trusts(file), requests.Session() as session:
                found += outcomes(
                    lambda session=session: by_requests(session),
                    lambda session=session: by_requests(session, verify=servers.certs.ca_file),
                )
    return found


@scene
def contexts_made_with_it_injected():
    with injected(), system_trusts(servers.certs.ca_file):
        context = create_urllib3_context()
        made = ssl.create_default_context()
        return (
            type(context),
            type(made),
            context.verify_mode,
            context.check_hostname,
            context.minimum_version,
            outcomes(lambda: by_manager(ssl_context=context), lambda: by_manager(ssl_context=made)),
        )


@scene
def a_manager_before_during_and_after():
    manager = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
    with system_trusts(servers.certs.ca_file), manager:

        def call():
            return manager.request("GET", servers.nginx.https_url + "/tls", headers={"Connection": "close"}).status

        found = outcomes(call)
        with injected():
            found += outcomes(call, call)
        return found + outcomes(call)


@scene
def put_back():
    before = ssl.SSLContext, urllib3.util.ssl_.SSLContext
    with injected():
        within = ssl.SSLContext, urllib3.util.ssl_.SSLContext
    return list(within), before == (ssl.SSLContext, urllib3.util.ssl_.SSLContext)


main()
