"""A small search for good settings, by cross-validation."""

import inspect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp import _validate
from fastbp._typing import ArrayLike
from fastbp.cross_validation import Folds, Scoring, read_folds, read_scoring, train_on_folds
from fastbp.errors import DivergenceError
from fastbp.history import History
from fastbp.many import FIT_SETTINGS, refuse_unknown
from fastbp.network import Network

#: What `search` takes besides its own arguments: those of `Network` and of `Network.fit`.
NETWORK_SETTINGS = tuple(name for name in inspect.signature(Network).parameters if name != "seed")
SETTINGS = NETWORK_SETTINGS + tuple(name for name in FIT_SETTINGS if name != "y")


@dataclass(frozen=True, eq=False)
class Search:
    """What `search` found.

    Attributes
    ----------
    table : list of dict
        For each candidate, in their order: ``settings``, ``mean`` and ``std`` of the scores, ``scores`` and ``losses`` of the
        folds, ``seconds`` of training in all folds together.
    best : dict
        The settings with the highest mean, of equals the first.
    network : Network or None
        Trained with these on all samples, unless ``refit=False``.
    history : History or None
        Of that.
    """

    table: list[dict[str, Any]]
    best: dict[str, Any]
    network: Network | None = None
    history: History | None = None

    def __str__(self) -> str:
        """The table, best first; scores that are NaN last."""
        ranked = sorted(self.table, key=lambda row: -np.nan_to_num(row["mean"], nan=-np.inf))
        return "\n".join(f"{row['mean']:8.4f} +- {row['std']:.4f}  {row['seconds']:7.2f} s  " +
                         ", ".join(f"{name}={value!r}" for name, value in row["settings"].items()) for row in ranked)


def search(candidates: Mapping[str, Any] | Sequence[Mapping[str, Any]], X: ArrayLike, y: ArrayLike, cv: Folds = 5, *,
           n_draws: int | None = None, seed: int | None = None, scoring: Scoring | None = None, refit: bool = True,
           n_threads: int | None = None, **fixed: Any) -> Search:
    """Find the best of some settings by cross-validation; all fits are trained in one `fit_many`.

    Parameters
    ----------
    candidates : dict, or sequence of dict
        By name, values of arguments of `Network` or of `Network.fit`: each a list, all of whose combinations are tried. With
        ``n_draws`` combinations are drawn instead, and a function takes the place of a list where a value is to be drawn from
        a distribution: it is called with a ``numpy.random.Generator``. A sequence of dicts is tried as it is.
    X, y, cv, scoring
        See `cross_validate`. The folds are the same for all.
    n_draws : int, optional
        How many combinations to draw.
    seed : int, optional
        Of the networks, the folds and the draws. Default: drawn.
    refit : bool, default True
        Train the best on all samples at the end.
    n_threads : int, optional
        See `fit_many`.
    **fixed
        Settings that all candidates share, but for rows and verbose. Callbacks are treated as in `cross_validate`.

    Returns
    -------
    Search

    Raises
    ------
    TypeError, ValueError, RuntimeError
        If an argument is not as described, before anything is trained; see `fit_many`.
    DivergenceError
        If every candidate diverged in a fold, or the best one did when it was trained on all samples.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    >>> found = fastbp.search({"layers": [[2, 2], [2, 32, 2]], "optimizer": [fastbp.Adam(0.01), fastbp.Adam(0.001)]},
    ...                       X, X[:, 0] * X[:, 1] > 0, cv=3, epochs=30, seed=0)
    >>> found.best["layers"], found.network.n_epochs
    ([2, 32, 2], 30)
    """
    seed = _validate.seed_or_fresh(seed)
    chosen = _read_candidates(candidates, n_draws, np.random.Generator(np.random.PCG64((seed, 0, 0, 2))))
    refuse_unknown("search", fixed, SETTINGS)
    trials = [_trial(fixed | own, seed) for own in chosen]
    first = trials[0][0]
    X, y = _validate.rows("X", X, first.sizes[0], first.dtype), _validate.array("y", y)
    refit, folds = _validate.flag("refit", refit), read_folds(cv, first, X, y)
    found = train_on_folds(trials, X, y, folds, read_scoring(scoring), False, n_threads)
    table = [_row(own, each) for own, each in zip(chosen, found)]
    best = _best_of(table)
    if not refit:
        return Search(table, chosen[best])
    net, settings = trials[best]
    return Search(table, chosen[best], net, net.fit(X, y, n_threads=n_threads, **settings))


def _row(settings, found):
    return {"settings": settings, "mean": found.mean, "std": found.std, "scores": found.scores, "losses": found.losses,
            "seconds": sum(sum(history.seconds) for history in found.histories)}


def _best_of(table):
    """Place of the highest mean, of equals the first."""
    means = np.array([row["mean"] for row in table])
    if np.isnan(means).all():
        raise DivergenceError("search: in every candidate a network diverged; try smaller learning rates, or scale X")
    return int(np.nanargmax(means))


# Candidates ----------------------------------------------------------------------------------------------------------


def _trial(settings, seed):
    """An untrained network, and the settings of its fits."""
    if "layers" not in settings:
        raise TypeError("search needs layers, among the candidates or for all")
    of_network = {name: value for name, value in settings.items() if name in NETWORK_SETTINGS}
    return Network(**of_network, seed=seed), {name: settings[name] for name in settings if name not in of_network}


def _read_candidates(candidates, n_draws, rng):
    """A list of dicts."""
    if isinstance(candidates, dict):
        refuse_unknown("candidates", candidates, SETTINGS)
        if n_draws is None:
            return _combinations(candidates)
        return _draws(candidates, _validate.positive_int("n_draws", n_draws), rng)
    if n_draws is not None:
        raise ValueError("n_draws must be None for a sequence of dicts, which is tried as it is")
    if not len(_validate.sequence("candidates", candidates, "dicts")):
        raise ValueError("candidates must be at least one dict, not none")
    for i, own in enumerate(candidates):
        if not isinstance(own, dict):
            raise TypeError(f"candidates[{i}] must be a dict, not {own!r}")
        refuse_unknown(f"candidates[{i}]", own, SETTINGS)
    return list(candidates)


def _combinations(lists):
    for name, values in lists.items():
        _read_list(name, values)
    return [dict(zip(lists, values)) for values in itertools.product(*lists.values())]


def _draws(lists, n, rng):
    for name, values in lists.items():
        if not callable(values):
            _read_list(name, values)
    return [{name: values(rng) if callable(values) else values[rng.integers(len(values))] for name, values in lists.items()}
            for _ in range(n)]


def _read_list(name, values):
    if not isinstance(values, (list, tuple, np.ndarray)) or not len(values):
        raise TypeError(f"candidates[{name!r}] must be a list of values to try, or with n_draws a function of a Generator, not "
                        f"{values!r}")
