"""Arrays of other libraries, in and out without a copy: by DLPack, by the buffer protocol, PyTorch's, pyarrow's."""
import array
import tracemalloc

import numpy as np
import pytest

import fastbp
from fastbp import _validate

N, N_IN, N_OUT = 4000, 64, 3
RNG = np.random.default_rng(0)


class Lender:
    """An object that speaks DLPack and nothing else."""

    def __init__(self, a, device=(1, 0)):
        self.a, self.device = a, device

    def __dlpack__(self, **options):
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def torch_tensor(a):
    return pytest.importorskip("torch").from_numpy(a)


def pyarrow_tensor(a):
    return pytest.importorskip("pyarrow").Tensor.from_numpy(a)


LENDERS = {"dlpack": Lender, "memoryview": memoryview, "torch": torch_tensor, "pyarrow": pyarrow_tensor}
every_lender = pytest.mark.parametrize("lend", LENDERS.values(), ids=LENDERS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def numbers(*shape, dtype="float32"):
    return RNG.uniform(-1, 1, shape).astype(dtype)


X, Y, LABELS = numbers(N, N_IN), numbers(N, N_OUT), RNG.integers(N_OUT, size=N)
W, B, VELOCITY = numbers(N_IN, N_OUT), numbers(N_OUT), numbers(N_IN, N_OUT)


def network(loss="softmax_cross_entropy", n_out=N_OUT):
    return fastbp.Network([N_IN, n_out], loss=loss, seed=0)


def trained(method, *arguments, **options):
    net = network()
    getattr(net, method)(*arguments, **options)
    return net.weights


def with_parameters(W, b):
    net = network()
    net.set_parameters([W], [b])
    return net.weights + net.biases


#: Room for results as large as X, so that no call needs any of its own.
DX, DW, DB = np.empty_like(X), np.empty_like(W), np.empty_like(B)

#: What takes arrays: a function of those, and the arrays.
READERS = {
    "fit": (lambda X, y, w: trained("fit", X, y, epochs=1, sample_weight=w), X, LABELS, np.ones(N)),
    "fit with validation": (lambda X, y: trained("fit", X, y, epochs=1, validation_data=(X, y)), X, LABELS),
    "fit on chunks": (lambda X, y: trained("fit", [(X, y)], epochs=1), X, LABELS),
    "partial_fit": (lambda X, y: trained("partial_fit", X, y), X, LABELS),
    "forward": (lambda X: network().forward(X), X),
    "predict": (lambda X: network().predict(X), X),
    "predict_proba": (lambda X: network().predict_proba(X), X),
    "evaluate": (lambda X, y: network().evaluate(X, y), X, LABELS),
    "evaluate values": (lambda X, y: network("squared_error").evaluate(X, y), X, Y),
    "loss_and_gradient": (lambda X, y: network().loss_and_gradient(X, y)[1], X, LABELS),
    "input_gradient": (lambda X, y: network().input_gradient(X, y, out=DX), X, LABELS),
    "jacobian": (lambda X: network().jacobian(X), X[:9]),
    "set_parameters": (with_parameters, W, B),
    "dense_forward": (lambda X, W, b: fastbp.dense_forward(X, W, b, "tanh"), X, W, B),
    "dense_backward": (lambda X, W, da, z: fastbp.dense_backward(X, W, da, "tanh", z, out=(DX, DW, DB)), X, W, Y, Y),
    "sgd_update": (lambda dw: fastbp.sgd_update(np.ones_like(W), dw), W),
}
every_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def bits(result):
    return [np.asarray(part).tobytes() for part in (result if isinstance(result, (tuple, list)) else [result])]


# In ---------------------------------------------------------------------------------------------------------


@every_reader
@every_lender
def test_whoever_lends_the_memory_the_bits_are_the_same(reader, lend):
    call, *arrays = reader
    assert bits(call(*map(lend, arrays))) == bits(call(*arrays))


@every_lender
@every_dtype
def test_an_array_is_read_where_it_stands(lend, dtype):
    a = numbers(7, 5, dtype=dtype)
    for read in (_validate.rows("X", lend(a), 5, "float32"), _validate.matrix("W", lend(a), (7, 5), dtype)):
        assert read.ctypes.data == a.ctypes.data and read.dtype == dtype and read.shape == a.shape
    labels = np.arange(7)
    assert np.shares_memory(_validate.array("y", lend(labels)), labels)


@pytest.mark.parametrize("reader", [pytest.param(it, id=name) for name, it in READERS.items() if it[1] is X])
@every_lender
def test_no_call_takes_the_memory_of_another_x(reader, lend):
    call, *arrays = reader
    lent = [lend(a) for a in arrays]
    call(*lent)                                         # what is imported once is imported now
    tracemalloc.start()
    try:
        call(*lent)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes / 2
    finally:
        tracemalloc.stop()


def test_rows_of_a_tensor_may_lie_apart():
    tensor = torch_tensor(X)[::2, 3:]
    read = _validate.rows("X", tensor, N_IN - 3, "float32")
    assert read.ctypes.data == tensor.data_ptr() and read.strides == (2 * N_IN * 4, 4)


def test_columns_of_arrow_are_targets():
    pyarrow = pytest.importorskip("pyarrow")
    assert bits(trained("fit", X, pyarrow.array(LABELS), epochs=1)) == bits(trained("fit", X, LABELS, epochs=1))
    values = pyarrow.array(Y[:, 0])
    assert _validate.array("y", values).ctypes.data == values.buffers()[1].address


def test_a_typed_buffer_is_one_column():
    labels = array.array("q", LABELS)
    assert bits(trained("fit", X, labels, epochs=1)) == bits(trained("fit", X, LABELS, epochs=1))


# Not in -----------------------------------------------------------------------------------------------------


class WithGradient(Lender):
    requires_grad = True


def test_a_tensor_in_a_graph_is_refused():
    for tensor in (WithGradient(X), torch_tensor(X.copy()).requires_grad_()):
        for call in (network().forward, lambda x: network().forward(X, out=x)):
            with pytest.raises(TypeError, match="must not require a gradient, since .* detach"):
                call(tensor)


def test_memory_of_another_device_is_refused():
    with pytest.raises(TypeError, match="^X must be in the CPU's memory, not on .*; copy it there first"):
        network().forward(Lender(X, device=(2, 0)))
    with pytest.raises(TypeError, match="^out must be in the CPU's memory"):
        network().forward(X, out=Lender(X, device=(2, 0)))


def test_a_tensor_without_memory_is_refused():
    with pytest.raises(TypeError, match="^X cannot be made an array: .*meta"):
        network().forward(torch_tensor(X).to("meta"))


def test_nulls_are_refused():
    pyarrow = pytest.importorskip("pyarrow")
    for column in (pyarrow.array([0, None, 2, None]), pyarrow.chunked_array([[0, None], [2, None]])):
        with pytest.raises(TypeError, match="^y must have no nulls, not 2; fill or drop them first"):
            network().evaluate(X[:4], column)


# Out --------------------------------------------------------------------------------------------------------


def writable(lend, a):
    """What is lent to be written into; NumPy before 2.1 takes DLPack's memory for read-only."""
    lent = lend(a)
    if hasattr(lent, "__dlpack__") and not np.from_dlpack(lent).flags.writeable:
        pytest.skip("this NumPy or that library says by DLPack that memory is read-only")
    return lent


#: What writes: a function of where to, which returns its results, and the arrays that take them.
WRITERS = {
    "forward": (lambda out: network().forward(X, out=out), Y),
    "predict_proba": (lambda out: network().predict_proba(X, out=out), Y),
    "predict_proba of one output": (lambda out: network("binary_cross_entropy", 1).predict_proba(X, out=out), Y[:, :2]),
    "input_gradient": (lambda out: network().input_gradient(X, LABELS, out=out), X),
    "jacobian": (lambda out: network().jacobian(X[:9], out=out), np.empty((9, N_OUT, N_IN), np.float32)),
    "dense_forward": (lambda z, out: fastbp.dense_forward(X, W, B, "tanh", z=z, out=out), Y, Y),
    "dense_backward": (lambda *out: fastbp.dense_backward(X, W, Y, out=out), X, W, B),
    "sgd_update": (lambda w, velocity: fastbp.sgd_update(w, W, velocity, momentum=0.5), W, VELOCITY),
}
every_writer = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)


