"""Header sets, and bodies: how they are cut up, and how they are sent a second time."""

from __future__ import annotations

import array
import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wirepool.exceptions import UnrewindableBodyError
from wirepool.util import request
from wirepool.util.request import (
    _FAILEDTELL,
    SKIP_HEADER,
    SKIPPABLE_HEADERS,
    _is_sent_once,
    body_to_chunks,
    make_headers,
    rewind_body,
    set_file_position,
)


def test_skipping_headers() -> None:
    assert SKIP_HEADER == "@@@SKIP_HEADER@@@"
    assert {"accept-encoding", "host", "user-agent"} == SKIPPABLE_HEADERS


class TestMakeHeaders:
    def test_nothing_asked_nothing_given(self) -> None:
        assert make_headers() == {}

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"keep_alive": True}, {"connection": "keep-alive"}),
            ({"keep_alive": False}, {}),
            ({"accept_encoding": "br;q=0.5"}, {"accept-encoding": "br;q=0.5"}),
            ({"accept_encoding": ["gzip", "br"]}, {"accept-encoding": "gzip,br"}),
            ({"accept_encoding": False}, {}),
            ({"accept_encoding": []}, {}),
            ({"user_agent": "batch/1"}, {"user-agent": "batch/1"}),
            ({"user_agent": ""}, {}),
            ({"basic_auth": "joe:secret"}, {"authorization": "Basic am9lOnNlY3JldA=="}),
            ({"basic_auth": "j\xf6:s"}, {"authorization": "Basic avY6cw=="}),
            ({"basic_auth": "j\xf6:s", "basic_auth_encoding": "utf-8"}, {"authorization": "Basic asO2OnM="}),
            ({"proxy_basic_auth": "joe:secret"}, {"proxy-authorization": "Basic am9lOnNlY3JldA=="}),
            (
                {"proxy_basic_auth": "j\xf6:s", "proxy_basic_auth_encoding": "utf-8"},
                {"proxy-authorization": "Basic asO2OnM="},
            ),
            ({"disable_cache": True}, {"cache-control": "no-cache"}),
        ],
    )
    def test_one_at_a_time(self, arguments: dict[str, Any], expected: dict[str, str]) -> None:
        assert make_headers(**arguments) == expected

    def test_long_credentials_stay_on_one_line(self) -> None:
        assert "\n" not in make_headers(basic_auth="x" * 300)["authorization"]

    def test_credentials_must_fit_their_encoding(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            make_headers(basic_auth="\u65e5:x")

    def test_all_codings_that_can_be_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(vars(request), "ACCEPT_ENCODING", "gzip,own")
        assert make_headers(accept_encoding=True) == {"accept-encoding": "gzip,own"}


class TestAcceptEncoding:
    @pytest.fixture(autouse=True)
    def not_known_yet(self) -> Iterator[None]:
        known = vars(request).pop("ACCEPT_ENCODING", None)
        yield
        vars(request).pop("ACCEPT_ENCODING", None)
        if known is not None:
            vars(request)["ACCEPT_ENCODING"] = known

    @pytest.fixture
    def importable(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The modules that can be imported, in a list that a test may fill."""
        modules: list[str] = []

        def import_module(name: str) -> None:
            if name not in modules:
                raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", import_module)
        return modules

    @pytest.mark.parametrize(
        ("modules", "expected"),
        [
            ([], "gzip,deflate"),
            (["brotli"], "gzip,deflate,br"),
            (["brotlicffi"], "gzip,deflate,br"),
            (["compression.zstd"], "gzip,deflate,zstd"),
            (["backports.zstd", "brotli"], "gzip,deflate,br,zstd"),
        ],
    )
    def test_it_depends_on_what_is_installed(self, importable: list[str], modules: list[str], expected: str) -> None:
        importable += modules
        assert expected == request.ACCEPT_ENCODING

    def test_it_is_found_out_once(self, importable: list[str]) -> None:
        before = make_headers(accept_encoding=True)
        importable.append("brotli")
        assert make_headers(accept_encoding=True) == before == {"accept-encoding": request.ACCEPT_ENCODING}

    def test_a_name_that_does_not_exist(self) -> None:
        with pytest.raises(AttributeError, match="no_such_name"):
            request.no_such_name  # noqa: B018


class Unseekable:
    def tell(self) -> int:
        return 5


class Untellable:
    def tell(self) -> int:
        raise OSError("a pipe")

    def seek(self, position: int) -> None:
        pass


class Stuck(Unseekable):
    def seek(self, position: int) -> None:
        raise OSError("the tape is torn")


class TestPositions:
    def test_the_start_is_where_the_file_stands(self) -> None:
        body = io.BytesIO(b"abc")
        body.read(1)
        assert set_file_position(body, None) == 1

    @pytest.mark.parametrize("body", [None, b"x", "x", iter([b"x"]), object()])
    def test_bodies_without_position(self, body: Any) -> None:
        assert set_file_position(body, None) is None

    def test_a_failing_tell_is_remembered(self) -> None:
        assert set_file_position(Untellable(), None) is _FAILEDTELL

    def test_a_given_position_is_restored(self) -> None:
        body = io.BytesIO(b"abc")
        body.read()
        assert set_file_position(body, 1) == 1
        assert body.read() == b"bc"

    def test_rewinding(self) -> None:
        body = io.BytesIO(b"abc")
        body.read()
        rewind_body(body, 0)
        assert body.tell() == 0

    @pytest.mark.parametrize("body", [io.BytesIO(), Untellable(), None])
    def test_no_position_was_recorded(self, body: Any) -> None:
        with pytest.raises(UnrewindableBodyError, match="could not be recorded"):
            set_file_position(body, _FAILEDTELL)

    @pytest.mark.parametrize("body", [Unseekable(), None, b"x", iter([b"x"])])
    def test_bodies_without_seek(self, body: Any) -> None:
        with pytest.raises(UnrewindableBodyError, match="does not implement seek"):
            rewind_body(body, 0)

    def test_a_failing_seek(self) -> None:
        with pytest.raises(UnrewindableBodyError, match="rewinding it failed") as info:
            rewind_body(Stuck(), 0)  # type: ignore[arg-type]
        assert str(info.value.__cause__) == "the tape is torn"

    @pytest.mark.parametrize("position", [None, "0", 1.5])
    def test_what_is_no_position(self, position: Any) -> None:
        with pytest.raises(ValueError, match="integer"):
            rewind_body(io.BytesIO(), position)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, False),
        ("x", False),
        (b"x", False),
        (bytearray(b"x"), False),
        ([b"x"], False),
        ({"x": 1}, False),
        (io.BytesIO(), False),
        (iter([b"x"]), True),
        ((b"x" for _ in range(1)), True),
        (map(str, [1]), True),
        (type("Reader", (), {"read": lambda self, size: b""})(), True),
    ],
)
def test_bodies_that_sending_uses_up(body: Any, expected: bool) -> None:
    assert _is_sent_once(body) is expected


class Reader:
    """A file that gives what it was told to."""

    def __init__(self, *blocks: Any) -> None:
        self.blocks = list(blocks)
        self.sizes: list[int] = []

    def read(self, size: int) -> Any:
        self.sizes.append(size)
        return self.blocks.pop(0) if self.blocks else b""


class Sequence:
    """Iterable by the old protocol."""

    def __getitem__(self, index: int) -> bytes:
        if index > 1:
            raise IndexError
        return b"x"


def pieces(body: Any, blocksize: int = 4) -> list[Any]:
    chunks, length = body_to_chunks(body, "POST", blocksize)
    assert length is None
    assert chunks is not None
    return list(chunks)


class TestBodyToChunks:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT", "get"])
    def test_no_body_where_none_is_expected(self, method: str) -> None:
        assert body_to_chunks(None, method, 4) == (None, None)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "put", "FROBNICATE", ""])
    def test_no_body_where_one_is_expected(self, method: str) -> None:
        assert body_to_chunks(None, method, 4) == (None, 0)

    def test_fields_have_names(self) -> None:
        result = body_to_chunks(b"abc", "POST", 4)
        assert (result.chunks, result.content_length) == ((b"abc",), 3)

    @pytest.mark.parametrize(
        ("body", "data"), [(b"", b""), (b"abcdefgh", b"abcdefgh"), ("", b""), ("\xe9", b"\xc3\xa9")]
    )
    def test_text_and_bytes(self, body: str | bytes, data: bytes) -> None:
        assert body_to_chunks(body, "POST", 4) == ((data,), len(data))

    @pytest.mark.parametrize(
        ("body", "length"),
        [(bytearray(b"abc"), 3), (memoryview(b"abcd")[1:], 3), (array.array("H", [1, 2, 3]), 6)],
    )
    def test_the_buffers_of_others_are_measured_in_bytes(self, body: Any, length: int) -> None:
        chunks, measured = body_to_chunks(body, "POST", 4)
        assert isinstance(chunks, tuple)
        assert chunks[0] is body
        assert measured == length

    def test_files_are_read_in_blocks(self) -> None:
        reader = Reader(b"abcd", b"ef")
        assert pieces(reader, 4) == [b"abcd", b"ef"]
        assert reader.sizes == [4, 4, 4]

    def test_files_are_read_late(self) -> None:
        reader = Reader(b"abcd")
        body_to_chunks(reader, "POST", 4)
        assert reader.sizes == []

    @pytest.mark.parametrize("end", [b"", "", None])
    def test_the_end_of_a_file(self, end: object) -> None:
        assert pieces(Reader(b"a", end)) == [b"a"]

    def test_files_are_sent_from_where_they_stand(self) -> None:
        body = io.BytesIO(b"abcdef")
        body.read(2)
        assert pieces(body) == [b"cdef"]

    def test_text_files_are_sent_as_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "latin"
        path.write_text("\xe9\xe8", encoding="latin-1")
        with path.open(encoding="latin-1") as body:
            assert pieces(body) == [b"\xc3\xa9\xc3\xa8"]
        assert pieces(io.StringIO("\xe9abcd"), 4) == [b"\xc3\xa9abc", b"d"]

    def test_a_file_is_not_taken_for_a_buffer(self, tmp_path: Path) -> None:
        import mmap

        path = tmp_path / "mapped"
        path.write_bytes(b"abcdef")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            assert pieces(body) == [b"abcd", b"ef"]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ([], []),
            ([b"a", "b", b""], [b"a", "b", b""]),
            ((b"a",), [b"a"]),
            ({"a": 1}, ["a"]),
            (Sequence(), [b"x", b"x"]),
            (map(str, [1, 2]), ["1", "2"]),
        ],
    )
    def test_iterables(self, body: Any, expected: list[Any]) -> None:
        assert pieces(body) == expected

    @pytest.mark.parametrize("body", [5, 1.5, True, object()])
    def test_anything_else_is_refused(self, body: Any) -> None:
        with pytest.raises(TypeError, match="iterable"):
            body_to_chunks(body, "POST", 4)


def generator() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


class TestGenerators:
    def test_a_fresh_one(self) -> None:
        assert pieces(generator()) == [b"a", b"b"]

    def test_one_that_was_peeked_into(self) -> None:
        body = generator()
        next(body)
        assert pieces(body) == [b"b"]

    def test_one_that_is_over_is_not_sent_as_an_empty_body(self) -> None:
        body = generator()
        list(body)
        with pytest.raises(UnrewindableBodyError, match="already been consumed"):
            body_to_chunks(body, "POST", 4)


def test_importing_does_not_import_decoders() -> None:
    import subprocess

    decoders = "{'brotli', 'brotlicffi', 'backports.zstd'}"
    script = f"import sys, wirepool.util.request; print(sorted({decoders} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout.strip() == "[]"
