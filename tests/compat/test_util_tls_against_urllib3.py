"""Certificates, fingerprints, contexts: the TLS helpers of urllib3 and of wirepool, given the same arguments.

Values must be equal, errors of a class of the same name. Where the difference is wanted, it stands here with its
reason; one that is no longer a difference fails as well.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from typing import Any

from compat.two_libraries import OURS, THEIRS, Library, differences, garbage

IS_ADDRESS_DIFFERENT = {"1.2.3.4\n", "::1\n"}
"""A host name with a line feed is no address; their patterns overlook it."""


def test_addresses() -> None:
    names = [
        "", "a", "1", "08", "0x", "0x7f000001", "0X7F.1", "127.1", "1.2.3.4", "1.2.3.4.5", "1.2.3.4.", "256.1.1.1",
        "::1", "[::1]",
        "::", "1::2::3", "::g", "::ffff:1.2.3.4", "::1.2.3.256", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
        "fe80::1%eth0", "fe80::1%",
        "fe80::1%25eth0", "::1/64", "abcd:abcd", "\uff11.2.3.4", b"1.2.3.4", b"::1", b"\xff", "1.2.3.4\n", "::1\n",
        "1.2.3.4 ",
    ]  # fmt: skip
    cases = [(name,) for name in [*names, *garbage(3000, ["1", ":", "::", ".", "ab", "0x1", "%25", "e", "255"], 9, 4)]]
    found = differences(lambda library, name: library.ssl_.is_ipaddress(name), cases)
    assert set(found) == IS_ADDRESS_DIFFERENT


def test_names_of_constants() -> None:
    values = [
        None,
        "NONE",
        "CERT_NONE",
        "REQUIRED",
        "OPTIONAL",
        "TLS",
        "PROTOCOL_TLS",
        "TLSv1_2",
        "SSLv23",
        "bogus",
        "",
        0,
        2,
        99,
    ]
    cases = itertools.product(["resolve_cert_reqs", "resolve_ssl_version"], values)
    assert differences(lambda library, function, value: getattr(library.ssl_, function)(value), cases) == {}
    for name in vars(THEIRS.ssl_):
        if re.match("(OP|PROTOCOL|VERIFY|CERT|HAS|IS)_|OPENSSL_VERSION|ALPN|_SSL_VERSION", name):
            assert getattr(OURS.ssl_, name) == getattr(THEIRS.ssl_, name), name


def test_fingerprints() -> None:
    cert = b"any bytes have a fingerprint"
    fingerprints = ["", "a", ":", "z" * 32, "0" * 31, "0" * 32, "0" * 40, "0" * 64, "\xe9" * 32, " " * 64, None]
    for name in ("md5", "sha1", "sha256", "sha384", "sha512"):
        digits = hashlib.new(name, cert).hexdigest()
        fingerprints += [digits, digits.upper(), ":".join(re.findall("..", digits)), digits[:-1] + "x", digits[::-1]]
    cases = itertools.product([cert, b"", None], fingerprints)

    def check(library: Library, *arguments: Any) -> Any:
        try:
            return library.ssl_.assert_fingerprint(*arguments)
        except library.exceptions.SSLError as error:
            return str(error)

    assert differences(check, cases) == {}


def test_certificates_and_host_names() -> None:
    names = ["", "a.com", "A.com", "a.com.", "*.com", "*.a.com", "*", "*.*.com", "www.*.com", "f*.com", "*o.com",
        "f*o.com", "**.com",
             "xn--a*.com", "xn--foo.com", "*.xn--a.com", "1.2.3.4", "*.2.3.4", "a.com\n", "[a].com", "a_b.com",
             "\xe9.com"]  # fmt: skip
    addresses = ["1.2.3.4", "::1", "0:0:0:0:0:0:0:1\n", "fe80::1", "fe80::1%eth0", "::ffff:1.2.3.4"]
    hosts = ["", "a.com", "A.COM", "a.com.", "b.a.com", "c.b.a.com", ".a.com", "foo.com", "fo.com", "xn--foo.com",
        "xn--afoo.com",
             "b.xn--a.com", "com", "x", "1.2.3.4", "01.2.3.4", "0x01020304", "::1", "0::1", "[::1]",
             "fe80::1%eth1", "::ffff:1.2.3.4",
             "a.com\n", "a_b.com", "\xe9.com", "www.a.com"]  # fmt: skip
    certs: list[dict[str, Any] | None] = [None, {}, {"notAfter": "x"}]
    certs += [{"subjectAltName": (("DNS", name),)} for name in names]
    certs += [{"subjectAltName": (("IP Address", address),)} for address in addresses]
    certs += [{"subject": ((("commonName", name),),)} for name in [*names, *addresses]]
    certs += [
        {"subjectAltName": (("DNS", "a.com"), ("IP Address", "1.2.3.4"), ("DNS", "*.a.com"))},
        {"subjectAltName": (("URI", "a.com"),), "subject": ((("commonName", "a.com"),),)},
        {"subjectAltName": (("DNS", "b.com"),), "subject": ((("commonName", "a.com"),),)},
        {"subject": ((("commonName", "x"), ("commonName", "a.com")), (("commonName", "*.a.com"),))},
    ]

    def match(library: Library, index: int, host: str, common_name: bool) -> Any:
        module = library.ssl_match_hostname
        try:
            return module.match_hostname(certs[index], host, common_name)
        except module.CertificateError as error:
            return str(error)

    assert differences(match, itertools.product(range(len(certs)), hosts, [False, True])) == {}


CONTEXTS: list[dict[str, Any]] = [
    {},
    *({"cert_reqs": value} for value in (0, 1, 2, None)),
    {"ciphers": "AES128-SHA256"},
    {"ciphers": "bogus"},
    {"ssl_minimum_version": 0x0304},
    {"ssl_maximum_version": 0x0303},
    {"ssl_minimum_version": 0x0303, "ssl_maximum_version": 0x0303},
    {"ssl_minimum_version": 0},
    {"options": 0},
    {"options": 0x4000},
    {"verify_flags": 0},
    {"verify_flags": 0x20},
    {"ssl_version": 2},
    {"ssl_version": 16, "ssl_minimum_version": 0x0304},
    {"ssl_version": 5},
    {"ssl_version": 5, "ssl_minimum_version": 0x0303},
]


def test_contexts() -> None:
    import ssl

    def make(library: Library, index: int) -> Any:
        context = library.ssl_.create_urllib3_context(**CONTEXTS[index])
        names = ("minimum_version", "maximum_version", "verify_mode", "check_hostname",
            "hostname_checks_common_name",
                 "verify_flags", "post_handshake_auth", "keylog_filename", "protocol")  # fmt: skip
        ciphers = [cipher["name"] for cipher in context.get_ciphers()]
        # Theirs forbids session tickets, which makes every handshake a full one; ours does not.
        options = context.options & ~ssl.OP_NO_TICKET
        return [repr(getattr(context, name)) for name in names], ciphers, int(options)

    assert differences(make, ((index,) for index in range(len(CONTEXTS)))) == {}
    assert THEIRS.ssl_.create_urllib3_context().options & ssl.OP_NO_TICKET
    assert not OURS.ssl_.create_urllib3_context().options & ssl.OP_NO_TICKET


class NotingContext:
    def __init__(self, failing: str | None) -> None:
        self.failing = failing
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kw: Any) -> str:
            self.calls.append((name, args, kw))
            if name == self.failing:
                raise OSError(name)
            return "wrapped"

        return call


def test_wrapping(tmp_path: Any) -> None:
    plain_key, encrypted_key = tmp_path / "plain", tmp_path / "encrypted"
    plain_key.write_text("x")
    encrypted_key.write_text("x\nProc-Type: 4,ENCRYPTED\n")
    values: dict[str, list[Any]] = {
        "ca_certs": [None, "", str(plain_key), "/nonexistent"],
        "ca_cert_dir": [None, "dir"],
        "ca_cert_data": [None, "pem", b"der"],
        "certfile": [None, "cert"],
        "keyfile": [None, str(plain_key), str(encrypted_key), str(tmp_path / "none")],
        "key_password": [None, "", "secret"],
        "server_hostname": [None, "h"],
    }

    def wrap(library: Library, failing: str | None, *arguments: Any) -> Any:
        context = NotingContext(failing)
        try:
            result = library.ssl_.ssl_wrap_socket(
                "socket", ssl_context=context, **dict(zip(values, arguments, strict=True))
            )
        except Exception as error:
            result = type(error).__name__
        return result, context.calls

    failing = [None, "load_verify_locations", "load_cert_chain", "wrap_socket"]
    assert differences(wrap, itertools.product(failing, *values.values())) == {}
