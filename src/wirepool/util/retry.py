"""How often to try again, after what, and how long to wait in between."""

from __future__ import annotations

import email.utils
import logging
import random
import re
import time
import warnings
from collections.abc import Collection
from itertools import takewhile
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from wirepool._identity import logger_name
from wirepool.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    MaxRetryError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
)
from wirepool.util.util import reraise

if TYPE_CHECKING:
    from typing import Self

    from wirepool.connectionpool import ConnectionPool
    from wirepool.response import BaseHTTPResponse

__all__ = [
    "Collection",
    "ConnectTimeoutError",
    "InvalidHeader",
    "MaxRetryError",
    "ProtocolError",
    "ProxyError",
    "ReadTimeoutError",
    "RequestHistory",
    "ResponseError",
    "Retry",
    "TracebackType",
    "reraise",
    "takewhile",
]

log = logging.getLogger(logger_name(__name__))

_DELAY_SECONDS = re.compile(r"\s*[0-9]+\s*", re.ASCII)

# More digits than this make any cap look small; int() itself refuses text of more than 4300.
_MAX_DELAY_DIGITS = 18

# 2**1000 still fits a float; the delay was cut to backoff_max long before.
_MAX_BACKOFF_EXPONENT = 1000


class RequestHistory(NamedTuple):
    """One attempt that did not settle the request.

    :ivar error: what it ended with; ``None`` if there was a response.
    :ivar status: status of the response; ``None`` if there was none.
    :ivar redirect_location: where the response pointed to; ``None`` if it was no redirect.
    """

    method: str | None
    url: str | None
    error: Exception | None
    status: int | None
    redirect_location: str | None


class _Outcome(NamedTuple):
    # What an attempt is charged to ("connect", "read", ...; None: to total only), and what becomes known of it.
    counter: str | None
    cause: str
    status: int | None = None
    redirect_location: str | None = None


