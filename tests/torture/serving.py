"""The servers that children of the torture tests talk to: they answer by the path of a request, on any connection."""

from __future__ import annotations

import contextlib
import gzip
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from corpus.cases import Case, given_cases
from servers.certs import Authority
from servers.proxy import ProxyServer
from servers.scripted import Connection, ScriptedServer, chunked_response, response
from servers.tls import TLSServer

ANSWERS = {
    "redirect": response(status=302, reason="Found", headers=[("Location", "/echo/redirected")]),
    "gzip": response(gzip.compress(b"packed" * 500, mtime=0), headers=[("Content-Encoding", "gzip")]),
    "chunked": chunked_response([b"one" * 300, b"two" * 300, b"three" * 300]),
    "long": response(bytes(range(256)) * 400),
}


# Longer ones take too long.
_SMALL = 4000


def cases(most: int) -> list[Case]:
    """So many of the corpus, from all over it: short ones that need no pauses and do not leave the client waiting."""
    found = [case for case in given_cases() if not case.stalls and not case.pauses and len(case.wire) <= _SMALL]
    return found[:: max(1, len(found) // most)][:most]


class Servers:
    """A plain one, one behind TLS, and a proxy; in the context of the tests' certificates."""

    def __init__(self, authority: Authority, corpus: list[Case]) -> None:
        self._corpus = {case.name: case for case in corpus}
        self._authority = authority
        self.http = ScriptedServer(default=self._serve)
        self.https = TLSServer(default=self._serve, certificate=authority.localhost)
        self.proxy = ProxyServer()

    @contextlib.contextmanager
    def running(self) -> Iterator[Servers]:
        with self.http, self.https, self.proxy:
            yield self

    def site(self) -> dict[str, str]:
        """What a child has to know."""
        return {
            "http": self.http.url,
            "https": f"https://localhost:{self.https.port}",
            "proxy": self.proxy.url,
            "ca": self._authority.ca_file,
        }

    def twice(self) -> list[str]:
        """The targets of complete POST requests that came more than once."""
        requests = [*self.http.requests, *self.https.requests]
        seen = Counter(request.target for request in requests if request.method == "POST")
        return [target for target, times in seen.items() if times > 1]

    def _serve(self, conn: Connection) -> None:
        while self._answer(conn):
            pass

    def _answer(self, conn: Connection) -> bool:
        kind, _, rest = conn.recv().target.rpartition("://")[2].partition("/")[2].partition("/")
        if kind == "case":
            conn.send(self._corpus[rest].wire)
            return not self._corpus[rest].close
        conn.send(ANSWERS.get(kind) or response(rest.encode()))
        return True


class Report(NamedTuple):
    """What children told, in sum."""

    tried: int
    hit: int
    outcomes: Counter[str]
    wrong: list[str]

    @classmethod
    def sum_of(cls, told: list[dict[str, Any]]) -> Report:
        outcomes: Counter[str] = Counter()
        for one in told:
            outcomes.update(one["outcomes"])
        return cls(
            sum(one["tried"] for one in told),
            sum(one["hit"] for one in told),
            outcomes,
            [line for one in told for line in one["wrong"]],
        )

    def __str__(self) -> str:
        found = ", ".join(f"{times} x {name}" for name, times in self.outcomes.most_common())
        return f"{self.tried} attempts, {self.hit} calls failed: {found}"
