"""Which proxy the environment names: tables of variables, and of exceptions from them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, MutableMapping

import pytest

from wirepool._environment import basic_credentials, proxy_for
from wirepool.util.url import Url, parse_url

PROXY = "http://proxy:3128"


# --- variables --------------------------------------------------------------------------------------------------------

VARIABLES: list[tuple[dict[str, str], str | None, str | None]] = [
    # environment, proxy for http, proxy for https
    ({}, None, None),
    ({"http_proxy": PROXY}, PROXY, None),
    ({"https_proxy": PROXY}, None, PROXY),
    ({"all_proxy": PROXY}, PROXY, PROXY),
    ({"HTTP_PROXY": PROXY}, PROXY, None),
    ({"HTTPS_PROXY": PROXY}, None, PROXY),
    ({"ALL_PROXY": PROXY}, PROXY, PROXY),
    ({"Http_Proxy": PROXY, "ftp_proxy": PROXY, "proxy": PROXY}, None, None),
    ({"all_proxy": "http://all", "http_proxy": PROXY}, PROXY, "http://all"),
    # the lower case wins, also if it is empty
    ({"http_proxy": PROXY, "HTTP_PROXY": "http://other"}, PROXY, None),
    ({"https_proxy": "", "HTTPS_PROXY": "http://other"}, None, None),
    ({"all_proxy": PROXY, "ALL_PROXY": "http://other"}, PROXY, PROXY),
    ({"ALL_PROXY": "http://other", "http_proxy": PROXY}, PROXY, "http://other"),
    # an empty value is as good as none
    ({"http_proxy": ""}, None, None),
    ({"http_proxy": "  "}, None, None),
    ({"http_proxy": "", "all_proxy": PROXY}, PROXY, PROXY),
    # httpoxy: in CGI, HTTP_PROXY is a header of the request
    ({"REQUEST_METHOD": "GET", "HTTP_PROXY": PROXY}, None, None),
    ({"REQUEST_METHOD": "", "HTTP_PROXY": PROXY}, None, None),
    ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil", "http_proxy": PROXY}, PROXY, None),
    ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil", "http_proxy": ""}, None, None),
    ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil", "ALL_PROXY": PROXY}, PROXY, PROXY),
    ({"REQUEST_METHOD": "GET", "HTTPS_PROXY": PROXY}, None, PROXY),
]


@pytest.mark.parametrize(("environ", "http", "https"), VARIABLES)
def test_variables(environ: dict[str, str], http: str | None, https: str | None) -> None:
    assert proxy_for("http", "example.org", 80, environ) == http
    assert proxy_for("https", "example.org", 443, environ) == https
    assert proxy_for("HTTP", "example.org", 80, environ) == http


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy", "http://proxy"),
        ("proxy:3128", "http://proxy:3128"),
        ("//proxy:3128", "http://proxy:3128"),
        ("user:secret@proxy:3128", "http://user:secret@proxy:3128"),
        ("user:p://@proxy:3128", "http://user:p://@proxy:3128"),
        ("[::1]:3128", "http://[::1]:3128"),
        ("127.0.0.1:3128/", "http://127.0.0.1:3128/"),
        (" http://proxy ", "http://proxy"),
        ("http://proxy", "http://proxy"),
        ("HTTPS://proxy:8443", "HTTPS://proxy:8443"),
        ("socks4://proxy", "socks4://proxy"),
        ("socks4a://proxy", "socks4a://proxy"),
        ("socks5://u:p@proxy:1080", "socks5://u:p@proxy:1080"),
        ("socks5h://proxy", "socks5h://proxy"),
        ("ftp://proxy", "ftp://proxy"),  # for the caller to refuse
    ],
)
def test_values(value: str, expected: str) -> None:
    assert proxy_for("http", "example.org", 80, {"http_proxy": value}) == expected


class CaselessMapping(MutableMapping[str, str]):
    """The environment as on Windows: names have no case, and are listed in upper case."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = {name.upper(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.upper()]

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name.upper()] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name.upper()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def test_where_names_have_no_case() -> None:
    environ = CaselessMapping({"HTTP_PROXY": PROXY, "https_proxy": PROXY, "No_Proxy": "example.com"})
    assert proxy_for("http", "example.org", 80, environ) == PROXY
    assert proxy_for("https", "example.org", 443, environ) == PROXY
    assert proxy_for("http", "example.com", 80, environ) is None
    environ["REQUEST_METHOD"] = "GET"
    assert proxy_for("http", "example.org", 80, environ) is None
    assert proxy_for("https", "example.org", 443, environ) == PROXY


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert proxy_for("http", "example.org", 80) == PROXY
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert proxy_for("http", "example.org", 80) is None


