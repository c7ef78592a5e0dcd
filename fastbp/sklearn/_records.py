"""What the estimators of `fastbp.sklearn` note after each epoch."""

from fastbp._dispatch import ISA
from fastbp.history import History
from fastbp.sources import WholeSpread

NOT_FINITE = ("Solver produced non-finite parameter weights. The input data may contain large values and need to be "
              "preprocessed.")


class Records:
    """The history of a fit, and the losses of its validation data.

    Parameters
    ----------
    mlp : BaseMLP
        Gets them as attributes.
    net : Network
    y : ndarray
        Targets of the samples that are trained on.
    validation : Validation or None
    n_threads, epochs : int
    goes_on : bool, default False
        With the history of the fit before.
    """

    def __init__(self, mlp, net, y, validation, n_threads, epochs, goes_on=False):
        self.mlp, self.net, self.validation = mlp, net, validation
        self.spread = WholeSpread(y) if net.metric_name == "r2" else None
        if goes_on:
            mlp.history_.epochs = mlp.history_.n_epochs + epochs
        else:
            mlp.history_ = History(net.metric_name, len(y), n_threads, ISA, net._flops(1, training=True), epochs,
                                   validation is not None, net.activations)
        if validation is not None and mlp.validation_loss_curve_ is None:
            mlp.validation_loss_curve_ = []
        self.history = mlp.history_

    def note(self, totals, step):
        """What there is of an epoch that is under way, after so many steps of the fit."""
        history = self.history
        history.step = step
        history.running_loss = float(totals[0] / totals[2]) if totals[2] > 0 else 0.0

    def add(self, totals, n_samples, step, learning_rate, seconds):
        """An epoch, by its sums of losses, scores and weights."""
        history = self.history
        history.step, history.running_loss = step, None
        loss, metric = self.net._means(totals, max(n_samples, 1), self.spread)
        history.loss.append(loss)
        history.metric.append(metric)
        history.learning_rate.append(learning_rate)
        history.seconds.append(seconds)
        history.samples.append(n_samples)
        if self.validation is not None:
            loss, metric = self.validation.measure()
            history.val_loss.append(loss)
            history.val_metric.append(metric)
            self.mlp.validation_loss_curve_.append(self.mlp._reported(loss, self.validation.data, slice(None)))
