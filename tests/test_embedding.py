"""Kernels for C and Cython: prototypes that never change, results equal to Python's, errors by a number."""

import ctypes
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import _capi
from fastbp._dispatch import core

HERE = Path(__file__).parent
HEADER = Path(fastbp.get_include()) / "fastbp.h"
DTYPES = {"f32": "float32", "f64": "float64"}
BAD_ARGUMENT, NO_ROOM, NOT_TRAINABLE, DIVERGED = -2, -3, -4, -5

LOCKED = dict(line.split(": ") for line in (HERE / "capi_signatures.txt").read_text().splitlines())

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def signatures():
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return {name: name_of(capsule).decode() for name, capsule in _capi.__pyx_capi__.items()}


def pointer(capsule, name):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name.encode())


def function(name):
    """A C function as Python can call it: an array for a pointer, None for NULL."""
    signature = signatures()[name]
    types = {"int": ctypes.c_int, "Py_ssize_t": ctypes.c_ssize_t, "double": ctypes.c_double,
             "PY_LONG_LONG": ctypes.c_longlong}
    parameters = re.fullmatch(r"int \((.*)\)", signature)[1].split(", ")
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, *(types.get(parameter, ctypes.c_void_p) for parameter in parameters))
    call = prototype(pointer(_capi.__pyx_capi__[name], signature))
    return lambda *args: call(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in args))


def handle_of(net, *args):
    """A pointer for C, and the capsule that keeps it good."""
    capsule = net.c_handle(*args)
    return pointer(capsule, "fastbp.network_f" + net.dtype.name[-2:]), capsule


def samples(dtype, n=20, n_in=7, n_classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_in)).astype(dtype), rng.integers(0, n_classes, n)


def network(dtype, **settings):
    return fastbp.Network([7, 9, 3], dtype=dtype, seed=0, **settings)


# --- What others compile against ------------------------------------------------------------------------------


def test_prototypes_are_locked():
    """A change breaks every package that was compiled before it: a new function gets a new name, and a new line."""
    assert signatures() == LOCKED


def test_kernels_hands_on_what_the_lock_has():
    declared = re.findall(r"cdef int (\w+)\(", (HEADER.parents[1] / "_capi.pxd").read_text())
    assert sorted(declared) == sorted(LOCKED)


def test_codes_of_the_header_are_the_core_s():
    names = re.findall(r"FASTBP_\w+", re.search(r"FASTBP_IDENTITY.*?}", HEADER.read_text(), re.DOTALL)[0])
    members = core("float32").Activation.__members__
    assert [(f"FASTBP_{name}", int(code)) for name, code in members.items()] == list(zip(names, range(len(names))))


# --- The kernels ----------------------------------------------------------------------------------------------


@every_dtype
def test_a_dense_layer_equals_python_s(dtype):
    X, _ = samples(DTYPES[dtype])
    rng = np.random.default_rng(1)
    W, b, da = (rng.normal(size=shape).astype(X.dtype) for shape in ((7, 5), 5, (20, 5)))
    z, a, dX, dW, db = (np.empty(shape, X.dtype) for shape in ((20, 5), (20, 5), (20, 7), (7, 5), 5))
    tanh = int(core(DTYPES[dtype]).Activation.TANH)
    assert function(f"fastbp_dense_forward_{dtype}")(X, 7, W, b, tanh, z, a, 20, 7, 5, 2) == 0
    assert function(f"fastbp_dense_backward_{dtype}")(X, 7, W, z, a, da, tanh, dX, dW, db, 20, 7, 5, 2) == 0
    np.testing.assert_array_equal(a, fastbp.dense_forward(X, W, b, "tanh"))
    for ours, theirs in zip((dX, dW, db), fastbp.dense_backward(X, W, da, "tanh", z)):
        np.testing.assert_array_equal(ours, theirs)


@every_dtype
def test_rows_may_be_apart_and_bias_and_z_be_left_out(dtype):
    wide = np.random.default_rng(0).normal(size=(6, 11)).astype(DTYPES[dtype])
    W, a = np.ones((4, 2), wide.dtype), np.empty((6, 2), wide.dtype)
    assert function(f"fastbp_dense_forward_{dtype}")(wide, 11, W, None, 0, None, a, 6, 4, 2, 1) == 0
    np.testing.assert_array_equal(a, fastbp.dense_forward(wide[:, :4], W, np.zeros(2)))


@every_dtype
def test_updates_equal_python_s(dtype):
    rng = np.random.default_rng(2)
    w, dw = rng.normal(size=(2, 37)).astype(DTYPES[dtype])
    ours, theirs, velocity, other = w.copy(), w.copy(), np.zeros_like(w), np.zeros_like(w)
    for _ in range(3):
        assert function(f"fastbp_sgd_update_{dtype}")(ours, dw, velocity, 37, 0.1, 0.9, 1, 0.01, 0.02) == 0
        fastbp.sgd_update(theirs, dw, other, learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, l2=0.02)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(velocity, other)


