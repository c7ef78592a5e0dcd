"""`fit_many`: several networks trained at once over the same samples, one a core, each to the bits that it would get alone.

A fit runs without the GIL in slices, so a Python thread for each core is all it takes. What is left over of the cores is
offered to the fits that still run.
"""

import contextlib
import copy
import inspect
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp import _threads, _validate, fitting
from fastbp._dispatch import core
from fastbp._typing import ArrayLike, Chunks
from fastbp.errors import DivergenceError
from fastbp.history import History
from fastbp.network import Network
from fastbp.sources import is_stream
from fastbp.training import SLICE_SECONDS

#: Keyword arguments of `Network.fit` that `fit_many` passes on, and what they are if nobody gives them.
FIT_SETTINGS = {name: parameter.default for name, parameter in inspect.signature(Network.fit).parameters.items()
                if name not in ("self", "X", "n_threads", "verbose")}


def fit_many(networks: Sequence[Network], X: ArrayLike | Chunks, y: ArrayLike | None = None, *,
             each: Sequence[Mapping[str, Any]] | None = None, n_threads: int | None = None, **settings: Any) -> list[History]:
    """Train several networks over one X, as many at a time as there are threads.

    Each ends with the bits that `Network.fit` with the same arguments gives it, on any number of threads.

    Parameters
    ----------
    networks : sequence of Network
        All different objects; trained in place, and begun in this order.
    X, y : array_like
        See `Network.fit`. X is shared: float32 and float64 with contiguous rows is read where it stands, any other is converted
        once for all networks of a dtype. Of chunks each network has a pass of its own, in the thread that trains it: the
        function is called for each, must give each the same, and all of them hold their first chunk from the start.
    each : sequence of dict, optional
        For each network its own keyword arguments of `Network.fit`, which come before those for all: ``optimizer``,
        ``epochs``, ``rows`` (a fold or a bootstrap sample of X without a copy), ``y``, ``validation_data`` and so on.
    n_threads : int, optional
        At most so many threads in all. Default: as many as this process may use. While fewer networks than threads are left,
        each tries several.
    **settings
        Keyword arguments of `Network.fit` for all networks, but for verbose.

    Returns
    -------
    list of History
        In the order of networks.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any network changes; a note of the error names the network. A callback with
        a ``begin``, which starts anew with each fit, must not be given to two networks.
    DivergenceError
        After all networks are trained, if some of them diverged. These have their last finite parameters. The error is the
        first's, with ``histories`` of all networks in order, those of the diverged with ``diverged`` set.
    RuntimeError
        If a network is being trained already.

    Notes
    -----
    Callbacks are called in the thread that trains their network, those of different networks at the same time. Any other
    error, from a callback say, and Ctrl-C stop all networks within 50 ms, or a step that takes longer, and leave them on a step
    boundary; a callback that is running is waited for, and a chunk that is being made.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    >>> networks = [fastbp.Network([4, 16, 2], seed=seed) for seed in range(3)]
    >>> rates = [{"optimizer": fastbp.SGD(rate)} for rate in (0.03, 0.1, 0.3)]
    >>> histories = fastbp.fit_many(networks, X, X[:, 0] > X[:, 1], each=rates, epochs=5)
    >>> [history.n_epochs for history in histories]
    [5, 5, 5]
    """
    networks = read_networks(networks)
    each = _read_each(each, len(networks))
    refuse_unknown("fit_many", settings)
    n_threads = _threads.choose(n_threads, math.inf, core("float32").openmp()[1])
    fits = _read_fits(networks, X, [FIT_SETTINGS | {"y": y} | settings | dict(own) for own in each])
    for net in networks:
        with net._exclusive(training=True):         # refuses one that is being trained, before any other is
            pass
    crew = Crew(fits, n_threads)
    crew.run()
    histories = [fit.history for fit in fits]
    if crew.diverged:
        raise _first_of(crew.diverged, histories)
    return histories


def read_networks(networks):
    """A list of them, all different."""
    networks = list(_validate.sequence("networks", networks, "networks"))
    if not networks:
        raise ValueError("networks must be at least one Network, not none")
    places = {}
    for i, net in enumerate(networks):
        if not isinstance(net, Network):
            raise TypeError(f"networks[{i}] must be a Network, not {net!r}")
        if places.setdefault(id(net), i) != i:
            raise ValueError(f"networks[{i}] is networks[{places[id(net)]}]; train a copy.deepcopy of it")
    return networks


def own_callbacks(callbacks, n):
    """For each of n fits that a caller of `fit_many` makes of one: its settings with callbacks of its own."""
    for callback in _validate.sequence("callbacks", callbacks, "callables taking (net, history)"):
        path = getattr(callback, "path", getattr(callback, "directory", None))
        if path is not None:
            raise ValueError(f"callbacks must not write files, which all {n} networks would write: {path!r}")
    return [{"callbacks": [copy.copy(each) if hasattr(each, "begin") else each for each in callbacks]} for _ in range(n)]