# --- exceptions -------------------------------------------------------------------------------------------------------

EXEMPT: list[tuple[str, str]] = [
    # no_proxy, hosts that are connected to directly at port 80
    ("*", "example.org a 10.0.0.1 ::1 [::1]"),
    ("*:80", "example.org 10.0.0.1 ::1"),
    ("other.org,*", "example.org 10.0.0.1"),
    ("example.org", "example.org www.example.org a.b.example.org EXAMPLE.org example.org. www.example.org."),
    (".example.org", "example.org www.example.org a.b.example.org"),
    ("..example.org", "example.org www.example.org"),
    ("Example.ORG.", "example.org www.example.org example.org."),
    ("*.example.org", "www.example.org a.b.example.org"),
    ("example.org:80", "example.org www.example.org"),
    (".example.org:80", "example.org www.example.org"),
    ("example.org:", "example.org"),
    ("org", "example.org org"),
    ("localhost", "localhost app.localhost LOCALHOST localhost."),
    ("a.org,b.org", "a.org b.org"),
    ("a.org b.org", "a.org b.org"),
    (" a.org ,, \tb.org\n", "a.org b.org"),
    ("bücher.example", "xn--bcher-kva.example www.xn--bcher-kva.example bücher.example BÜCHER.example"),
    ("xn--bcher-kva.example", "bücher.example www.bücher.example XN--BCHER-KVA.example"),
    ("10.0.0.1", "10.0.0.1 10.0.0.1."),
    ("10.0.0.1:80", "10.0.0.1"),
    ("10.0.0.0/8", "10.0.0.0 10.255.255.255"),
    ("10.1.2.3/8", "10.0.0.0 10.255.255.255"),
    ("10.0.0.0/8:80", "10.9.9.9"),
    ("192.168.1.64/27", "192.168.1.64 192.168.1.95"),
    ("0.0.0.0/0", "1.2.3.4"),
    ("::1", "::1 [::1] 0:0:0:0:0:0:0:1 [0:0::1]"),
    ("[::1]", "::1"),
    ("[::1]:80", "::1 [::1]"),
    ("0:0:0:0:0:0:0:1", "::1"),
    ("FD00::A", "fd00::a FD00::A"),
    ("fd00::/8", "fd12::1 [fdff::1]"),
    ("[fd00::]/8", "fd12::1"),
    ("[fd00::/8]:80", "fd12::1"),
    ("[fd00::]/8:80", "fd12::1"),
    ("fe80::1%eth0", "fe80::1 fe80::1%eth0 [fe80::1%25eth0]"),
    ("fe80::%eth0/10", "fe80::1%eth1"),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1 ::ffff:a00:1"),
]

