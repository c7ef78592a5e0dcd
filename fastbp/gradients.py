"""Gradients by what goes into a network, and copies of its stack to experiment on."""

import numpy as np

from fastbp import _threads, _validate, training
from fastbp._dispatch import core


def input_gradient(net, X, y, n_threads=None, out=None):
    """Gradient of each sample's loss in that sample, (n_samples, n_in); see `Network.input_gradient`."""
    X, y, _ = net._read_data(X, y)
    dX = _validate.output("out", out, (len(X), net.sizes[0]), net.dtype)
    _validate.apart(out=dX, X=X)
    raw = net.forward(X, n_threads=n_threads)
    losses, scores, draw = np.empty(len(X)), np.empty(len(X)), np.empty_like(raw)
    core(net.dtype.name).loss_forward_backward(net._loss.spec(net.sizes[-1]), raw, y, losses, scores, draw)
    with net._exclusive():
        _vjp(net, X, draw, dX, n_threads)
    return dX


def jacobian(net, X, n_threads=None, out=None):
    """d raw / d X, (n_samples, n_out, n_in); see `Network.jacobian`."""
    X = _validate.rows("X", X, net.sizes[0], net.dtype)
    n, n_out = len(X), net.sizes[-1]
    result, dX = _validate.output("out", out, (n, n_out, net.sizes[0]), net.dtype), np.empty((n, net.sizes[0]), net.dtype)
    _validate.apart(out=result, X=X)
    with net._exclusive():
        for output in range(n_out):
            draw = np.zeros((n, n_out), net.dtype)
            draw[:, output] = 1
            _vjp(net, X, draw, dX, n_threads)
            result[:, output] = dX
    return result


def _vjp(net, X, draw, dX, n_threads):
    """In parts, between which Ctrl-C is answered. Forward and dX are two products a layer."""
    n_threads = _threads.choose(n_threads, 2 * net._flops(len(X)), net._openmp_limit())
    for part in training.slices(net._stack, len(X), 2 * net._flops(1), n_threads):
        net._stack.vjp(X[part], draw[part], dX[part], n_threads)


def copy_stack(net, dtype):
    """A stack like the network's, in this dtype and with its parameters, that may be changed without harm."""
    loss = net._loss.spec(net.sizes[-1])
    if dtype != net.dtype and type(loss["function"]).__name__ == "PyCapsule":
        raise ValueError(f"net must be a {dtype} network, as this is computed in {dtype}: its loss is a C function for "
                         f"{net.dtype}")
    stack = core(dtype).Stack(net.sizes[0], net._specs, loss, net.input_dropout, net.input_noise)
    with net._exclusive():
        for layer, block in enumerate(rows(net, net._stack)):
            stack.set_rows(layer, block.astype(dtype))
    return stack


def rows(net, stack, getter="get_rows"):
    """A block of rows (n_rows, n_out) of each layer of such a copy; with "get_gradient" their gradients."""
    blocks = [np.empty((stack.n_rows(layer), n_out), stack.dtype) for layer, n_out in enumerate(net.sizes[1:])]
    for layer, block in enumerate(blocks):
        getattr(stack, getter)(layer, block)
    return blocks
