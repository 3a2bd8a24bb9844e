"""Makes tests of what lies here: every ``program.py`` and every ``suite.toml`` in a directory is one.

The tests are those of ``checks.py``, collected once for each file under its path: so a runner that distributes files
distributes consumers, and nobody has to register one.
"""

from __future__ import annotations

import ast
import importlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKS = {"program.py": "consumers.program_checks", "suite.toml": "consumers.suite_checks"}


class ConsumerFile(pytest.Module):
    """A file of a consumer, with the tests that are the same for all."""

    def _getobj(self) -> types.ModuleType:
        return importlib.import_module(CHECKS[self.path.name])


def _is_consumers(path: Path) -> bool:
    return path.name in CHECKS and path.parent.parent == Path(__file__).parent


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    # A Python file that is named on the command line gets collected anyway, by way of the function below.
    if not _is_consumers(file_path) or (file_path.suffix == ".py" and parent.session.isinitpath(file_path)):
        return None
    return _collected(file_path, parent)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return _collected(module_path, parent) if _is_consumers(module_path) else None


def _collected(path: Path, parent: pytest.Collector) -> pytest.Collector:
    collected: pytest.Collector = ConsumerFile.from_parent(parent, path=path)
    return collected


@pytest.fixture
def consumer(request: pytest.FixtureRequest) -> Path:
    """The file that the test is about."""
    return Path(request.path)


# --- the servers that programs may ask for ----------------------------------------------------------------------------


def _certs(get: Callable[[str], Any]) -> dict[str, Any]:
    authority = get("certs")
    client = authority.client()
    stranger = authority.stranger()
    return {
        "ca_file": authority.ca_file,
        "ca_directory": authority.hashed_directory(),
        "server_cert": authority.localhost.cert_file,
        "server_key": authority.localhost.key_file,
        "client_cert": client.cert_file,
        "client_key": client.key_file,
        "other_ca_file": stranger.ca_file,
    }


def _nginx(get: Callable[[str], Any]) -> dict[str, Any]:
    nginx, tls = get("nginx"), get("nginx_tls")
    return {
        "url": nginx.url,
        "https_url": f"https://localhost:{tls.both.port}",
        "client_url": f"https://localhost:{tls.client.port}",
    }


def _squid(get: Callable[[str], Any]) -> dict[str, Any]:
    from urllib.parse import quote

    from servers import squid

    proxy = get("squid")
    credentials = f"{quote(squid.USER)}:{quote(squid.PASSWORD, safe='')}"
    return {
        "url": proxy.url,
        "auth_url": proxy.auth_url,
        "auth_url_with_credentials": proxy.auth_url.replace("//", f"//{credentials}@"),
        "https_url": f"https://localhost:{proxy.https_port}",
    }


def _socks(get: Callable[[str], Any]) -> dict[str, Any]:
    proxies = get("socks_server")
    urls = {scheme: proxies.url(scheme) for scheme in ("socks4", "socks5", "socks5h")}
    return {**urls, "guarded": proxies.guarded_url("socks5h")}


SERVERS: dict[str, Callable[[Callable[[str], Any]], dict[str, Any]]] = {
    "echo": lambda get: {"url": get("echo").url},
    "certs": _certs,
    "nginx": _nginx,
    "squid": _squid,
    "socks": _socks,
}


@pytest.fixture
def addresses(request: pytest.FixtureRequest, consumer: Path) -> dict[str, Any]:
    """Of the servers that the program names in ``SERVERS``, started for it."""
    return {name: SERVERS[name](request.getfixturevalue) for name in _wanted_servers(consumer)}


def _wanted_servers(program: Path) -> tuple[str, ...]:
    for node in ast.parse(program.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["SERVERS"]:
            names: tuple[str, ...] = ast.literal_eval(node.value)
            return names
    return ()