@every_writer
@every_lender
def test_results_go_where_they_are_wanted(writer, lend):
    call, *shapes = writer
    places, twins = ([np.array(a, order="C") for a in shapes] for _ in range(2))
    results = call(*(writable(lend, a) for a in places))
    call(*twins)
    assert bits(places) == bits(twins)
    for result in results if isinstance(results, tuple) else [results]:
        assert any(np.shares_memory(result, place) for place in places)


@every_writer
def test_a_given_place_is_what_comes_back(writer):
    call, *shapes = writer
    places = [np.array(a, order="C") for a in shapes]
    results = call(*places)
    for result in results if isinstance(results, tuple) else [results]:
        assert any(result is place for place in places)


def test_memory_that_is_read_only_takes_no_result():
    for out in (memoryview(Y.copy()).toreadonly(), np.broadcast_to(np.float32(0), Y.shape)):
        with pytest.raises(ValueError, match="^out must be a writable C-contiguous float32 array .* not read-only float32"):
            network().forward(X, out=out)
    with pytest.raises(TypeError, match="^w must be a float32 or float64 array, not list"):
        fastbp.sgd_update([1.0], [1.0])


@every_dtype
def test_derivatives_never_overwrite_their_input(dtype):
    net, same = fastbp.Network([4, 4], dtype=dtype, seed=0), numbers(5, 4, dtype=dtype)
    with pytest.raises(ValueError, match="^out must not overlap X in memory"):
        net.input_gradient(same, np.arange(5) % 4, out=same)
    memory = numbers(5, 4, 4, dtype=dtype)
    with pytest.raises(ValueError, match="^out must not overlap X in memory"):
        net.jacobian(memory[:, 0], out=memory)


def test_what_comes_out_speaks_dlpack():
    raw = network().forward(X)
    assert np.shares_memory(np.from_dlpack(raw), raw)
    torch = pytest.importorskip("torch")
    assert torch.from_dlpack(raw).data_ptr() == raw.ctypes.data
