"""Retry: counting, classifying, waiting."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import random
import time
import warnings
from itertools import pairwise
from typing import Any

import pytest

from wirepool.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)
from wirepool.util.retry import RequestHistory, Retry


class Response:
    """As much of a response as a policy looks at."""

    def __init__(self, status: int = 503, location: str | bool | None = False, **headers: str) -> None:
        self.status = status
        self.location = location
        self.headers = {name.replace("_", "-").title(): value for name, value in headers.items()}

    def get_redirect_location(self) -> str | bool | None:
        return self.location


CONNECT = ConnectTimeoutError("no answer")
REFUSED = NewConnectionError(None, "refused")
READ = ReadTimeoutError(None, "/", "silence")
BROKEN = ProtocolError("reset")
TLS = SSLError("bad certificate")
BY_PROXY = ProxyError("no way", ConnectTimeoutError("no answer"))
BROKEN_BY_PROXY = ProxyError("no way", ProtocolError("reset"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept; without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def failed(count: int) -> tuple[RequestHistory, ...]:
    return (RequestHistory("GET", "/", None, 503, None),) * count


def redirected(count: int) -> tuple[RequestHistory, ...]:
    return (RequestHistory("GET", "/", None, 302, "/b"),) * count


class TestConstruction:
    def test_defaults(self) -> None:
        retry = Retry()
        assert vars(retry) == {
            "total": 10,
            "connect": None,
            "read": None,
            "redirect": None,
            "status": None,
            "other": None,
            "allowed_methods": {"HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"},
            "status_forcelist": set(),
            "backoff_factor": 0,
            "backoff_max": 120,
            "backoff_jitter": 0.0,
            "raise_on_redirect": True,
            "raise_on_status": True,
            "history": (),
            "respect_retry_after_header": True,
            "retry_after_max": 21600,
            "remove_headers_on_redirect": {"authorization", "cookie", "proxy-authorization"},
        }

    def test_constants(self) -> None:
        assert {413, 429, 503} == Retry.RETRY_AFTER_STATUS_CODES
        assert {"Authorization", "Cookie", "Proxy-Authorization"} == Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT
        assert Retry.DEFAULT.total == 3

    @pytest.mark.parametrize("arguments", [{"total": False}, {"redirect": False}, {"total": False, "redirect": 5}])
    def test_switching_redirects_off(self, arguments: dict[str, Any]) -> None:
        retry = Retry(**arguments, raise_on_redirect=True)
        assert retry.redirect == 0
        assert retry.raise_on_redirect is False

    def test_no_redirect_left_is_another_thing(self) -> None:
        assert Retry(redirect=0).raise_on_redirect is True

    def test_names_of_headers_to_remove_are_lowered(self) -> None:
        assert Retry(remove_headers_on_redirect=["X-Key", "x-KEY"]).remove_headers_on_redirect == {"x-key"}
        assert Retry(remove_headers_on_redirect=[]).remove_headers_on_redirect == frozenset()

    @pytest.mark.parametrize("empty", [[], (), set(), frozenset()])
    def test_empty_allowed_methods_are_deprecated(self, empty: Any) -> None:
        with pytest.warns(FutureWarning, match="allowed_methods") as caught:
            Retry(allowed_methods=empty)
        assert caught[0].filename == __file__

    @pytest.mark.parametrize("every", [None, False])
    def test_all_methods_without_a_warning(self, every: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert Retry(allowed_methods=every)._is_method_retryable("PATCH")

    def test_unknown_arguments(self) -> None:
        with pytest.raises(TypeError):
            Retry(method_whitelist={"GET"})  # type: ignore[call-arg]

    def test_repr(self) -> None:
        retry = Retry(total=5, connect=1, read=2, redirect=3, status=4)
        assert repr(retry) == "Retry(total=5, connect=1, read=2, redirect=3, status=4)"


class TestCopies:
    ALL = {
        "total": 1,
        "connect": 2,
        "read": 3,
        "redirect": 4,
        "status": 5,
        "other": 6,
        "allowed_methods": frozenset({"POST"}),
        "status_forcelist": frozenset({500}),
        "backoff_factor": 0.5,
        "backoff_max": 9,
        "backoff_jitter": 0.25,
        "raise_on_redirect": False,
        "raise_on_status": False,
        "history": failed(1),
        "respect_retry_after_header": False,
        "retry_after_max": 7,
        "remove_headers_on_redirect": frozenset({"x-key"}),
    }

    def test_the_table_is_complete(self) -> None:
        assert set(self.ALL) == set(inspect.signature(Retry).parameters)

    def test_everything_is_carried_over(self) -> None:
        assert vars(Retry(**self.ALL).new()) == self.ALL

    def test_changes(self) -> None:
        assert vars(Retry(**self.ALL).new(total=8, history=())) == self.ALL | {"total": 8, "history": ()}

    def test_a_subclass_makes_its_own(self) -> None:
        class Stubborn(Retry):
            pass

        assert type(Stubborn(3).new()) is Stubborn
        assert type(Stubborn(3).increment("GET", "/", error=CONNECT)) is Stubborn
        assert repr(Stubborn(3)).startswith("Stubborn(")

    def test_a_subclass_with_arguments_of_its_own(self) -> None:
        class Tagged(Retry):
            def __init__(self, *args: Any, tag: str = "", **kw: Any) -> None:
                super().__init__(*args, **kw)
                self.tag = tag

            def new(self, **kw: Any) -> Tagged:
                return super().new(tag=self.tag, **kw)

        assert Tagged(3, tag="x").increment("GET", "/", error=CONNECT).tag == "x"

    def test_pickling_and_copying(self) -> None:
        retry = Retry(**self.ALL)
        assert vars(pickle.loads(pickle.dumps(retry))) == vars(retry)
        assert vars(copy.deepcopy(retry)) == vars(retry)


class TestFromInt:
    def test_a_policy_is_returned_as_it_is(self) -> None:
        retry = Retry(7)
        assert Retry.from_int(retry, redirect=False, default=5) is retry

    def test_none_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Retry.from_int(None) is Retry.DEFAULT
        ours = Retry(1)
        assert Retry.from_int(None, default=ours) is ours
        assert Retry.from_int(None, default=4).total == 4
        monkeypatch.setattr(Retry, "DEFAULT", ours)
        assert Retry.from_int(None) is ours

    @pytest.mark.parametrize("total", [0, 5, True, False])
    def test_a_number_is_the_total(self, total: int) -> None:
        assert Retry.from_int(total).total is total

    def test_without_redirects(self) -> None:
        retry = Retry.from_int(5, redirect=False)
        assert (retry.redirect, retry.raise_on_redirect) == (0, False)
        assert Retry.from_int(5, redirect=True).redirect is None

    def test_zero_is_not_false(self) -> None:
        assert Retry.from_int(0).raise_on_redirect is True
        assert Retry.from_int(False).raise_on_redirect is False

    def test_the_class_it_is_called_on(self) -> None:
        class Stubborn(Retry):
            pass

        assert type(Stubborn.from_int(3)) is Stubborn

    def test_it_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "wirepool.util.retry"):
            retry = Retry.from_int(3)
            Retry.from_int(retry)
        (record,) = caplog.records
        assert record.name == "wirepool.util.retry"
        assert record.msg == "Converted retries value: %r -> %r"
        assert record.args == (3, retry)


class TestExhaustion:
    @pytest.mark.parametrize("counter", ["total", "connect", "read", "redirect", "status", "other"])
    def test_any_counter_below_zero(self, counter: str) -> None:
        assert Retry(**{counter: -1}).is_exhausted()
        assert not Retry(**{counter: 0}).is_exhausted()

    def test_nothing_to_count(self) -> None:
        assert not Retry(total=None).is_exhausted()
        assert not Retry(total=False).is_exhausted()


class TestIncrement:
    @pytest.mark.parametrize(
        ("counter", "happened"),
        [
            ("connect", {"error": CONNECT}),
            ("connect", {"error": REFUSED}),
            ("connect", {"error": BY_PROXY}),
            ("read", {"error": READ}),
            ("read", {"error": BROKEN}),
            ("other", {"error": TLS}),
            ("other", {"error": OSError("?")}),
            ("other", {"error": BROKEN_BY_PROXY}),
            ("redirect", {"response": Response(302, "/b")}),
            ("status", {"response": Response(503)}),
            ("status", {"response": Response(302, None)}),
            ("connect", {"error": CONNECT, "response": Response(302, "/b")}),
        ],
    )
    def test_what_is_charged_to_what(self, counter: str, happened: dict[str, Any]) -> None:
        before = {"total": 5, "connect": 5, "read": 5, "redirect": 5, "status": 5, "other": 5}
        after = Retry(**before).increment("GET", "/", **happened)
        assert {name: getattr(after, name) for name in before} == before | {"total": 4, counter: 4}

    @pytest.mark.parametrize("happened", [{}, {"response": Response(0)}])
    def test_nothing_known_costs_one_of_the_total(self, happened: dict[str, Any]) -> None:
        after = Retry(5, connect=5, read=5, redirect=5, status=5, other=5).increment("GET", "/", **happened)
        assert repr(after) == "Retry(total=4, connect=5, read=5, redirect=5, status=5)"
        assert after.other == 5

    def test_unlimited_counters_stay_so(self) -> None:
        assert repr(Retry(None).increment("GET", "/", error=CONNECT)) == repr(Retry(None))

    def test_the_policy_itself_is_not_changed(self) -> None:
        retry = Retry(3, connect=3)
        retry.increment("GET", "/", error=CONNECT)
        assert (retry.total, retry.connect, retry.history) == (3, 3, ())

    @pytest.mark.parametrize(
        "retry", [Retry(0), Retry(total=5, connect=0), Retry(total=None, connect=0), Retry(total=0, connect=None)]
    )
    def test_no_try_left_after_an_error(self, retry: Retry) -> None:
        pool = object()
        with pytest.raises(MaxRetryError) as info:
            retry.increment("GET", "/x", error=CONNECT, _pool=pool)  # type: ignore[arg-type]
        assert info.value.reason is CONNECT
        assert info.value.__cause__ is CONNECT
        assert info.value.pool is pool
        assert info.value.url == "/x"

    @pytest.mark.parametrize(
        ("response", "reason"),
        [
            (Response(503), "too many 503 error responses"),
            (Response(302, "/b"), "too many redirects"),
            (Response(0), "too many error responses"),
            (None, "too many error responses"),
        ],
    )
    def test_no_try_left_after_a_response(self, response: Any, reason: str) -> None:
        with pytest.raises(MaxRetryError) as info:
            Retry(0).increment("GET", "/x", response=response)
        assert isinstance(info.value.reason, ResponseError)
        assert info.value.__cause__ is info.value.reason
        assert str(info.value.reason) == reason

    @pytest.mark.parametrize("error", [CONNECT, READ, BROKEN, TLS, BY_PROXY])
    def test_switched_off_means_the_error_itself(self, error: Exception) -> None:
        with pytest.raises(type(error)) as info:
            Retry(False).increment("GET", "/", error=error)
        assert info.value is error

    def test_switched_off_does_not_excuse_responses(self) -> None:
        with pytest.raises(MaxRetryError):
            Retry(False).increment("GET", "/", response=Response(503))  # type: ignore[arg-type]

    @pytest.mark.parametrize(("counter", "error"), [("connect", CONNECT), ("read", BROKEN)])
    def test_one_kind_switched_off(self, counter: str, error: Exception) -> None:
        with pytest.raises(type(error)) as info:
            Retry(5, **{counter: False}).increment("GET", "/", error=error)
        assert info.value is error

    @pytest.mark.parametrize("method", ["POST", "PATCH", None])
    @pytest.mark.parametrize("error", [READ, BROKEN])
    def test_a_read_error_is_not_retried_for_methods_that_may_do_harm(
        self, method: str | None, error: Exception
    ) -> None:
        with pytest.raises(type(error)) as info:
            Retry(5).increment(method, "/", error=error)
        assert info.value is error

    @pytest.mark.parametrize("error", [CONNECT, REFUSED, BY_PROXY, TLS])
    def test_other_errors_are_retried_for_every_method(self, error: Exception) -> None:
        assert Retry(5).increment("POST", "/", error=error).total == 4

    def test_allowing_every_method(self) -> None:
        assert Retry(5, allowed_methods=None).increment("POST", "/", error=BROKEN).total == 4

    def test_the_traceback_of_an_error_raised_again(self) -> None:
        try:
            raise ProtocolError("deep down")
        except ProtocolError as error:
            seen, deep = error, error.__traceback__
        seen.__traceback__ = None
        with pytest.raises(ProtocolError) as info:
            Retry(False).increment("GET", "/", error=seen, _stacktrace=deep)
        last = info.value.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        assert last is deep

    def test_history(self) -> None:
        retry = Retry(9)
        retry = retry.increment("GET", "/a", response=Response(503))  # type: ignore[arg-type]
        retry = retry.increment("GET", "/a", response=Response(302, "/b"))  # type: ignore[arg-type]
        retry = retry.increment("HEAD", "/b", error=CONNECT)
        assert retry.history == (
            RequestHistory("GET", "/a", None, 503, None),
            RequestHistory("GET", "/a", None, 302, "/b"),
            RequestHistory("HEAD", "/b", CONNECT, None, None),
        )

    def test_it_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "wirepool.util.retry"):
            after = Retry(3).increment("GET", "/x", error=CONNECT)
        (record,) = caplog.records
        assert record.msg == "Incremented Retry for (url='%s'): %r"
        assert record.args == ("/x", after)

    def test_users_can_classify_differently(self) -> None:
        class Brave(Retry):
            def _is_method_retryable(self, method: str) -> bool:
                return True

            def _is_connection_error(self, err: Exception) -> bool:
                return isinstance(err, SSLError) or super()._is_connection_error(err)

        assert Brave(3, connect=3).increment("POST", "/", error=BROKEN).total == 2
        assert Brave(3, connect=3).increment("POST", "/", error=TLS).connect == 2


class TestIsRetry:
    def test_forced_statuses(self) -> None:
        retry = Retry(status_forcelist=[500, 502])
        assert retry.is_retry("GET", 500)
        assert retry.is_retry("get", 502)
        assert not retry.is_retry("GET", 503)
        assert not retry.is_retry("POST", 500)

    @pytest.mark.parametrize("status", [413, 429, 503])
    def test_statuses_that_say_when_to_come_back(self, status: int) -> None:
        assert Retry().is_retry("GET", status, has_retry_after=True)
        assert not Retry().is_retry("GET", status)
        assert not Retry().is_retry("POST", status, has_retry_after=True)
        assert not Retry(respect_retry_after_header=False).is_retry("GET", status, has_retry_after=True)

    @pytest.mark.parametrize("status", [200, 302, 404, 500])
    def test_statuses_that_do_not(self, status: int) -> None:
        assert not Retry().is_retry("GET", status, has_retry_after=True)

    @pytest.mark.parametrize("total", [0, None, False])
    def test_without_tries_to_give_the_response_is_kept(self, total: Any) -> None:
        assert not Retry(total=total).is_retry("GET", 429, has_retry_after=True)
        assert Retry(total=total, status_forcelist=[429]).is_retry("GET", 429, has_retry_after=True)

    def test_the_answer_is_a_boolean(self) -> None:
        assert Retry().is_retry("GET", 429, has_retry_after="120") is True  # type: ignore[arg-type]
        assert Retry(total=0).is_retry("GET", 429, True) is False


class TestBackoff:
    @pytest.mark.parametrize(("failures", "pause"), [(0, 0), (1, 0), (2, 0.2), (3, 0.4), (4, 0.8), (10, 51.2)])
    def test_it_doubles(self, failures: int, pause: float) -> None:
        assert Retry(backoff_factor=0.1, history=failed(failures)).get_backoff_time() == pytest.approx(pause)

    def test_it_is_bounded(self) -> None:
        assert Retry(backoff_factor=1, history=failed(9)).get_backoff_time() == 120
        assert Retry(backoff_factor=1, backoff_max=3, history=failed(9)).get_backoff_time() == 3
        assert Retry(backoff_factor=0.5, history=failed(5000)).get_backoff_time() == 120

    def test_it_is_never_negative(self) -> None:
        assert Retry(backoff_factor=-1, history=failed(3)).get_backoff_time() == 0

    def test_redirects_start_the_count_anew(self) -> None:
        history = failed(5) + redirected(1)
        assert Retry(backoff_factor=1, history=history).get_backoff_time() == 0
        assert Retry(backoff_factor=1, history=history + failed(2)).get_backoff_time() == 2

    def test_jitter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(random, "random", lambda: 0.5)
        assert Retry(backoff_factor=1, backoff_jitter=3, history=failed(2)).get_backoff_time() == 3.5
        assert Retry(backoff_factor=1, backoff_jitter=3, history=failed(1)).get_backoff_time() == 0
        assert Retry(backoff_factor=1, backoff_jitter=500, history=failed(2)).get_backoff_time() == 120


class TestRetryAfter:
    @pytest.fixture(autouse=True)
    def new_year(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # 2030-01-01 00:00:00 UTC
        monkeypatch.setattr(time, "time", lambda: 1893456000.0)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            (" 7\t", 7),
            ("007", 7),
            ("99999999", 21600),
            ("9" * 5000, 21600),
            ("Tue, 01 Jan 2030 00:01:40 GMT", 100),
            ("Tue, 01 Jan 2030 02:01:40 +0200", 100),
            ("Tuesday, 01-Jan-30 00:01:40 GMT", 100),
            ("Tue Jan  1 00:01:40 2030", 100),
            ("Tue, 01 Jan 2030 00:01:40", 100),
            ("Mon, 31 Dec 2029 23:59:59 GMT", 0),
            ("Fri, 31 Dec 2100 23:59:59 GMT", 21600),
        ],
    )
    def test_seconds_and_dates(self, value: str, seconds: float) -> None:
        assert Retry().parse_retry_after(value) == seconds

    @pytest.mark.parametrize(
        "value",
        ["", " ", "-1", "+1", "1.5", "1e3", "0x10", "1_0", "\uff11", "\xb2", "soon", "inf", "2030-01-01",
         "Mon, 01 Jan 99999 00:00:00 GMT"],
    )  # fmt: skip
    def test_nonsense(self, value: str) -> None:
        with pytest.raises(InvalidHeader, match="Retry-After"):
            Retry().parse_retry_after(value)

    def test_the_longest_pause_can_be_set(self) -> None:
        assert Retry(retry_after_max=3).parse_retry_after("500") == 3
        assert Retry(retry_after_max=3).parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT") == 3

    def test_of_a_response(self) -> None:
        assert Retry().get_retry_after(Response(retry_after="5")) == 5  # type: ignore[arg-type]
        assert Retry().get_retry_after(Response()) is None  # type: ignore[arg-type]
        with pytest.raises(InvalidHeader):
            Retry().get_retry_after(Response(retry_after=""))  # type: ignore[arg-type]


class TestSleep:
    def test_as_long_as_the_server_says(self, pauses: list[float]) -> None:
        retry = Retry(backoff_factor=1, history=failed(2))
        retry.sleep(Response(retry_after="5"))  # type: ignore[arg-type]
        assert pauses == [5]

    @pytest.mark.parametrize("response", [None, Response(), Response(retry_after="0")])
    def test_or_else_as_long_as_the_backoff(self, pauses: list[float], response: Any) -> None:
        Retry(backoff_factor=1, history=failed(2)).sleep(response)
        assert pauses == [2]

    def test_the_server_can_be_ignored(self, pauses: list[float]) -> None:
        retry = Retry(respect_retry_after_header=False, backoff_factor=1, history=failed(2))
        retry.sleep(Response(retry_after="nonsense"))  # type: ignore[arg-type]
        assert pauses == [2]

    def test_or_not_at_all(self, pauses: list[float]) -> None:
        Retry().sleep()
        Retry(backoff_factor=1, history=failed(1)).sleep()
        assert pauses == []

    def test_nonsense_is_an_error(self, pauses: list[float]) -> None:
        with pytest.raises(InvalidHeader):
            Retry().sleep(Response(retry_after="nonsense"))  # type: ignore[arg-type]
        assert pauses == []

    def test_sleep_for_retry_tells_whether_it_slept(self, pauses: list[float]) -> None:
        assert Retry().sleep_for_retry(Response(retry_after="5")) is True  # type: ignore[arg-type]
        assert Retry().sleep_for_retry(Response()) is False  # type: ignore[arg-type]
        assert pauses == [5]

    def test_a_real_sequence(self, pauses: list[float]) -> None:
        retry = Retry(5, backoff_factor=0.5)
        for _ in range(5):
            retry = retry.increment("GET", "/", response=Response(503))  # type: ignore[arg-type]
            retry.sleep()
        assert pauses == [1, 2, 4, 8]
        assert all(later == 2 * earlier for earlier, later in pairwise(pauses))
