"""preset="tabular" of the estimators of `fastbp.sklearn`: RealMLP-TD-S, as in `fastbp.presets`, with their conventions."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse

from fastbp.callbacks import TimeLimit, steps_between
from fastbp.errors import DivergenceError
from fastbp.losses import BinaryCrossEntropy
from fastbp.presets import SMOOTHING, KeepBest, tabular_network, tabular_optimizer
from fastbp.scaling import RobustScaler
from fastbp.sklearn._records import NOT_FINITE
from fastbp.sklearn._settings import is_default

EPOCHS, BATCH_SIZE, VALIDATION_FRACTION = 256, 256, 0.2
FREE = {"preset", "max_iter", "batch_size", "validation_fraction", "random_state", "verbose", "callbacks", "max_time", "n_jobs",
        "class_weight", "dtype"}    #: parameters that the recipe leaves to the user


@dataclass
class Recipe:
    """What stands before and behind the network."""

    scaler: RobustScaler
    mean: np.ndarray | float = 0.0          #: of numbers to be predicted
    deviation: np.ndarray | float = 1.0

    def encode(self, values):
        return (values - self.mean) / self.deviation

    def decode(self, values):
        return values * self.deviation + self.mean


class Relay:
    """A callback of the network's fit that keeps the estimator's records, and tells its audience."""

    def __init__(self, mlp, audience):
        self.mlp, self.audience = mlp, audience

    def begin(self, net, history):
        self.mlp.history_ = history
        self.audience.begin(net, history)
        self.audience.begin_epoch()

    def tick(self, progress):
        return self.audience.tick(progress)

    def __call__(self, net, history):
        mlp = self.mlp
        mlp.n_iter_, mlp.t_ = history.n_epochs, sum(history.samples)
        mlp.loss_, mlp.loss_curve_ = history.loss[-1], list(history.loss)
        mlp.best_loss_ = min(history.loss)
        if history.is_validated:
            mlp.validation_loss_curve_, mlp.validation_scores_ = list(history.val_loss), list(history.val_metric)
            mlp.best_validation_score_ = max(history.val_metric)
        wants_end = self.audience.end_epoch()
        if history.n_epochs < history.epochs:
            self.audience.begin_epoch()
        return wants_end

    def finish(self, net, history):
        self.audience.finish()

    def close(self):
        self.audience.close()


class StepRelay:
    """Another that tells those of the audience that are called every so many steps."""

    def __init__(self, audience, every):
        self.audience, self.every = audience, every

    def __call__(self, net, history):
        return self.audience.tell(lambda callback: steps_between(callback) == self.every)


def fit(mlp, X, y, weights, given, audience):
    """Train an estimator anew by the recipe, on samples that are checked."""
    _check(mlp, X)
    task = "classification" if mlp._splits_by_class else "regression"
    (X, y, weights), held_out = _hold_out(mlp, X, y, weights, given)
    recipe = Recipe(RobustScaler().fit(X))
    if task == "regression":
        y = y.reshape(len(y), -1)
        deviation = y.std(axis=0)
        recipe.mean, recipe.deviation = y.mean(axis=0), np.where(deviation > 0, deviation, 1)
    n_out = len(mlp.classes_) if task == "classification" else y.shape[1]
    loss = BinaryCrossEntropy(SMOOTHING) if _has_several_labels(mlp) else None
    _begin(mlp, recipe, tabular_network(X.shape[1], n_out, task, int(mlp._random_state.randint(2**31)),
                                        "float32" if mlp.dtype == "input" else mlp.dtype, loss))
    steps = sorted(set(map(steps_between, audience.by_step)))
    callbacks = [Relay(mlp, audience), *(StepRelay(audience, every) for every in steps),
                 *([KeepBest()] if held_out is not None else [])]
    if mlp.max_time is not None:
        callbacks.append(TimeLimit(mlp.max_time))
    try:
        mlp.network_.fit(
            *_encode(mlp, X, y), epochs_of(mlp), BATCH_SIZE if mlp.batch_size == "auto" else mlp.batch_size,
            tabular_optimizer(task), callbacks=callbacks,
            validation_data=held_out and (*_encode(mlp, *held_out[:2]), held_out[2]),
            n_threads=mlp._n_threads(), verbose=int(mlp.verbose), sample_weight=weights)
    except DivergenceError as error:
        raise ValueError(f"{NOT_FINITE} {error}") from error
    finally:
        mlp._take_parameters()


def epochs_of(mlp):
    """How many the recipe takes."""
    return EPOCHS if is_default(mlp, "max_iter") else mlp.max_iter


def _check(mlp, X):
    """Refuse what the recipe decides itself, and what it has no answer to."""
    names = mlp.get_params(deep=False)
    taken = [name for name in names if name not in FREE and not is_default(mlp, name)]
    if taken:
        free = [name for name in names if name in FREE and name != "preset"]
        raise ValueError(f"{taken[0]} is the recipe's with preset={mlp.preset!r} and must stay at its default, not "
                         f"{getattr(mlp, taken[0])!r}; yours are {', '.join(free)}")
    if issparse(X):
        raise TypeError(f"Sparse data was passed for X, but preset={mlp.preset!r} measures columns of a dense table. Use "
                        "'.toarray()' to convert to a dense array.")


def _hold_out(mlp, X, y, weights, given):
    """(X, y, weights) to train on, and those that decide which epoch is kept; None with validation_fraction=0."""
    own = mlp._read_given(given)
    if own is not None:
        return (X, y, weights), own
    fraction = VALIDATION_FRACTION if is_default(mlp, "validation_fraction") else mlp.validation_fraction
    if fraction == 0:
        return (X, y, weights), None
    return [(X[rows], y[rows], None if weights is None else weights[rows]) for rows in mlp._split(mlp._encode(y), fraction)]


def _begin(mlp, recipe, net):
    mlp._recipe, mlp.network_, mlp._optimizer, mlp._made_of, mlp._standing = recipe, net, None, None, None
    mlp.n_layers_, mlp.n_outputs_ = len(net.sizes), net.sizes[-1]
    mlp.out_activation_ = {"sigmoid": "logistic"}.get(net._loss.link, net._loss.link)
    mlp._open_records()
    mlp._take_parameters()
    mlp._best = [mlp.coefs_, mlp.intercepts_]


def _has_several_labels(mlp):
    return mlp._splits_by_class and mlp._label_binarizer.y_type_.startswith("multilabel")


def _encode(mlp, X, y):
    """Samples as the network gets them: of labels their places in `classes_`, or an indicator matrix; numbers scaled."""
    X = mlp._recipe.scaler.transform(X, mlp.network_.dtype)
    if _has_several_labels(mlp):
        return X, mlp._encode(y).astype(np.int64)
    return X, np.searchsorted(mlp.classes_, y) if mlp._splits_by_class else mlp._recipe.encode(y.reshape(len(y), -1))
