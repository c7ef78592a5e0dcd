"""Starting weights. Drawn in float64 by NumPy's PCG64, so that both dtypes start from the same numbers."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from fastbp import _validate
from fastbp._dispatch import core
from fastbp._typing import ArrayLike, Doubles

if TYPE_CHECKING:
    from numpy.random import Generator  # takes 10 ms, which a first network can wait for

    from fastbp.network import Network


def glorot_uniform(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """U(-c, c) with c = sqrt(6 / (n_in + n_out)); Glorot and Bengio 2010."""
    return _uniform(rng, n_in, n_out, 2 / (n_in + n_out))


def glorot_normal(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """N(0, 2 / (n_in + n_out)); Glorot and Bengio 2010."""
    return _normal(rng, n_in, n_out, 2 / (n_in + n_out))


def he_uniform(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """U(-c, c) with c = sqrt(6 / n_in), the variance of `he_normal`."""
    return _uniform(rng, n_in, n_out, 2 / n_in)


def he_normal(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """N(0, 2 / n_in), which keeps the variance through rectifiers; He et al. 2015."""
    return _normal(rng, n_in, n_out, 2 / n_in)


def lecun_uniform(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """U(-c, c) with c = sqrt(3 / n_in), the variance of `lecun_normal`."""
    return _uniform(rng, n_in, n_out, 1 / n_in)


def lecun_normal(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """N(0, 1 / n_in), which keeps the variance through linear units; LeCun et al. 1998. What selu was made for."""
    return _normal(rng, n_in, n_out, 1 / n_in)


def orthogonal(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """A random matrix whose columns, or rows if they are fewer, are orthonormal, all such alike; Saxe et al. 2014."""
    A = rng.normal(size=(max(n_in, n_out), min(n_in, n_out)))
    Q = _orthonormal(_orthonormal(A))       # what rounding left of the angles goes in a second pass
    return Q if n_in >= n_out else Q.T


def normal(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """N(0, 1)."""
    return _normal(rng, n_in, n_out, 1.0)


def uniform(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """U(-c, c) with c = 1 / sqrt(n_in), a third of the variance of `lecun_uniform`: formula 1 of Glorot and Bengio 2010."""
    return _uniform(rng, n_in, n_out, 1 / (3 * n_in))


def zeros(rng: "Generator", n_in: int, n_out: int) -> Doubles:
    """All 0: for a last layer, whose units the loss tells apart; hidden units would stay alike for ever."""
    return np.zeros((n_in, n_out))


INITIALIZERS = {
    initializer.__name__: initializer
    for initializer in (glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal, normal,
                        uniform, zeros)
}

_RECTIFIERS = {"relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "mish", "softplus"}


def default_for(activation: str) -> str:
    """The initialiser that suits an activation: He's for rectifiers, LeCun's for selu, else Glorot's."""
    return "he_normal" if activation in _RECTIFIERS else "lecun_normal" if activation == "selu" else "glorot_uniform"


def lsuv(net: "Network", X: ArrayLike) -> None:
    """Give a network orthogonal weights, scaled so that on X every layer's x W has variance 1: layer-sequential unit
    variance; Mishkin and Matas 2016.

    Biases become zero. Scale layers and layers that are not trainable stay as they are; normalisation counts as at the start.

    Parameters
    ----------
    net : Network
        Its parameters are replaced; the random numbers follow from its seed.
    X : array_like (n_samples, n_in)
        One batch is enough, some hundred samples.

    Raises
    ------
    TypeError, ValueError
        If X does not fit the network, or a layer's x W is the same for all of X, so that nothing can scale it.
    """
    X = _validate.rows("X", X, net.sizes[0], net.dtype)
    _validate.some_samples("X", X)
    _validate.finite("X", X)
    rng = np.random.Generator(np.random.PCG64(net.seed))
    weights, biases = list(net.weights), list(net.biases)
    for i, layer in enumerate(net.layers):
        if layer.name == "dense" and layer.trainable:
            weights[i], biases[i] = orthogonal(rng, *weights[i].shape), np.zeros_like(biases[i])
            # x W is linear in W: one division gives what the paper's loop approaches
            weights[i] /= _deviation(net, X, i, weights, biases)
    net.set_parameters(weights, biases)


def _deviation(net, X, i, weights, biases):
    """Standard deviation of x W of layer i over all samples and units, by a network that ends there."""
    last = dataclasses.replace(net.layers[i], activation="identity", normalization=None, residual=False)
    part = type(net)([net.sizes[0], *net.layers[:i], last], loss="squared_error", dtype=net.dtype, seed=net.seed)
    part.set_parameters(weights[:i + 1], biases[:i + 1])
    deviation = float(part.forward(X).std(dtype=np.float64))
    if not 0 < deviation < np.inf:
        raise ValueError(f"X gives the outputs of layer {i} standard deviation {deviation:g}; LSUV cannot scale that to 1")
    return deviation


def _uniform(rng, n_in, n_out, variance):
    c = np.sqrt(3 * variance)
    return rng.uniform(-c, c, (n_in, n_out))


def _normal(rng, n_in, n_out, variance):
    return rng.normal(0, np.sqrt(variance), (n_in, n_out))


def _orthonormal(A):
    """Gram and Schmidt by halves: the columns of A made orthonormal, each by those on its left."""
    n_left = A.shape[1] // 2
    if n_left == 0:
        return A / np.sqrt((A * A).sum())
    left, right = _orthonormal(A[:, :n_left]), A[:, n_left:]
    shadow = _product(left, _product(left, right, transposed=True))
    return np.hstack([left, _orthonormal(right - shadow)])


def _product(A, B, transposed=False):
    """A B or A^T B by the core, whose bits do not depend on the threads, as a BLAS's may."""
    C = np.empty((A.shape[1] if transposed else A.shape[0], B.shape[1]))
    core("float64").gemm(np.ascontiguousarray(A), np.ascontiguousarray(B), transposed, C)
    return C