NOT_EXEMPT: list[tuple[str, str]] = [
    ("", "example.org"),
    (" , ", "example.org 10.0.0.1"),
    (".", "example.org"),
    (":80", "example.org"),
    ("*.", "example.org"),
    ("**", "example.org"),
    ("*.example.org", "example.org badexample.org"),
    ("example.org", "badexample.org example.org.evil.com org example"),
    (".example.org", "badexample.org"),
    ("www.example.org", "example.org"),
    ("example.org:443", "example.org www.example.org"),
    ("example.org:http", "example.org"),
    ("example.org:00000000080", "example.org"),
    ("example.org:٨٠", "example.org"),
    ("http://example.org", "example.org"),
    ("*:443", "example.org 10.0.0.1"),
    ("localhost", "127.0.0.1 ::1"),
    ("127.0.0.1", "localhost"),
    ("0.0.1", "127.0.0.1"),
    ("1", "10.0.0.1 127.0.0.1"),
    ("10.0.0.1", "10.0.0.10 110.0.0.1 www.10.0.0.1.example"),
    ("10.0.0.1:443", "10.0.0.1"),
    ("10.0.0.0/8", "11.0.0.0 a.example fd00::1 10.example.org"),
    ("10.0.0.0/33", "10.0.0.0 10.0.0.1"),
    ("10.0.0.0/", "10.0.0.0"),
    ("010.0.0.1", "10.0.0.1 8.0.0.1"),
    ("192.168.1.64/27", "192.168.1.63 192.168.1.96"),
    ("0.0.0.0/0", "example.org ::1"),
    ("::/0", "example.org 1.2.3.4"),
    ("[::1]:443", "::1"),
    ("[::1", "::2 example.org"),
    ("::1:80", "::1"),  # an address of its own
    ("fd00::/8", "fe00::1 fd.example"),
    ("fd00::/129", "fd00::"),
    ("\u2063.example", "example"),  # what IDNA refuses
]


def proxied(no_proxy: str, host: str, port: int = 80, name: str = "no_proxy") -> bool:
    return proxy_for("http", host, port, {"http_proxy": PROXY, name: no_proxy}) == PROXY


@pytest.mark.parametrize(("no_proxy", "hosts"), EXEMPT)
def test_exempt(no_proxy: str, hosts: str) -> None:
    assert [host for host in hosts.split() if proxied(no_proxy, host)] == []
    assert [host for host in hosts.split() if proxied(no_proxy, host, name="NO_PROXY")] == []


@pytest.mark.parametrize(("no_proxy", "hosts"), NOT_EXEMPT)
def test_not_exempt(no_proxy: str, hosts: str) -> None:
    assert [host for host in hosts.split() if not proxied(no_proxy, host)] == []


@pytest.mark.parametrize("no_proxy", ["example.org:8080", "*:8080", "a b:1 example.org:8080"])
def test_a_port_is_the_one_that_is_connected_to(no_proxy: str) -> None:
    assert not proxied(no_proxy, "example.org", 8080)
    assert proxied(no_proxy, "example.org", 80)


def test_exceptions_are_for_all_variables() -> None:
    environ = {"all_proxy": PROXY, "https_proxy": PROXY, "no_proxy": "example.org"}
    assert proxy_for("http", "example.org", 80, environ) is None
    assert proxy_for("https", "example.org", 443, environ) is None


def test_the_lower_case_wins_for_exceptions_too() -> None:
    environ = {"http_proxy": PROXY, "no_proxy": "", "NO_PROXY": "*"}
    assert proxy_for("http", "example.org", 80, environ) == PROXY
    environ["no_proxy"] = "example.org"
    assert proxy_for("http", "example.org", 80, environ) is None
    assert proxy_for("http", "example.com", 80, environ) == PROXY


def test_long_hosts_take_no_long_time() -> None:
    for host in (":" * 50_000 + "x", "1." * 50_000 + "x", "%" * 50_000):
        assert proxied("example.org, 10.0.0.0/8", host)


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [
        ("user:secret", b"user:secret"),
        ("user", b"user:"),
        ("user:", b"user:"),
        (":secret", b":secret"),
        (":", b":"),
        ("a:b:c", b"a:b:c"),
        ("dom%5Cuser:p%40ss%3Aw%25rd", b"dom\\user:p@ss:w%rd"),
        ("%C3%BC:%E2%82%AC", "ü:€".encode()),
        ("ü:€", "ü:€".encode()),
        ("%FC:x", b"\xfc:x"),  # whatever it means to the proxy
        ("a%0D%0AX:y", b"a\r\nX:y"),  # base64 hides it from the header
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_credentials(scheme: str, userinfo: str, expected: bytes) -> None:
    value = basic_credentials(parse_url(f"{scheme}://{userinfo}@proxy:3128"))
    assert value == f"Basic {base64.b64encode(expected).decode()}"


@pytest.mark.parametrize("url", [parse_url("http://proxy"), parse_url("http://@proxy"), Url(auth=""), Url()])
def test_no_credentials(url: Url) -> None:
    assert basic_credentials(url) is None
