"""From scikit-learn's multi-layer perceptrons to fastbp's and back: parameters, weights and records, exactly."""

import copy
import warnings

import numpy as np

from fastbp.sklearn._settings import is_default

OURS = ("network_", "history_", "validation_loss_curve_")       # what scikit-learn's have no room for
CHOICES = {"activation": ("identity", "logistic", "tanh", "relu"), "learning_rate": ("constant", "invscaling", "adaptive"),
           "warm_start": (False, True), "preset": (None,)}          #: what they have of a parameter that says more with us
PRIVATE = ("_label_binarizer", "_no_improvement_count", "_random_state")


def to_fastbp(mlp, ours):
    """One of scikit-learn's as an object of our class `ours`."""
    new = ours(**mlp.get_params(deep=False))
    if hasattr(mlp, "coefs_"):
        _copy_state(mlp, new)
        new.validation_loss_curve_ = None
        new._best = [new.coefs_, new.intercepts_]
    return new


def to_sklearn(mlp, theirs):
    """One of ours as an object of scikit-learn's class `theirs`; warns of parameters that get lost.

    Raises
    ------
    ValueError
        If scikit-learn has no such network: another activation, another loss, or what else it lacks.
    """
    params = mlp.get_params(deep=False)
    if isinstance(params["activation"], str) and params["activation"] == "sigmoid":
        params["activation"] = "logistic"
    new = theirs()
    known = new.get_params(deep=False)
    losses = ("log_loss",) if mlp._splits_by_class else ("squared_error", "poisson") if "loss" in known else ("squared_error",)
    for name, values in (CHOICES | {"loss": losses}).items():
        if not isinstance(params[name], (str, bool, type(None))) or params[name] not in values:
            raise ValueError(f"scikit-learn has no {name}={params[name]!r}; it has {', '.join(map(str, values))}")
    if mlp._recipe is not None:
        raise ValueError("scikit-learn has no such network: it was trained with preset='tabular'")
    new.set_params(**{name: value for name, value in params.items() if name in known})
    lost = [f"{name}={params[name]!r}" for name in params if name not in known and not is_default(mlp, name)]
    if hasattr(mlp, "_skl_callbacks") and not hasattr(new, "set_callbacks"):
        lost.append("what set_callbacks was given")
    if lost:
        warnings.warn(f"scikit-learn has no room for {', '.join(lost)}; weights stay exact, another fit would do without",
                      UserWarning, stacklevel=3)
    if hasattr(mlp, "coefs_"):
        _copy_state(mlp, new)
        new._best_coefs, new._best_intercepts = copy.deepcopy(mlp._best)
    return new


def _copy_state(old, new):
    """All fitted attributes."""
    for name, value in vars(old).items():
        if name in PRIVATE or name.endswith("_") and name not in OURS:
            setattr(new, name, copy.deepcopy(value))
    for name in ("coefs_", "intercepts_"):
        setattr(new, name, [np.array(array, order="C") for array in getattr(old, name)])
