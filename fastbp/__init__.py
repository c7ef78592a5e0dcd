"""fastbp: training dense neural networks by backpropagation on CPUs."""

import importlib
from typing import TYPE_CHECKING, Any

from fastbp import activations, initializers, losses, optimizers, schedules
from fastbp._config import config, show_config
from fastbp._threads import get_num_threads, set_num_threads
from fastbp._version import VERSION as __version__
from fastbp.callbacks import EarlyStopping, TimeLimit
from fastbp.checkpoint import Checkpoint
from fastbp.embedding import get_include
from fastbp.errors import DivergenceError, FormatError
from fastbp.history import History
from fastbp.kernels import dense_backward, dense_forward, sgd_update
from fastbp.layers import Dense, Scale
from fastbp.network import Network, load
from fastbp.optimizers import LBFGS, SGD, AdaGrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop
from fastbp.reports import CSVLog, JSONLog, ProgressBar, TensorBoard

if TYPE_CHECKING:
    from fastbp import presets
    from fastbp.cross_validation import cross_validate
    from fastbp.ensemble import Ensemble
    from fastbp.gradient_check import check_gradient
    from fastbp.many import fit_many
    from fastbp.range_test import learning_rate_range_test
    from fastbp.selection import search

__all__ = [
    "LBFGS", "SGD", "AdaGrad", "Adam", "AdamW", "CSVLog", "Checkpoint", "Dense", "DivergenceError", "EarlyStopping", "Ensemble",
    "FormatError", "History", "JSONLog", "Lion", "NAdam", "Network", "ProgressBar", "RMSprop", "Rprop", "Scale", "TensorBoard",
    "TimeLimit", "__version__", "activations", "check_gradient", "config", "cross_validate", "dense_backward", "dense_forward",
    "fit_many", "get_include", "get_num_threads", "initializers", "learning_rate_range_test", "load", "losses", "optimizers",
    "presets", "schedules", "search", "set_num_threads", "sgd_update", "show_config",
]

#: Where names are that are imported when somebody asks for them: a tenth of the time of an import.
_LATER = {"Ensemble": "ensemble", "check_gradient": "gradient_check", "cross_validate": "cross_validation",
          "fit_many": "many", "learning_rate_range_test": "range_test", "search": "selection"}


def __getattr__(name: str) -> Any:
    if name == "presets":
        return importlib.import_module("fastbp.presets")
    if name not in _LATER:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fastbp.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