def refuse_unknown(where, settings, names=tuple(FIT_SETTINGS)):
    """Names of settings that are none."""
    unknown = [name for name in settings if name not in names]
    if unknown:
        raise TypeError(f"{where} takes no {unknown[0]!r}; it takes {', '.join(names)}")


class Crew:
    """Fits on their way, one in each of `n_threads` threads; a fit may try what is left over."""

    def __init__(self, fits, n_threads):
        self.fits, self.n_threads = fits, n_threads
        self.n_left, self._lock = len(fits), threading.Lock()
        self.diverged = {}                          # number of a fit -> its error
        self._is_over = False                       # all are to stop

    def run(self):
        """Trains all. An error other than a divergence stops all of them first."""
        from concurrent.futures import ThreadPoolExecutor, wait
        with ThreadPoolExecutor(min(self.n_threads, len(self.fits)), "fastbp") as pool:
            futures = [pool.submit(self._train, number) for number in range(len(self.fits))]
            try:
                while wait(futures, timeout=SLICE_SECONDS).not_done:
                    pass                            # Windows looks at Ctrl-C only between two waits
            finally:
                self._is_over = True                # of no consequence where they all are
        for error in (future.exception() for future in futures):
            if not isinstance(error, (_Stopped, type(None))):
                raise error

    def _train(self, number):
        fit = self.fits[number]
        try:
            with _naming(number), fit.net._exclusive(training=True):
                fit.look = lambda: self._look(fit)
                self._look(fit)
                fit.run()
        except DivergenceError as error:
            self.diverged[number] = error
        except BaseException:
            self._is_over = True
            raise
        finally:
            with self._lock:
                self.n_left -= 1

    def _look(self, fit):
        """What a fit does between two slices."""
        if self._is_over:
            raise _Stopped
        fit.team.offer(max(1, self.n_threads // self.n_left))


class _Stopped(BaseException):
    """Ends a fit as Ctrl-C would, where that cannot reach: in a thread that is not the main one."""


def _read_each(each, n):
    if each is None:
        return [{}] * n
    if len(_validate.sequence("each", each, "dicts")) != n:
        raise ValueError(f"each must be {n} dicts, one a network, not {len(each)}")
    for i, own in enumerate(each):
        if not isinstance(own, dict):
            raise TypeError(f"each[{i}] must be a dict of keyword arguments of Network.fit, not {own!r}")
        refuse_unknown(f"each[{i}]", own)
    return each


def _read_fits(networks, X, settings):
    """The fits, checked; an array X is converted once a dtype, and targets that are equal are kept once."""
    converted, fits, owners = {}, [], {}
    for i, (net, own) in enumerate(zip(networks, settings)):
        with _naming(i):
            its = X
            if is_stream(X, own["y"]):
                _refuse_single_pass(X, len(networks))
            else:
                if net.dtype not in converted:
                    converted[net.dtype] = _validate.rows("X", X, net.sizes[0], net.dtype)
                its = converted[net.dtype]
            fits.append(fitting.read(net, its, n_threads=1, verbose=0, **own))
            _refuse_shared(fits[-1].plan, i, owners)
        _share_targets(fits[-1].source, fits[0].source)
    return fits


def _refuse_single_pass(X, n):
    if isinstance(X, Iterator) and n > 1:
        raise ValueError(f"X is an iterator, which can be gone through once, and networks are {n}; give the function that makes "
                         "it, as in fit_many(networks, batches) instead of batches()")


def _refuse_shared(plan, number, owners):
    """Callbacks that remember a fit belong to one."""
    for callback in (*plan.callbacks, *plan.checkpoints):
        if hasattr(callback, "begin") and owners.setdefault(id(callback), number) != number:
            raise ValueError(f"callbacks: networks {owners[id(callback)]} and {number} share {callback!r}, which begins anew "
                             "with each fit; give each network its own, by each=[{'callbacks': [...]}, ...]")


def _share_targets(source, first):
    """Labels take 8 bytes a sample, which of many networks may be more than X."""
    if source.is_stream or first.is_stream:
        return
    y, other = source.first.y, first.first.y
    if y.dtype == other.dtype and np.array_equal(y, other):
        source.first = source.first._replace(y=other)


@contextlib.contextmanager
def _naming(number):
    """Adds to an error which network it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in fit_many, for networks[{number}]")
        raise


def _first_of(diverged, histories):
    """One error for those of all that diverged."""
    numbers = sorted(diverged)
    error = diverged[numbers[0]]
    named = ", ".join(f"networks[{number}]" for number in numbers)
    told = DivergenceError(f"{named} of {len(histories)} networks diverged, and the others are trained; networks[{numbers[0]}]: "
                           f"{error}", epoch=error.epoch, step=error.step, layer=error.layer)
    told.history, told.histories = error.history, histories
    told.__cause__ = error
    return told
