"""Arrays of every dtype in every memory layout, and the small networks that the tests of odd inputs give them to."""
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastbp

N, N_IN, N_OUT = 6, 19, 3           # 19: a full cache line of either dtype and a rest
PRECISIONS = ("float32", "float64")
DTYPES = ("f2", "f4", "f8", "g", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?",
          "F", "D", "O", "U8")      # the last four are refused


@functools.cache
def values(dtype, shape):
    """Numbers that the dtype holds, the same at every call; for text and objects, what looks like them."""
    rng = np.random.default_rng(0)
    whole = np.dtype(dtype).kind in "biu"
    x = rng.integers(0, 2 if dtype == "?" else 100, shape) if whole else rng.standard_normal(shape).round(3)
    x = np.asarray(x).astype(dtype)
    x.flags.writeable = False
    return x


def memory_mapped(a, path, mode):
    mapped = np.memmap(path, a.dtype, "w+", shape=a.shape)
    mapped[...] = a
    return mapped if mode == "r+" else np.memmap(path, a.dtype, mode, shape=a.shape)


def shifted(a, offset):
    """The array `offset` bytes into a buffer: unaligned for most dtypes."""
    buffer = bytearray(a.nbytes + 8)
    view = np.ndarray(a.shape, a.dtype, buffer, offset)
    view[...] = a
    return view


def field(a):
    """The array as a field of packed records: rows lie apart by no multiple of the item size."""
    records = np.zeros(len(a), [("before", "u1"), ("it", a.dtype, a.shape[1:]), ("after", "u1")])
    records["it"] = a
    return records["it"]


def layouts(a, directory):
    """Pairs of a name and an array so laid out."""
    locked = a.copy()
    locked.flags.writeable = False
    yield from {"C": a.copy(), "F": a.copy("F"), "rows backwards": a[::-1].copy()[::-1], "read-only": locked,
                "backwards": np.flip(np.flip(a).copy()), "every other row": np.repeat(a, 2, axis=0)[::2],
                "every other column": np.repeat(a, 2, axis=-1)[..., ::2], "field": field(a),
                "one row": np.broadcast_to(a[:1], a.shape),
                "one column": np.broadcast_to(a[..., :1], a.shape)}.items()
    if a.dtype != object:       # objects lie neither in files nor in bytes
        yield from ((f"memmap {mode}", memory_mapped(a, directory / mode, mode)) for mode in ("r", "r+"))
        yield from ((f"offset {offset}", shifted(a, offset)) for offset in range(1, 8))


def fingerprint(a):
    """The bytes of an array and of the memory that it is a view of."""
    whole = a
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return a.tobytes(), whole.tobytes()


def bits(results):
    """What can be compared, of arrays and numbers."""
    return [(x.dtype, x.shape, x.tobytes()) for x in map(np.asarray, results)]


def network(precision, loss="squared_error"):
    return fastbp.Network([N_IN, 5, N_OUT], activation="tanh", loss=loss, dtype=precision, seed=0)


def classifier(precision):
    return network(precision, "softmax_cross_entropy")


def fitted(net, X, y, **options):
    history = net.fit(X, y, epochs=2, batch_size=4, **options)
    return [*net.weights, *net.biases, history.loss, history.metric, history.val_loss, history.val_metric]


@dataclass(frozen=True)
class Reader:
    name: str                   #: as error messages start
    shape: tuple
    call: Callable
    any_rows: bool = False      #: takes any number of samples from 1 on
    no_rows: bool = False       #: takes no sample as well


X_SHAPE, Y_SHAPE, Y, ROWS = (N, N_IN), (N, N_OUT), values("f8", (N, N_OUT)), values("f8", (N, N_IN))


class Sparse:
    shape = X_SHAPE

    def toarray(self):
        raise AssertionError("a sparse matrix is never made dense in silence")
