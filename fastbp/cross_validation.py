"""Cross-validation: copies of a network on folds of one X, all of them trained in one `fit_many`."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp import _targets, _validate
from fastbp._typing import Array, ArrayLike
from fastbp.callbacks import Callback
from fastbp.errors import DivergenceError
from fastbp.history import History
from fastbp.many import fit_many, own_callbacks, refuse_unknown
from fastbp.network import Network
from fastbp.sources import r2

Folds = int | Iterable[tuple[ArrayLike, ArrayLike]]
Scoring = Callable[..., float]                  # (net, X, y), and sample_weight by name where it is given


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What `cross_validate` found; every list has an entry a fold.

    Attributes
    ----------
    scores : ndarray (cv,)
        Of the samples held out, larger is better: accuracy or r2, minus the loss for a loss of the user's own, or what
        ``scoring`` returned. NaN where the network diverged. With ``sample_weight`` the samples held out count by theirs.
    losses : ndarray (cv,)
        Mean losses of the samples held out, weighted likewise; NaN likewise.
    histories : list of History
    networks : list of Network
        The trained ones, for `fastbp.Ensemble` for instance.
    folds : list of (ndarray, ndarray)
        Places of the samples that were trained on, and of those held out.
    """

    scores: Array
    losses: Array
    histories: list[History]
    networks: list[Network] = field(repr=False)
    folds: list[tuple[Array, Array]] = field(repr=False)

    @property
    def mean(self) -> float:
        """Of the scores."""
        return float(self.scores.mean())

    @property
    def std(self) -> float:
        """Of the scores, as of a population."""
        return float(self.scores.std())


def cross_validate(net: Network, X: ArrayLike, y: ArrayLike, cv: Folds = 5, *, scoring: Scoring | None = None,
                   validate: bool = False, callbacks: Sequence[Callback] = (), n_threads: int | None = None,
                   **settings: Any) -> CrossValidation:
    """Train copies of a network on all folds but one each, and score them on that one.

    Parameters
    ----------
    net : Network
        Not trained yet; stays as it is.
    X, y : array_like
        See `Network.fit`. X is read where it stands for training; of each fold, what is held out is copied.
    cv : int or iterable of pairs, default 5
        Number of folds, at least 2, which are drawn by the network's seed; labels are spread over them evenly. Or pairs of
        integer arrays (train, test), as the splitters of scikit-learn give.
    scoring : callable, optional
        ``scoring(net, X, y)`` returns a number, larger is better; with sample_weight among the settings it is
        ``scoring(net, X, y, sample_weight=...)``. Default: accuracy or r2, as the loss has it.
    validate : bool, default False
        Evaluate the samples held out after each epoch too, for ``history.val_loss`` and for callbacks; a stop that they
        decide on flatters the scores.
    callbacks : list or tuple of callables, default ()
        See `Network.fit`. One with a ``begin`` is copied for each fold; one that writes a file is refused.
    n_threads : int, optional
        See `fit_many`.
    **settings
        Keyword arguments of `Network.fit`, but for rows and verbose. ``sample_weight`` is that of all samples, those that are
        trained on and those that are held out.

    Returns
    -------
    CrossValidation

    Raises
    ------
    TypeError, ValueError, RuntimeError
        If an argument is not as described, before anything is trained; see `fit_many`.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    >>> net = fastbp.Network([2, 32, 2], seed=0)
    >>> found = fastbp.cross_validate(net, X, X[:, 0] > 0, cv=4, epochs=20)
    >>> len(found.histories), bool(found.mean > 0.9)
    (4, True)
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, not {net!r}")
    if net.n_epochs or net._update is not None:
        raise ValueError("net must not be trained yet, or the samples held out are none")
    refuse_unknown("cross_validate", settings)
    X, y = _validate.rows("X", X, net.sizes[0], net.dtype), _validate.array("y", y)
    folds = read_folds(cv, net, X, y)
    settings = settings | {"callbacks": callbacks}
    return train_on_folds([(net, settings)], X, y, folds, read_scoring(scoring), _validate.flag("validate", validate),
                          n_threads)[0]


def train_on_folds(trials, X, y, folds, scoring, validate, n_threads):
    """A `CrossValidation` for each trial, a pair of a network and settings of its fits."""
    samples = [(X[test], y[test]) for _, test in folds]
    networks, each, held_out = [], [], []
    for net, settings in trials:
        weights = _weights_held_out(settings.get("sample_weight"), len(X), folds, scoring)
        for (train, _), pair, its, own in zip(folds, samples, weights, own_callbacks(settings.get("callbacks", ()), len(folds))):
            networks.append(copy.deepcopy(net))
            held_out.append((*pair, its))
            each.append(_of_fold(settings, train, held_out[-1] if validate else None) | own)
    try:
        histories = fit_many(networks, X, y, each=each, n_threads=n_threads)
    except DivergenceError as error:
        histories = error.histories
    found = []
    for first in range(0, len(networks), len(folds)):
        part = slice(first, first + len(folds))
        measured = [_measure(*fit, scoring) for fit in zip(networks[part], histories[part], held_out[part])]
        scores, losses = np.array(measured).T
        found.append(CrossValidation(scores, losses, histories[part], networks[part], folds))
    return found


def _of_fold(settings, rows, validation):
    """Settings of a fit on a fold."""
    for name, given in (("rows", True), ("validation_data", validation is not None)):
        if given and settings.get(name) is not None:
            raise ValueError(f"{name} must not be given here; the folds decide on it")
    return settings | {"rows": rows} | ({} if validation is None else {"validation_data": validation})


def _weights_held_out(sample_weight, n_samples, folds, scoring):
    """Of each fold's samples; None where every sample counts 1. Refuses early what would fail when all is trained."""
    if sample_weight is None:
        return [None] * len(folds)
    weights = _targets.sample_weights("sample_weight", sample_weight, n_samples)
    for i, (_, test) in enumerate(folds):
        if not weights[test].any():
            raise ValueError(f"sample_weight must leave a sample held out in fold {i} that counts more than 0")
    if scoring is not None and not _validate.takes(scoring, None, None, None, sample_weight=None):
        raise TypeError(f"scoring must take (net, X, y, sample_weight) where sample_weight is given; {scoring!r} does not")
    return [weights[test] for _, test in folds]


