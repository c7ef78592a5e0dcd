"""For those who call fastbp from C or Cython: where the header is, and handles on networks.

The functions themselves are in `kernels.pxd` (for `cimport`) and `include/fastbp.h` (a table, for C).
"""

import os

from fastbp import _capi, _validate, resuming  # noqa: F401  `fastbp_import` of fastbp.h finds `_capi` loaded
from fastbp._dispatch import core
from fastbp.fitting import start
from fastbp.lbfgs import LBFGS
from fastbp.optimizers import read_optimizer


def get_include() -> str:
    """Folder of ``fastbp.h``, for the ``include_dirs`` of an extension.

    Returns
    -------
    str
    """
    return os.path.join(os.path.dirname(__file__), "include")


def handle(net, optimizer, batch_size):
    """See `Network.c_handle`."""
    if net._loss.spec(net.sizes[-1])["function"] is not None:
        raise ValueError(f"a network with a loss of your own, {net.loss}, has no handle for C; use partial_fit")
    if optimizer is None:
        if batch_size is not None:
            raise ValueError("batch_size must be left out without an optimizer: predict takes any number of samples")
        return core(net.dtype.name).handle(net._stack, None, 0, 0)
    optimizer = read_optimizer(optimizer)
    if isinstance(optimizer, LBFGS) or optimizer.average is not None:
        raise ValueError(f"optimizer must take steps on batches and keep no average, not {optimizer!r}")
    if batch_size is None:
        raise ValueError("batch_size must be given with an optimizer: the most samples of a step")
    batch_size = _validate.positive_int("batch_size", batch_size)
    words = resuming.optimizer_in_words(optimizer)
    with net._exclusive(training=True):
        if words != net._optimizer:
            start(net, words, optimizer.update(), net.classes_)
        key = net._key(net._stack.n_updates, 0, 2)
        return core(net.dtype.name).handle(net._stack, optimizer.update(), batch_size, key)
