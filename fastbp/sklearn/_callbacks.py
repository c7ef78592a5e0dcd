"""Who is told of an estimator's epochs: functions of the user's, fastbp's callbacks, and scikit-learn's own.

A function of one argument gets the estimator; one of two, as fastbp's are, gets (net, history) as in `Network.fit`. Each is
called after every epoch, or with an attribute ``every`` after every so many steps. Those of scikit-learn 1.9, which
`set_callbacks` takes, see a fit as a task, and each epoch as a task below it.
"""

from fastbp import _validate
from fastbp.callbacks import call_each, is_due, read_callbacks, says_stop, steps_between
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
        self.of_networks = [callback for callback in callbacks if _validate.takes(callback, None, None)]
        self.of_estimators = [callback for callback in callbacks if not _validate.takes(callback, None, None)]
        self.by_step = [callback for callback in callbacks if steps_between(callback) is not None]

    def begin(self, net, history):
        self.net, self.history = net, history
        call_each(self.of_networks, "begin", net, history)

    def begin_epoch(self):
        if self.tasks is not None:
            self.tasks.begin_epoch()

    def tick(self, progress):
        """Asked between slices of an epoch. Returns whether one of them ends the fit."""
        return _any_stop(answer for _, answer in call_each(self.of_networks, "tick", progress))

    def end_steps(self):
        """Tells those that are due after the steps done so far. Returns whether one of them ends the fit."""
        return self.tell(lambda callback: is_due(callback, self.history.step))

    def end_epoch(self):
        """Tells all others. Returns whether one of them ends the fit."""
        is_watched = self.tasks is not None and self.tasks.is_watched
        wants_end = self.tell(lambda callback: steps_between(callback) is None, is_watched)
        return is_watched and says_stop(self.tasks.end_epoch()) or wants_end

    def tell(self, chosen, is_watched=False):
        """Calls those that are chosen, with the parameters of now, which others may watch too."""
        of_estimators = list(filter(chosen, self.of_estimators))
        if of_estimators or is_watched:
            self.mlp._take_parameters()
        answers = [callback(self.mlp) for callback in of_estimators]
        return _any_stop([*answers, *(callback(self.net, self.history) for callback in filter(chosen, self.of_networks))])

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
    """One of them, checked."""
    if isinstance(callback, Checkpoint):
        raise ValueError("callbacks of an estimator must not have a Checkpoint, which holds the state of Network.fit; pickle the "
                         "estimator in a callback instead, and go on with warm_start='exact'")
    if not callable(callback):
        raise TypeError(f"callbacks must be callables of the estimator, or of (net, history), not {callback!r}; those of "
                        "scikit-learn's protocol go to set_callbacks")
    return read_callbacks([callback])[0]


def _any_stop(answers):
    return any([says_stop(answer) for answer in answers])
