"""fastbp: training dense neural networks by backpropagation on CPUs."""

from fastbp import activations, initializers, losses, optimizers, presets, schedules
from fastbp._config import config, show_config
from fastbp._threads import get_num_threads, set_num_threads
from fastbp._version import VERSION as __version__
from fastbp.callbacks import EarlyStopping, TimeLimit
from fastbp.checkpoint import Checkpoint
from fastbp.cross_validation import cross_validate
from fastbp.embedding import get_include
from fastbp.ensemble import Ensemble
from fastbp.errors import DivergenceError, FormatError
from fastbp.gradient_check import check_gradient
from fastbp.history import History
from fastbp.kernels import dense_backward, dense_forward, sgd_update
from fastbp.layers import Dense, Scale
from fastbp.many import fit_many
from fastbp.network import Network, load
from fastbp.optimizers import LBFGS, SGD, AdaGrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastbp.range_test import learning_rate_range_test
from fastbp.reports import CSVLog, JSONLog, ProgressBar, TensorBoard
from fastbp.selection import search

__all__ = [
    "LBFGS", "SGD", "AdaGrad", "Adam", "AdamW", "CSVLog", "Checkpoint", "Dense", "DivergenceError", "EarlyStopping", "Ensemble",
    "FormatError", "History", "JSONLog", "Lion", "NAdam", "Network", "ProgressBar", "RMSprop", "Rprop", "Scale", "TensorBoard",
    "TimeLimit", "__version__", "activations", "check_gradient", "config", "cross_validate", "dense_backward", "dense_forward",
    "fit_many", "get_include", "get_num_threads", "initializers", "learning_rate_range_test", "load", "losses", "optimizers",
    "presets", "schedules", "search", "set_num_threads", "sgd_update", "show_config",
]
