"""Files, opened without surprises and replaced without a moment in which there is no whole one.

A path may lead to a pipe, a device or a directory, a disk may be full, and a process may die between any two
calls: this room is where that is thought of.
"""
import contextlib
import errno
import os
import stat
import zlib

from fastbp.errors import FormatError

# O_NONBLOCK: opening a pipe must not wait for its other end. Windows lacks the first two, POSIX the third.
_READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def open_regular(path):
    """Open a regular file, unbuffered; fail on anything else at once, without waiting for data."""
    descriptor = os.open(path, _READ_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FormatError(f"{path!r}: not a regular file")
        return open(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def replace_file(path, chunks, keep=None):
    """Put a file of these bytes in the place of `path`: a crash leaves either the old one or the new.

    With `keep`, a path beside it, the file that was there is found under that name afterwards; after a crash between two
    calls of the system, perhaps under that name alone.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, "No such directory to save into", directory)
    mode = _mode_of(path)
    temporary = os.path.join(directory, f"{_temporary_prefix(path)}{os.urandom(8).hex()}.tmp")
    # Never open to more users than the file it replaces; where there is none, the umask decides.
    descriptor = os.open(temporary, _CREATE_FLAGS, 0o666 if mode is None else mode)
    try:
        try:
            for chunk in chunks:
                _write_all(descriptor, chunk)
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if keep is not None and mode is not None:
            os.replace(path, keep)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def remove_temporaries(path):
    """Remove what processes that were killed while they wrote `path` have left beside it."""
    directory, prefix = os.path.dirname(path), _temporary_prefix(path)
    for name in os.listdir(directory):
        if name.startswith(prefix) and name.endswith(".tmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))


def _temporary_prefix(path):
    """Of the temporary files for a path; short, whatever the path is."""
    return f".fastbp-{zlib.crc32(os.fsencode(os.path.basename(path))):08x}-"


def _mode_of(path):
    """Return the permissions of the file at `path`, None if there is none; refuse anything but a file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        reason = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(reason, "Not a regular file that could be replaced", path)
    return stat.S_IMODE(mode)


def _write_all(descriptor, chunk):
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def _sync_directory(directory):
    """Make the replacement outlast a power failure, where there is a way: Windows has none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the answer of some network file systems, which sync no directory
            raise
    finally:
        os.close(descriptor)
