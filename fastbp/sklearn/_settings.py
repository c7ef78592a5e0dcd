"""What the parameters of the estimators of `fastbp.sklearn` may be, as scikit-learn's validation reads it."""

import inspect
from numbers import Integral, Number, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastbp._rates import Schedule
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES, Loss

NAMES = {"logistic": "sigmoid"}             #: scikit-learn's name of an activation -> ours, where they differ
VALUE_LOSSES = {name for name, loss in LOSSES.items() if loss.targets in ("values", "counts")}
CLASS_LOSSES = {"log_loss", "hinge"} | {name for name, loss in LOSSES.items() if loss.targets == "values"}

#: What scikit-learn's have, in both.
THEIRS = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({*ACTIVATIONS, *NAMES}), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule, callable],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean", StrOptions({"exact"})],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
}

#: What is new, in both.
OURS = {
    "dtype": [StrOptions({"input", "float32", "float64"})],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None],
    "callbacks": [list, tuple],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
    "preset": [StrOptions({"tabular"}), None],
}

REGRESSOR = {"loss": [StrOptions(VALUE_LOSSES), Loss, callable]}
CLASSIFIER = {
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "loss": [StrOptions(CLASS_LOSSES), Loss, callable],
}


def is_default(mlp, name):
    """Whether a parameter of an estimator is at its default, in whatever spelling: no callbacks are () and []."""
    default, value = inspect.signature(type(mlp)).parameters[name].default, getattr(mlp, name)
    if isinstance(value, list):
        value = tuple(value)
    return value is default or isinstance(value, (Number, str, tuple)) and bool(value == default)
