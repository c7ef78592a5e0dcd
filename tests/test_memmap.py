"""Data larger than memory: a read-only numpy.memmap is trained on where it lies, and never copied.

Memory is measured in a process of its own, `python test_memmap.py file view`, which may take a tenth of the
file: RLIMIT_DATA counts all memory but mapped files, and an allocation beyond it is a MemoryError.
"""
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROWS, COLUMNS = 40_000, 384     # 61 MB of float32
ROOM = 6 << 20                  # a tenth of it, and less than half of the smallest view in float32
VIEWS = {
    "whole": np.s_[:, :],
    "every other row": np.s_[::2, :],
    "columns": np.s_[:, 7:340],
    "backwards": np.s_[::-1, :],
    "every other row of some columns": np.s_[1::2, 3:],
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all allocations on Linux only")


@pytest.fixture(scope="module", params=["float32", "float64"])
def file(request, tmp_path_factory):
    """A large file of random numbers in either dtype."""
    path = tmp_path_factory.mktemp("memmap") / f"X.{request.param}"
    rows = ROWS if request.param == "float32" else ROWS // 2
    np.random.default_rng(0).random((rows, COLUMNS), dtype=request.param).tofile(path)
    yield path
    path.unlink()


def mapped(path):
    return np.memmap(path, path.suffix[1:], "r").reshape(-1, COLUMNS)


def use(X, dtype):
    """Everything that reads X; the numbers that came of it."""
    y = np.arange(len(X)) % 3
    net = fastbp.Network([X.shape[1], 16, 3], dtype=dtype, seed=0)
    history = net.fit(X, y, epochs=1, batch_size=256, optimizer=fastbp.SGD(0.1, momentum=0.9), n_threads=1,
                      validation_data=(X, y))
    loss = net.partial_fit(X[:300], y[:300], n_threads=1)
    scores = net.evaluate(X, y, n_threads=1)
    blocks = [*net.weights, *net.biases, net.forward(X, n_threads=1), net.predict(X, n_threads=1)]
    return [history.loss, history.val_loss, loss, scores, *(block.tobytes() for block in blocks)]


def limit_memory():
    """From now on this process may take ROOM bytes, besides files that it maps."""
    import resource
    taken = int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (taken + ROOM, resource.RLIM_INFINITY))


def use_in_little_memory(path, view):
    """Networks of both dtypes read a view of the file; False if this system does not keep the limit."""
    for dtype in ("float32", "float64"):
        use(np.zeros((600, COLUMNS)), dtype)  # takes what is taken once and for all
    X = mapped(Path(path))[VIEWS[view]]
    limit_memory()
    with contextlib.suppress(MemoryError):
        np.array(X)
        return False
    for dtype in ("float32", "float64"):
        use(X, dtype)
    return True


@linux
@pytest.mark.parametrize("view", VIEWS)
def test_a_mapped_file_is_used_without_a_copy(file, view):
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    done = subprocess.run([sys.executable, __file__, str(file), view], env=environment, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if done.stdout != "True\n":
        pytest.skip("this system does not keep RLIMIT_DATA")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_mapped_file_gives_the_bits_of_memory(file, view, dtype):
    X = mapped(file)[:5000][VIEWS[view]]
    assert not X.flags.writeable and not X.flags.owndata
    assert use(X, dtype) == use(np.array(X, order="C"), dtype)


if __name__ == "__main__":
    print(use_in_little_memory(*sys.argv[1:]))