@every_dtype
def test_adam_update_is_adam_s(dtype):
    rng = np.random.default_rng(3)
    w, dw = rng.normal(size=(2, 37)).astype(DTYPES[dtype])
    ours, m, v = w.copy(), np.zeros_like(w), np.zeros_like(w)
    slots, theirs = np.zeros((3, 37), w.dtype), w.copy()
    rule = fastbp.Adam(0.01, l2=0.1).update()
    for t in (1, 2, 3):
        assert function(f"fastbp_adam_update_{dtype}")(ours, dw, m, v, 37, t, 0.01, 0.9, 0.999, 1e-8, 0.0, 0.1) == 0
        core(DTYPES[dtype]).update(rule, t, theirs, dw, slots)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("change", [{"activation": 99}, {"n_threads": 0}, {"n_in": 0}, {"ldx": 6}, {"X": None}, {"a": None}])
def test_a_layer_that_cannot_be_is_refused(change):
    X, _ = samples("float32")
    given = {"X": X, "ldx": 7, "W": np.zeros((7, 5), "float32"), "b": None, "activation": 1, "z": None,
             "a": np.zeros((20, 5), "float32"), "n_samples": 20, "n_in": 7, "n_out": 5, "n_threads": 1}
    assert function("fastbp_dense_forward_f32")(*given.values()) == 0
    assert function("fastbp_dense_forward_f32")(*(given | change).values()) == BAD_ARGUMENT


# --- Networks -------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("optimizer", [fastbp.SGD(0.1, momentum=0.9), fastbp.Adam(0.1, clip_norm=0.1)], ids=["momentum", "adam"])
def test_steps_equal_python_s(dtype, optimizer):
    X, y = samples(DTYPES[dtype])
    ours, theirs, loss = network(DTYPES[dtype]), network(DTYPES[dtype]), ctypes.c_double()
    handle, capsule = handle_of(ours, optimizer, 20)
    for _ in range(4):
        status = function(f"fastbp_step_{dtype}")(handle, X, 7, y, None, 20, 0.1, 2, ctypes.byref(loss))
        assert (status, loss.value) == (0, theirs.partial_fit(X, y, optimizer))
    for w, v in zip(ours.weights + ours.biases, theirs.weights + theirs.biases):
        np.testing.assert_array_equal(w, v)
    assert ours.partial_fit(X, y, optimizer) == theirs.partial_fit(X, y, optimizer)     # and Python goes on from there


@every_dtype
def test_values_and_predictions(dtype):
    X, _ = samples(DTYPES[dtype])
    y, raw, loss = np.random.default_rng(4).normal(size=(20, 3)).astype(X.dtype), np.empty((20, 3), X.dtype), ctypes.c_double()
    net, other = (network(DTYPES[dtype], loss="squared_error") for _ in range(2))
    handle, capsule = handle_of(net, fastbp.SGD(0.1), 20)
    assert function(f"fastbp_step_{dtype}")(handle, X, 7, None, y, 20, 0.1, 1, ctypes.byref(loss)) == 0
    other.partial_fit(X, y, fastbp.SGD(0.1))
    assert function(f"fastbp_predict_{dtype}")(handle, X, 7, raw, 20, 2) == 0
    np.testing.assert_array_equal(raw, other.forward(X))


def test_a_handle_outlives_its_network():
    X, y = samples("float32")
    net = network("float32")
    expected, raw = net.forward(X), np.empty((20, 3), "float32")
    handle, capsule = handle_of(net)
    del net
    assert function("fastbp_predict_f32")(handle, X, 7, raw, 20, 1) == 0
    np.testing.assert_array_equal(raw, expected)


def test_dropout_draws_anew_at_every_step():
    X, y = samples("float32")
    net, loss, losses = network("float32", input_dropout=0.5), ctypes.c_double(), set()
    handle, capsule = handle_of(net, fastbp.SGD(0.1), 20)
    for _ in range(3):
        function("fastbp_step_f32")(handle, X, 7, y, None, 20, 1e-30, 1, ctypes.byref(loss))    # a rate that changes nothing
        losses.add(loss.value)
    assert len(losses) == 3


def step(handle, X, y, values=None, n=20, ldx=7, rate=0.1, n_threads=1):
    return function("fastbp_step_f32")(handle, X, ldx, y, values, n, rate, n_threads, ctypes.byref(ctypes.c_double()))