def _measure(net, history, held_out, scoring):
    """Score and loss."""
    if history.diverged:
        return np.nan, np.nan
    X, y, weights = held_out
    weighted = {} if weights is None else {"sample_weight": weights}
    loss, metric = net.evaluate(X, y, **weighted)
    if scoring is not None:
        return _validate.number("what scoring returns", scoring(net, X, y, **weighted)), loss
    if net.metric_name == "loss":
        return -loss, loss
    return metric if weights is None else _weighted_metric(net, net._read_samples(X, y, weights)[0]), loss


def _weighted_metric(net, data):
    """Of `Network.evaluate`, whose own counts every sample alike."""
    raw, weights = net.forward(data.X), data.weights
    if net.metric_name == "accuracy":
        is_one_of_several = net._loss.targets == "labels"
        right = raw.argmax(axis=1) == data.y if is_one_of_several else ((raw > 0) == (data.y > 0.5)).all(axis=1)
        return float(np.average(right, weights=weights))
    if net._loss.link != "identity":
        net._link(raw)
    known = weights[:, None] * ~np.isnan(data.y)
    y = np.where(known > 0, data.y, 0).astype(np.float64)
    mean = (known * y).sum(axis=0) / np.maximum(known.sum(axis=0), np.finfo(float).tiny)
    return r2(float((known * (raw - y) ** 2).sum()), float((known * (y - mean) ** 2).sum()))


def read_scoring(scoring):
    if scoring is not None and not callable(scoring):
        raise TypeError(f"scoring must be a function (net, X, y) or None, not {scoring!r}")
    return scoring


# Folds ---------------------------------------------------------------------------------------------------------------


def read_folds(cv, net, X, y):
    """Pairs (train, test) of places."""
    if isinstance(cv, (bool, int, np.integer)):
        return _draw_folds(_validate.positive_int("cv", cv), net, X, y)
    try:
        pairs = [(train, test) for train, test in cv]
    except (TypeError, ValueError):
        raise TypeError(f"cv must be a number of folds or pairs of arrays (train, test), not {cv!r}") from None
    if not pairs:
        raise ValueError("cv must have at least one pair (train, test), not none")
    return [(_validate.places(f"train of cv[{i}]", train, len(X)), _validate.places(f"test of cv[{i}]", test, len(X)))
            for i, (train, test) in enumerate(pairs)]


def _draw_folds(n, net, X, y):
    """Folds of a random order, in which samples of a class follow each other, so that each fold gets its share of them."""
    if not 2 <= n <= len(X):
        raise ValueError(f"cv must be from 2 to the number of samples, {len(X)}; not {n}")
    _, targets, classes = net._read_data(X, y)
    order = np.random.Generator(np.random.PCG64((net.seed, 0, 0, 1))).permutation(len(X))
    if classes is not None:
        order = order[np.argsort(targets.reshape(len(X))[order], kind="stable")]
    fold = np.empty(len(X), np.int64)
    fold[order] = np.arange(len(X)) % n
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(n)]
