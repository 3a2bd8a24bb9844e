"""What comes after an attempt: try again, follow the redirect, or stop.

The loop is :meth:`HTTPConnectionPool.urlopen`; the rules are those of :class:`~wirepool.Retry`. Each function returns
the retries that are left, after the pause they ask for, or says that the loop is over.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from wirepool._collections import HTTPHeaderDict
from wirepool._identity import logger_name
from wirepool._unix import join
from wirepool.exceptions import (
    LocationParseError,
    MaxRetryError,
    ProtocolError,
    SSLError,
    TimeoutError,
    UnrewindableBodyError,
)
from wirepool.response import BaseSSLError
from wirepool.util.request import _is_sent_once, rewind_body
from wirepool.util.ssl_match_hostname import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from wirepool.connectionpool import HTTPConnectionPool
    from wirepool.util.retry import Retry

__all__ = [
    "after_failure",
    "can_send_again",
    "joined",
    "retries_after_redirect",
    "retries_after_status",
    "rewind",
    "without",
]

log = logging.getLogger(logger_name("wirepool.connectionpool"))


def _forget_frames(error: BaseException, caller: FrameType) -> None:
    """Drop the tracebacks of an error that ``caller`` dealt with, and of those behind it that were raised below.

    The retries remember the error, the response that comes in the end remembers the retries, and the frame of
    ``urlopen()``, which each of these tracebacks leads to, knows the response: it would wait for the garbage collector.
    What the user is handling while making the request is behind the errors, too, and not ours to touch.
    """
    to_do: list[BaseException] = [error]
    done: set[int] = set()
    while to_do:
        error = to_do.pop()
        if id(error) not in done:
            done.add(id(error))
            if _was_raised_below(error, caller):
                error.__traceback__ = None
            behind = (error.__cause__, error.__context__, *error.args)
            to_do.extend(exc for exc in behind if isinstance(exc, BaseException))


def _was_raised_below(error: BaseException, caller: FrameType) -> bool:
    frame = error.__traceback__.tb_frame if error.__traceback__ is not None else None
    while frame is not None and frame is not caller:
        frame = frame.f_back
    return frame is caller


def after_failure(pool: HTTPConnectionPool, error: Exception, method: str, url: str, retries: Retry) -> Retry:
    """The retries left after a failed attempt.

    :raises MaxRetryError: there are none; or ``error`` itself, as the rules have it.
    """
    caught = meaning = error
    if isinstance(error, (BaseSSLError, CertificateError)):
        meaning = error = SSLError(error)
    elif isinstance(error, (OSError, HTTPException)) and not isinstance(error, (TimeoutError, ProtocolError)):
        meaning = ProtocolError("Connection aborted.", error)
    retries = retries.increment(method, url, error=meaning, _pool=pool, _stacktrace=sys.exc_info()[2])
    hooks = pool._hooks
    if hooks is not None:
        hooks.tell_of_retry(pool, "error", method, url, retries, retries.get_backoff_time(), meaning)
    retries.sleep()
    _forget_frames(caught, sys._getframe(1))
    log.warning(
        "Retrying (%r) after connection broken by '%r': %s",
        retries,
        error,
        url,
        extra={"__urllib3-retry-warning": {"host": pool.host}},
    )
    return retries


def retries_after_redirect(
    pool: HTTPConnectionPool, response: Any, retries: Retry, method: str, url: str, location: str
) -> Retry | None:
    """The retries left for following a redirect; None if the response is to be returned instead."""
    try:
        left = retries.increment("GET" if response.status == 303 else method, url, response=response, _pool=pool)
    except MaxRetryError:
        if retries.raise_on_redirect:
            response.drain_conn()
            raise
        return None
    response.drain_conn()
    hooks = pool._hooks
    if hooks is not None:
        delay = left.get_retry_after(response) or 0.0
        hooks.tell_of_retry(pool, "redirect", method, url, left, delay, None, response, joined(url, location))
    left.sleep_for_retry(response)
    log.debug("Redirecting %s -> %s", url, location)
    return left


def retries_after_status(
    pool: HTTPConnectionPool, response: Any, retries: Retry, method: str, url: str
) -> Retry | None:
    """The retries left for asking again because of the status; None if the response is to be returned instead."""
    try:
        left = retries.increment(method, url, response=response, _pool=pool)
    except MaxRetryError:
        if retries.raise_on_status:
            response.drain_conn()
            raise
        return None
    response.drain_conn()
    hooks = pool._hooks
    if hooks is not None:
        delay = (left.respect_retry_after_header and left.get_retry_after(response)) or left.get_backoff_time()
        hooks.tell_of_retry(pool, "status", method, url, left, delay, None, response)
    left.sleep(response)
    log.debug("Retry: %s", url)
    return left


def joined(url: str, location: str) -> str:
    """Where a redirect leads.

    :raises LocationParseError: nowhere.
    """
    try:
        return join(url, location)
    except ValueError:
        raise LocationParseError(location) from None


def can_send_again(body: Any, body_pos: Any) -> bool:
    """Whether all of a body is still at hand, for certain: unlike a retry, a replay is nobody's wish but ours."""
    if body is None or isinstance(body_pos, int):
        return True
    return (isinstance(body, Collection) or _is_buffer(body)) and not _is_sent_once(body)


def _is_buffer(body: Any) -> bool:
    try:
        memoryview(body)
    except TypeError:
        return False
    return True


def rewind(body: Any, body_pos: Any) -> None:
    """Make a body ready for being sent again.

    :raises UnrewindableBodyError: it was used up, or cannot be set back: an empty resend would be silent loss.
    """
    if body_pos is not None:
        rewind_body(body, body_pos)
    elif _is_sent_once(body):
        raise UnrewindableBodyError("Unable to send the body again: it is an iterator, and was used up.")


def without(headers: Mapping[str, str], names: Collection[str]) -> Mapping[str, str]:
    """The header fields but those of some (lower-case) names; the caller's mapping is left as it is."""
    if not names or not any(_lowered(name) in names for name in headers):
        return headers
    kept = HTTPHeaderDict(headers)
    for name in list(kept):
        if name.lower() in names:
            del kept[name]
    return kept


def _lowered(name: str | bytes) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
