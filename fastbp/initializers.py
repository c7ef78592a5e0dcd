"""Starting weights. Drawn in float64 by NumPy's PCG64, so that both dtypes start from the same numbers."""

import numpy as np


def glorot_uniform(rng, n_in, n_out):
    """U(-c, c) with c = sqrt(6 / (n_in + n_out)); Glorot and Bengio 2010."""
    c = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-c, c, (n_in, n_out))


def he_normal(rng, n_in, n_out):
    """N(0, 2 / n_in), which keeps the variance through rectifiers; He et al. 2015."""
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out))


INITIALIZERS = {"glorot_uniform": glorot_uniform, "he_normal": he_normal}

_RECTIFIERS = {"relu", "leaky_relu", "softplus", "gelu", "silu"}


def default_for(activation):
    """The initialiser that suits an activation: He's for rectifiers, else Glorot's."""
    return "he_normal" if activation in _RECTIFIERS else "glorot_uniform"
