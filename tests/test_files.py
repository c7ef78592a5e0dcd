"""Writing a model replaces a file in one step: whatever fails, there is a whole file, old or new."""
import contextlib
import errno
import os
import stat

import numpy as np
import pytest

from fastbp import persistence

TENSORS = {"W": np.float32([[1, 2], [3, 4]]), "b": np.float32([0.5, -1])}
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and special files")


def write(path):
    persistence.write(path, TENSORS, {"name": "x"})
    return path.read_bytes()


@contextlib.contextmanager
def failing(name, nth, replaced):
    """Let the nth call (from 0) of a function of `os` fail, and note whether the replacement took place."""
    real, real_replace, calls = getattr(os, name), os.replace, iter(range(10**6))

    def maybe_fail(*args, **kwargs):
        number = next(calls)
        if name == "close" or number != nth:  # a close that fails has closed the file all the same
            result = real(*args, **kwargs)
        if number == nth:
            raise OSError(errno.ENOSPC, "injected")
        return result

    def replace(*args):
        real_replace(*args)
        replaced.append(args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(os, name, maybe_fail)
        yield


@pytest.mark.parametrize("name", ["open", "write", "chmod", "fsync", "close", "replace"])
def test_a_failed_write_loses_nothing(tmp_path, name):
    new = write(tmp_path / "new")
    for nth in range(100):
        (tmp_path / "m").write_bytes(b"old")
        replaced = []
        try:
            with failing(name, nth, replaced):
                write(tmp_path / "m")
            break  # there is no nth call
        except OSError as error:
            assert error.strerror == "injected"
        assert (tmp_path / "m").read_bytes() == (new if replaced else b"old")
        assert sorted(os.listdir(tmp_path)) == ["m", "new"]
    assert nth > 0 and (tmp_path / "m").read_bytes() == new


def test_an_interrupted_write_cleans_up(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "m")
    assert not any(tmp_path.iterdir())


def test_nothing_is_replaced_before_all_of_it_is_on_the_disk(tmp_path, monkeypatch):
    events, real_fsync, real_replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(os.fstat(fd).st_size), real_fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *args: (events.append("replace"), real_replace(*args)))
    size = len(write(tmp_path / "m"))
    assert events[:2] == [size, "replace"]
    assert len(events) == (3 if hasattr(os, "O_DIRECTORY") else 2)  # the third makes the new name durable


def test_short_writes_are_continued(tmp_path, monkeypatch):
    whole = write(tmp_path / "m")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    assert write(tmp_path / "m") == whole


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o640, 0o777])
def test_permissions_are_kept(tmp_path, mode):
    (tmp_path / "m").write_bytes(b"old")
    (tmp_path / "m").chmod(mode)
    write(tmp_path / "m")
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == mode


@posix_only
def test_a_new_file_gets_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "m")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o640


@posix_only
def test_a_link_is_followed_to_read_and_to_write(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/m")
    data = write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "m").read_bytes() == data
    assert persistence.read(tmp_path / "link")[0].keys() == TENSORS.keys()


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such directory") as caught:
        write(tmp_path / "missing" / "m")
    assert caught.value.filename == os.path.realpath(tmp_path / "missing")


def test_a_directory_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError):
        write(tmp_path)
    assert not any(tmp_path.iterdir())


@posix_only
def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        write(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and len(os.listdir(tmp_path)) == 1