class Retry:
    """A retry policy and the state of its counters.

    Objects are not changed: :meth:`increment` returns a new one with one try less. ::

        Retry(3)
        Retry(connect=5, read=2, redirect=5)
        Retry(total=5, status_forcelist=[502, 503, 504], backoff_factor=0.2)

    Each counter is the number of *further* tries, ``None`` for "as many as *total* allows". A counter below zero ends
    the request with :class:`~wirepool.exceptions.MaxRetryError`.

    :param total:
        over everything; takes precedence. ``None`` leaves it to the other counters. ``False`` switches retries and
        redirects off: errors are raised as they are, redirect responses are returned.
    :param connect: failures before anything was sent (safe to repeat, so done for every method).
    :param read:
        failures after sending began. Only for *allowed_methods*, as the server may have acted on the request;
        ``False`` raises the error as it is.
    :param redirect: redirects followed. ``False`` follows none and returns the redirect response.
    :param status: responses rejected because of their status (*status_forcelist*, Retry-After).
    :param other: all other errors, e.g. a failed TLS handshake.
    :param allowed_methods:
        upper-case methods that may be repeated after a read error or because of a status; ``None`` for all.
    :param status_forcelist: statuses to retry. Empty by default.
    :param backoff_factor:
        seconds; the pause before the *n*-th consecutive retry is ``backoff_factor * 2**(n-1)``, none before the first.
    :param backoff_max: seconds; longest pause.
    :param raise_on_redirect: when redirects run out, raise (``True``) or return the last response.
    :param raise_on_status: when retries of a forced status run out, raise (``True``) or return the last response.
    :param history: attempts made so far.
    :param respect_retry_after_header:
        wait as long as the server says in ``Retry-After``, and retry :attr:`RETRY_AFTER_STATUS_CODES` that carry it.
    :param remove_headers_on_redirect: request headers not to pass on to another host; case is ignored.
    :param backoff_jitter: seconds; a random share of it is added to each backoff pause.
    :param retry_after_max: seconds; longest pause for ``Retry-After``.
    """

    #: Idempotent methods (RFC 9110 section 9.2.2).
    DEFAULT_ALLOWED_METHODS: ClassVar[frozenset[str]] = frozenset({"HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"})

    #: Statuses that are retried if the response has a ``Retry-After`` field.
    RETRY_AFTER_STATUS_CODES: ClassVar[frozenset[int]] = frozenset({413, 429, 503})

    #: Credentials, which are not for another host to see.
    DEFAULT_REMOVE_HEADERS_ON_REDIRECT: ClassVar[frozenset[str]] = frozenset(
        {"Authorization", "Cookie", "Proxy-Authorization"}
    )

    #: Seconds: longest backoff.
    DEFAULT_BACKOFF_MAX: ClassVar[int] = 120

    #: Seconds (six hours): longest obedience to ``Retry-After``.
    DEFAULT_RETRY_AFTER_MAX: ClassVar[int] = 21600

    #: Policy of requests that name none. May be replaced by another.
    DEFAULT: ClassVar[Retry]

    def __init__(
        self,
        total: bool | int | None = 10,
        connect: int | None = None,
        read: int | None = None,
        redirect: bool | int | None = None,
        status: int | None = None,
        other: int | None = None,
        allowed_methods: Collection[str] | None = DEFAULT_ALLOWED_METHODS,
        status_forcelist: Collection[int] | None = None,
        backoff_factor: float = 0,
        backoff_max: float = DEFAULT_BACKOFF_MAX,
        raise_on_redirect: bool = True,
        raise_on_status: bool = True,
        history: tuple[RequestHistory, ...] | None = None,
        respect_retry_after_header: bool = True,
        remove_headers_on_redirect: Collection[str] = DEFAULT_REMOVE_HEADERS_ON_REDIRECT,
        backoff_jitter: float = 0.0,
        retry_after_max: int = DEFAULT_RETRY_AFTER_MAX,
    ) -> None:
        if redirect is False or total is False:
            redirect = 0
            raise_on_redirect = False
        if not allowed_methods and isinstance(allowed_methods, Collection):
            warnings.warn(
                "An empty 'allowed_methods' means every method for now and will mean none: pass None for every method.",
                FutureWarning,
                stacklevel=2,
            )
        self.total = total
        self.connect = connect
        self.read = read
        self.redirect = redirect
        self.status = status
        self.other = other
        self.allowed_methods = allowed_methods
        self.status_forcelist = status_forcelist or set()
        self.backoff_factor = backoff_factor
        self.backoff_max = backoff_max
        self.backoff_jitter = backoff_jitter
        self.raise_on_redirect = raise_on_redirect
        self.raise_on_status = raise_on_status
        self.history = history or ()
        self.respect_retry_after_header = respect_retry_after_header
        self.retry_after_max = retry_after_max
        self.remove_headers_on_redirect = frozenset(header.lower() for header in remove_headers_on_redirect)

    def new(self, **kw: Any) -> Self:
        """A copy of the same class in which the constructor arguments named in *kw* have other values."""
        arguments = {name: getattr(self, name) for name in _ARGUMENTS}
        return type(self)(**(arguments | kw))

    @classmethod
    def from_int(
        cls,
        retries: Retry | bool | int | None,
        redirect: bool | int | None = True,
        default: Retry | bool | int | None = None,
    ) -> Retry:
        """Make a policy of what users pass as ``retries``.

        :param retries: a policy (returned as is), a *total*, or ``None`` for *default*.
        :param redirect: if falsy, follow no redirects.
        :param default: what ``None`` stands for; :attr:`DEFAULT` if omitted.
        """
        if retries is None:
            retries = cls.DEFAULT if default is None else default
        if isinstance(retries, Retry):
            return retries
        policy = cls(retries, redirect=None if redirect else False)
        log.debug("Converted retries value: %r -> %r", retries, policy)
        return policy

    def get_backoff_time(self) -> float:
        """Seconds to wait before the next try, from the number of consecutive failures without a redirect."""
        failures = sum(1 for _ in takewhile(_is_no_redirect, reversed(self.history)))
        if failures <= 1:
            return 0
        pause = self.backoff_factor * 2.0 ** min(failures - 1, _MAX_BACKOFF_EXPONENT)
        if self.backoff_jitter:
            pause += random.random() * self.backoff_jitter
        return float(max(0, min(self.backoff_max, pause)))

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait according to the value of a ``Retry-After`` field (RFC 9110 section 10.2.3).

        Not negative and at most :attr:`retry_after_max`.

        :raises InvalidHeader: the value is neither a number of seconds nor a date.
        """
        seconds: float
        if _DELAY_SECONDS.fullmatch(retry_after):
            seconds = int(retry_after.strip().lstrip("0")[:_MAX_DELAY_DIGITS] or 0)
        else:
            seconds = max(0, _timestamp(retry_after) - time.time())
        return min(seconds, self.retry_after_max)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that *response* asks to wait; ``None`` if it does not.

        :raises InvalidHeader: as :meth:`parse_retry_after`.
        """
        retry_after = response.headers.get("Retry-After")
        return None if retry_after is None else self.parse_retry_after(retry_after)

    def sleep_for_retry(self, response: BaseHTTPResponse) -> bool:
        """Sleep as long as *response* asks; tell whether it asked.

        :raises InvalidHeader: as :meth:`parse_retry_after`.
        """
        retry_after = self.get_retry_after(response)
        if retry_after:
            time.sleep(retry_after)
        return bool(retry_after)

    def _sleep_backoff(self) -> None:
        pause = self.get_backoff_time()
        if pause > 0:
            time.sleep(pause)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Sleep before the next try: as long as *response* asks, or else as long as the backoff says.

        :raises InvalidHeader: as :meth:`parse_retry_after`.
        """
        if self.respect_retry_after_header and response and self.sleep_for_retry(response):
            return
        self._sleep_backoff()

    def _is_connection_error(self, err: Exception) -> bool:
        """Whether the request cannot have reached the server, so that repeating it does no harm."""
        if isinstance(err, ProxyError):
            err = err.original_error
        return isinstance(err, ConnectTimeoutError)

    def _is_read_error(self, err: Exception) -> bool:
        """Whether the server may have begun to act on the request."""
        return isinstance(err, (ReadTimeoutError, ProtocolError))

    def _is_method_retryable(self, method: str) -> bool:
        """Whether the method may be repeated although the server may have acted on it."""
        return not self.allowed_methods or method.upper() in self.allowed_methods

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether a response with this status is to be rejected and the request repeated."""
        if not self._is_method_retryable(method):
            return False
        if self.status_forcelist and status_code in self.status_forcelist:
            return True
        obeys = bool(self.total and self.respect_retry_after_header and has_retry_after)
        return obeys and status_code in self.RETRY_AFTER_STATUS_CODES

    def is_exhausted(self) -> bool:
        """Whether a counter fell below zero."""
        counters = (self.total, self.connect, self.read, self.redirect, self.status, self.other)
        return any(counter < 0 for counter in counters if counter)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Count one more attempt that did not settle the request.

        :param response: what the server sent, if the attempt got that far.
        :param error: what the attempt ended with, if not with a response.
        :returns: the policy for the next attempt.
        :raises MaxRetryError: none is left.
        :raises Exception: *error* itself, if this policy does not retry such errors.
        """
        outcome = self._classify(method, response, error, _stacktrace)
        attempt = RequestHistory(method, url, error, outcome.status, outcome.redirect_location)
        changes: dict[str, Any] = {
            "total": _one_less(self.total),
            "connect": self.connect,
            "read": self.read,
            "redirect": self.redirect,
            "status": self.status,
            "other": self.other,
            "history": (*self.history, attempt),
        }
        if outcome.counter is not None:
            changes[outcome.counter] = _one_less(changes[outcome.counter])
        policy = self.new(**changes)
        if policy.is_exhausted():
            reason = error or ResponseError(outcome.cause)
            raise MaxRetryError(_pool, url, reason) from reason
        log.debug("Incremented Retry for (url='%s'): %r", url, policy)
        return policy

    def _classify(
        self,
        method: str | None,
        response: BaseHTTPResponse | None,
        error: Exception | None,
        stacktrace: TracebackType | None,
    ) -> _Outcome:
        if error:
            counter = self._counter_of_error(method, error)
            if counter is None:
                reraise(type(error), error, stacktrace)
            return _Outcome(counter, "")
        if response is None:
            return _Outcome(None, ResponseError.GENERIC_ERROR)
        location = response.get_redirect_location()
        if location:
            return _Outcome("redirect", "too many redirects", response.status, str(location))
        if not response.status:
            return _Outcome(None, ResponseError.GENERIC_ERROR)
        cause = ResponseError.SPECIFIC_ERROR.format(status_code=response.status)
        return _Outcome("status", cause, response.status)

    def _counter_of_error(self, method: str | None, error: Exception) -> str | None:
        # None: this error is not for us to retry.
        if self.total is False:
            return None
        if self._is_connection_error(error):
            return None if self.connect is False else "connect"
        if self._is_read_error(error):
            repeatable = self.read is not False and method is not None and self._is_method_retryable(method)
            return "read" if repeatable else None
        return "other"

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(total={self.total}, connect={self.connect}, read={self.read}, "
            f"redirect={self.redirect}, status={self.status})"
        )


# Every constructor argument is kept in an attribute of its name.
_ARGUMENTS = Retry.__init__.__code__.co_varnames[1 : Retry.__init__.__code__.co_argcount]

Retry.DEFAULT = Retry(3)


def _one_less(counter: bool | int | None) -> int | None:
    return None if counter is None else counter - 1


def _is_no_redirect(attempt: RequestHistory) -> bool:
    return attempt.redirect_location is None


def _timestamp(http_date: str) -> float:
    parsed = email.utils.parsedate_tz(http_date)
    if parsed is None:
        raise InvalidHeader(f"Invalid Retry-After header: {http_date}")
    # The one date format without a zone is that of C's asctime(), which HTTP defines to be UTC (RFC 9110 5.6.7).
    in_zone = (*parsed[:9], parsed[9] or 0)
    try:
        return email.utils.mktime_tz(in_zone)
    except (ValueError, OverflowError):
        raise InvalidHeader(f"Invalid Retry-After header: {http_date}") from None
