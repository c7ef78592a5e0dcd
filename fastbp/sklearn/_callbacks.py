"""Who is told of an estimator's epochs: functions of the user's, fastbp's callbacks, and scikit-learn's own.

A function of one argument gets the estimator; one of two, as fastbp's are, gets (net, history) as in `Network.fit`. Those of
scikit-learn 1.9, which `set_callbacks` takes, see a fit as a task, and each epoch as a task below it.
"""

import inspect

from fastbp.callbacks import call_each, says_stop, steps_between
from fastbp.checkpoint import Checkpoint

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:                     # before 1.9 there are none
    class CallbackSupportMixin:
        """Has no `set_callbacks`."""


class Audience:
    """All of them, for one `fit` or `partial_fit`.

    Parameters
    ----------
    mlp : BaseMLP
    tasks : Tasks or None
    """

    def __init__(self, mlp, tasks):
        self.mlp, self.tasks = mlp, tasks
        callbacks = [read(callback) for callback in mlp.callbacks]
        self.of_networks = [callback for callback in callbacks if _takes_two(callback)]
        self.of_estimators = [callback for callback in callbacks if not _takes_two(callback)]

    def begin(self, net, history):
        self.net, self.history = net, history
        call_each(self.of_networks, "begin", net, history)

    def begin_epoch(self):
        if self.tasks is not None:
            self.tasks.begin_epoch()

    def tick(self, progress):
        """Asked between slices of an epoch. Returns whether one of them ends the fit."""
        return _any_stop(answer for _, answer in call_each(self.of_networks, "tick", progress))

    def end_epoch(self):
        """Tells all of them, with the parameters of now. Returns whether one of them ends the fit."""
        is_watched = self.tasks is not None and self.tasks.is_watched
        if self.of_estimators or is_watched:
            self.mlp._take_parameters()
        answers = [callback(self.mlp) for callback in self.of_estimators]
        answers += [callback(self.net, self.history) for callback in self.of_networks]
        return _any_stop([*answers, is_watched and self.tasks.end_epoch()])

    def finish(self):
        call_each(self.of_networks, "finish", self.net, self.history)

    def close(self):
        call_each(self.of_networks, "close")


class Tasks:
    """What scikit-learn's callbacks see of a `fit`.

    Parameters
    ----------
    mlp : BaseMLP
    X, y, sample_weight
        As the user gave them.
    epochs : int
        At most.
    """

    def __init__(self, mlp, X, y, sample_weight, epochs):
        self.mlp, self.epoch, self.root = mlp, None, None
        self.given = {"estimator": mlp, "X": X, "y": y,
                      "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
        self.is_watched = hasattr(mlp, "_skl_callbacks")
        if hasattr(mlp, "_init_callback_context"):
            self.root = mlp._init_callback_context(max_subtasks=epochs).call_on_fit_task_begin(**self.given)

    def begin_epoch(self):
        """Opens an epoch, if none is open."""
        if self.is_watched and self.epoch is None:
            self.epoch = self.root.subcontext(task_name="epoch").call_on_fit_task_begin(**self.given)

    def end_epoch(self):
        """Returns whether one of them ends the fit."""
        epoch, self.epoch = self.epoch, None
        return epoch.call_on_fit_task_end(**self.given, reconstruction_attributes=self._fitted)

    def finish(self):
        if self.epoch is not None:      # of an lbfgs that searched once more and found nothing
            self.end_epoch()
        if self.root is not None:
            self.root.call_on_fit_task_end(**self.given, reconstruction_attributes=self._fitted)

    def _fitted(self):
        """What makes a shallow copy of the estimator independent of the fit that goes on: a network of its own."""
        return {"_made_of": None, "_best": [self.mlp.coefs_, self.mlp.intercepts_]}


def read(callback):
    """A callable that is called after each epoch."""
    if isinstance(callback, Checkpoint) or callable(callback) and steps_between(callback) is not None:
        raise ValueError(f"callbacks of an estimator are called after each epoch; {callback!r} is one for Network.fit")
    if not callable(callback):
        raise TypeError(f"callbacks must be callables of the estimator, or of (net, history), not {callback!r}; those of "
                        "scikit-learn's protocol go to set_callbacks")
    return callback


def _takes_two(callback):
    try:
        inspect.signature(callback).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _any_stop(answers):
    return any([says_stop(answer) for answer in answers])
