"""Bytes as a file that nobody else can read: where it is, who may read it, and that nothing of it stays."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirepool import _private_file
from wirepool._private_file import private_file

SECRET = b"-----BEGIN PRIVATE KEY-----\n" * 100

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")


@pytest.fixture(params=["as the system has it", "on disk"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; in the second case as on a system without files in memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "on disk":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    yield tmp_path
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"x", SECRET, b"\0\xff" * 100_000], ids=["empty", "short", "key", "long"])
def test_the_content_is_there_while_the_block_runs(no_leaks: None, directory: Path, content: bytes) -> None:
    with private_file(content) as path:
        assert Path(path).read_bytes() == content
        assert Path(path).read_bytes() == content
    if path.startswith(str(directory)):
        assert not os.path.exists(path)


def test_it_goes_away_with_an_error(no_leaks: None, directory: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_file(SECRET):
        raise KeyboardInterrupt


def test_several_at_a_time(no_leaks: None, directory: Path) -> None:
    barrier = threading.Barrier(4)
    seen: list[bool] = []

    def work(number: int) -> None:
        content = b"%d" % number * 1000
        with private_file(content) as path:
            barrier.wait(5)
            seen.append(Path(path).read_bytes() == content)
            barrier.wait(5)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert seen == [True] * 4


@linux
def test_on_linux_no_disk_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_file(SECRET) as path:
        assert os.listdir(tmp_path) == []
        assert "memfd" in os.readlink(path)
        assert not os.get_inheritable(int(path.rpartition("/")[2]))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_on_disk_only_the_owner_may_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    before = os.umask(0)
    try:
        with private_file(SECRET) as path:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert Path(path).parent == tmp_path
    finally:
        os.umask(before)


def test_on_disk_it_is_overwritten_before_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    left: list[bytes] = []
    unlink = os.unlink

    def note(path: str) -> None:
        left.append(Path(path).read_bytes())
        unlink(path)

    monkeypatch.setattr(_private_file.os, "unlink", note)
    with private_file(SECRET):
        pass
    assert left == [bytes(len(SECRET))]


def test_on_disk_somebody_else_may_have_removed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with private_file(SECRET) as path:
        os.unlink(path)
    assert os.listdir(tmp_path) == []


def test_on_disk_it_is_removed_even_if_it_cannot_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delattr(os, "memfd_create", raising=False)

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_private_file, "open", fail, raising=False)
    with pytest.raises(PermissionError), private_file(SECRET):
        pass
    assert os.listdir(tmp_path) == []


@linux
def test_without_proc_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    with private_file(SECRET) as path:
        assert path.startswith(str(tmp_path))


@linux
def test_short_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(_private_file.os, "write", lambda fd, data: write(fd, data[:7]))
    with private_file(SECRET) as path:
        monkeypatch.undo()
        assert Path(path).read_bytes() == SECRET


def test_a_write_that_fails(no_leaks: None, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_private_file.os, "write", fail)
    with pytest.raises(OSError, match="No space left"), private_file(SECRET):
        raise AssertionError("the block must not run")
