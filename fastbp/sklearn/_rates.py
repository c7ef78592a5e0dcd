"""Learning rates and update rules of the estimators of `fastbp.sklearn`: scikit-learn's solvers, to the last digit."""

import numpy as np

from fastbp._rates import monitor_of, rates_of
from fastbp.optimizers import SGD, Adam

LATE = 2**40            # so many updates, and the core's bias corrections of Adam are 1


class Rates:
    """The learning rate of sgd or adam, which goes on from one `partial_fit` to the next.

    Parameters
    ----------
    mlp : BaseMLP
    """

    def __init__(self, mlp):
        rate = mlp.learning_rate
        self.schedule = None if isinstance(rate, str) else rate
        self.kind = "adam" if mlp.solver == "adam" else rate if isinstance(rate, str) else "schedule"
        self.first = self.learning_rate = mlp.learning_rate_init
        self.power, self.beta_1, self.beta_2 = mlp.power_t, mlp.beta_1, mlp.beta_2
        self.t = 0                  # steps
        self.total = None           # steps of the whole fit, for schedules; None if nobody knows

    @property
    def monitor(self):
        """Name of the list of the history that decides a schedule, or None."""
        return monitor_of(self.schedule)

    def take(self, n, history):
        """Rates of the next n steps. Adam's bias corrections are in them: so its epsilon is added to sqrt(v), as
        scikit-learn does, and not to the corrected sqrt(v) of the paper's algorithm 1."""
        t = np.arange(self.t + 1, self.t + n + 1)
        if self.schedule is None:
            rates = np.full(n, float(self.learning_rate if self.kind != "adam" else self.first))
        else:
            rates = rates_of(self.schedule, t - 1, self.total, getattr(history, self.monitor or "loss"))
        if self.kind == "adam":
            rates = rates * (np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t))
        self.t += n
        if self.kind in ("adam", "schedule"):
            self.learning_rate = float(rates[-1])
        return rates

    def end_epoch(self, n_seen):
        if self.kind == "invscaling":
            self.learning_rate = float(self.first) / (n_seen + 1) ** self.power

    def lower(self):
        """Answers epochs without progress. Returns whether training should go on, at a lower rate."""
        if self.kind != "adaptive" or self.learning_rate <= 1e-6:
            return False
        self.learning_rate /= 5
        return True


def update_of(mlp):
    """The core's update rule, but for its penalty."""
    if mlp.solver == "adam":
        return Adam(beta1=mlp.beta_1, beta2=mlp.beta_2, eps=mlp.epsilon, clip_norm=mlp.clip_norm).update()
    nesterov = bool(mlp.nesterovs_momentum and mlp.momentum > 0)
    return SGD(momentum=mlp.momentum, nesterov=nesterov, clip_norm=mlp.clip_norm).update()