def test_what_a_step_refuses():
    X, y = samples("float32")
    net = network("float32")
    before = net.weights
    handle, capsule = handle_of(net, fastbp.SGD(0.1, momentum=0.9), 20)
    for refused in (step(handle, X, y, ldx=6), step(handle, X, y, n=0), step(handle, X, y, n_threads=0),
                    step(handle, X, y, rate=0.0), step(handle, X, y, rate=float("nan")), step(handle, X, None),
                    step(handle, X, None, X), step(handle, X, y + 1), step(handle, X, y - 1)):
        assert refused == BAD_ARGUMENT
    assert step(handle, np.tile(X, (2, 1)), np.tile(y, 2), n=21) == NO_ROOM
    bare, its_capsule = handle_of(net)
    assert step(bare, X, y) == NOT_TRAINABLE
    for w, v in zip(net.weights, before):
        np.testing.assert_array_equal(w, v)


def test_a_handle_whose_slots_are_gone_does_not_train():
    X, y = samples("float32")
    net = network("float32")
    handle, capsule = handle_of(net, fastbp.Adam(0.01), 20)
    assert step(handle, X, y) == 0
    net.partial_fit(X, y, fastbp.SGD(0.1, momentum=0.9))
    assert step(handle, X, y) == NOT_TRAINABLE
    net.fit(np.tile(X, (20, 1)), np.tile(y, 20), epochs=1, batch_size=100, optimizer=fastbp.Adam(0.01))
    assert step(handle, X, y) == 0                  # the room has moved, the handle knows


def test_a_step_whose_loss_is_not_finite_is_not_taken():
    X, y = samples("float32")
    net, loss = network("float32"), ctypes.c_double(0.0)
    before = net.weights
    handle, capsule = handle_of(net, fastbp.SGD(0.1), 20)
    X[3, 3] = np.nan
    assert function("fastbp_step_f32")(handle, X, 7, y, None, 20, 0.1, 1, ctypes.byref(loss)) == DIVERGED
    assert np.isnan(loss.value)
    for w, v in zip(net.weights, before):
        np.testing.assert_array_equal(w, v)


@pytest.mark.parametrize("optimizer, batch_size, says", [
    (fastbp.SGD(0.1), None, "batch_size must be given"), (None, 5, "batch_size must be left out"),
    (fastbp.LBFGS(), 5, "optimizer must take steps"), (fastbp.SGD(0.1, average=0.9), 5, "keep no average"),
    (fastbp.SGD(0.1), 0, "batch_size must be")])
def test_handles_that_cannot_be(optimizer, batch_size, says):
    with pytest.raises(ValueError, match=says):
        network("float32").c_handle(optimizer, batch_size)


def test_a_loss_of_one_s_own_has_no_handle():
    net = fastbp.Network([7, 3], loss=lambda raw, y: (0.0, raw), seed=0)
    with pytest.raises(ValueError, match="loss of your own"):
        net.c_handle()


# --- A package of others --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """examples/embed_cython, built against the fastbp that runs, and imported."""
    pytest.importorskip("Cython")
    if shutil.which((sysconfig.get_config_var("CC") or "cl").split()[0]) is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("embed")
    source = shutil.copytree(HERE.parent / "examples" / "embed_cython", folder / "source")
    path = os.pathsep.join(p for p in sys.path if p)        # where this process found fastbp
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(folder)], cwd=source, check=True,
                   env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("online"), importlib.import_module("table")
    sys.path.remove(str(folder))


def test_a_cython_package_trains_and_predicts(consumer):
    online, _ = consumer
    X, y = samples("float32")
    ours, theirs, raw = network("float32"), network("float32"), np.empty((20, 3), "float32")
    handle = ours.c_handle(fastbp.SGD(0.1), 8)
    status, loss = online.train(handle, X, y, 8, 0.1)
    for first in (0, 8, 16):
        expected = theirs.partial_fit(X[first:first + 8], y[first:first + 8], fastbp.SGD(0.1))
    assert (status, loss) == (0, expected)
    assert online.predict(handle, X, raw) == 0
    np.testing.assert_array_equal(raw, theirs.forward(X))


def test_a_cython_package_calls_a_kernel(consumer):
    online, _ = consumer
    X, _ = samples("float32")
    W, b, a = np.ones((7, 2), "float32"), np.ones(2, "float32"), np.empty((20, 2), "float32")
    assert online.dense(X, W, b, 1, a) == 0
    np.testing.assert_array_equal(a, fastbp.dense_forward(X, W, b, "relu"))


def test_a_c_module_finds_the_table(consumer):
    _, table = consumer
    w = np.ones(5)
    assert table.sgd(w, np.full(5, 2.0), 0.25) == 0
    np.testing.assert_array_equal(w, np.full(5, 0.5))
