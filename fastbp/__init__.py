"""fastbp: training dense neural networks by backpropagation on CPUs."""

from fastbp import activations, initializers, losses, optimizers
from fastbp._config import config, show_config
from fastbp._threads import get_num_threads, set_num_threads
from fastbp._version import VERSION as __version__
from fastbp.errors import DivergenceError, FormatError
from fastbp.history import History
from fastbp.kernels import dense_backward, dense_forward, sgd_update
from fastbp.layers import Dense
from fastbp.network import Network, load
from fastbp.optimizers import SGD, Adam

__all__ = [
    "SGD", "Adam", "Dense", "DivergenceError", "FormatError", "History", "Network", "__version__", "activations", "config",
    "dense_backward", "dense_forward", "get_num_threads", "initializers", "load", "losses", "optimizers",
    "set_num_threads", "sgd_update", "show_config",
]
