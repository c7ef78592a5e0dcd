"""From scikit-learn's multi-layer perceptrons to fastbp's and back: parameters, weights and records, exactly."""

import copy

import numpy as np

NAMES = {"sigmoid": "logistic"}
OURS = ("network_", "validation_loss_curve_")       # what scikit-learn's have no room for
PRIVATE = ("_label_binarizer", "_no_improvement_count", "_random_state")


def to_fastbp(mlp, ours):
    """One of scikit-learn's as an object of our class `ours`."""
    new = ours(**mlp.get_params(deep=False))
    if hasattr(mlp, "coefs_"):
        new.dtype = mlp.coefs_[0].dtype.name
        _copy_state(mlp, new)
        new.validation_loss_curve_ = None
        new._best = [new.coefs_, new.intercepts_]
    return new


def to_sklearn(mlp, theirs):
    """One of ours as an object of scikit-learn's class `theirs`.

    Raises
    ------
    ValueError
        If scikit-learn has no such network: another activation, or another loss.
    """
    params = mlp.get_params(deep=False)
    if params["activation"] in NAMES:
        params["activation"] = NAMES[params["activation"]]
    new = theirs()
    known = new.get_params(deep=False)
    choices = [("activation", ("identity", "logistic", "tanh", "relu"))]
    if "loss" in params:
        choices.append(("loss", ("squared_error", "poisson") if "loss" in known else ("squared_error",)))
    for name, names in choices:
        if not isinstance(params[name], str) or params[name] not in names:
            raise ValueError(f"scikit-learn has no {name}={params[name]!r}; it has {', '.join(names)}")
    new.set_params(**{name: value for name, value in params.items() if name in known})
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
