"""What a fit did: one entry an epoch, and the totals."""

from dataclasses import dataclass, field


@dataclass
class History:
    """Record of one ``fit``.

    Losses are means over samples, by their weights, without penalties; ``loss`` and ``metric`` are those of the batches as
    they were trained on, before their update. All lists have an entry an epoch.
    """

    metric_name: str                                    #: "accuracy", "r2", or "loss" for a loss of the user's own
    n_samples: int                                      #: samples of an epoch; of a stream, of the last one
    n_threads: int                                      #: threads of a step, those that were quickest
    isa: str                                            #: ISA row of the core
    flops_per_sample: int                               #: 2 a weight for each of forward, dW and, but for the first layer, dX
    epochs: int = 0                                     #: asked for
    is_validated: bool = False                          #: whether there are validation data
    activations: tuple = ()                             #: of the layers
    loss: list = field(default_factory=list)
    metric: list = field(default_factory=list)
    val_loss: list = field(default_factory=list)        #: empty without validation data
    val_metric: list = field(default_factory=list)
    learning_rate: list = field(default_factory=list)   #: of the last step; NaN where the optimizer has none
    seconds: list = field(default_factory=list)         #: training alone, without validation and callbacks
    samples: list = field(default_factory=list)         #: that were trained on
    health: list = field(default_factory=list)          #: with ``health=True``: an array (n_layers, 6), see `verdict`
    step: int = 0                                       #: updates so far
    running_loss: float | None = None                   #: mean loss of an epoch that is under way; None between epochs
    diverged: dict | None = None                        #: epoch, step, layer and message of a `DivergenceError`

    @property
    def n_epochs(self):
        """Epochs of this fit."""
        return len(self.loss)

    @property
    def samples_per_second(self):
        return sum(self.samples) / max(sum(self.seconds), 1e-9)

    @property
    def gflops(self):
        """Billions of floating-point operations a second over the whole fit."""
        return self.samples_per_second * self.flops_per_sample / 1e9

    @property
    def columns(self):
        """Names of what `row` gives."""
        return ("epoch", *self._lists())

    def _lists(self):
        """The lists by the names of their columns; a metric that is the loss itself is none of them."""
        lists = {"loss": self.loss, self.metric_name: self.metric} if self.metric_name != "loss" else {"loss": self.loss}
        if self.is_validated:
            lists["val_loss"] = self.val_loss
            if self.metric_name != "loss":
                lists[f"val_{self.metric_name}"] = self.val_metric
        return lists | {"learning_rate": self.learning_rate, "seconds": self.seconds}

    def row(self, epoch):
        """An epoch as a dict by `columns`; epochs are counted from 1 there, and here from 0 or, negative, from the end."""
        epoch %= self.n_epochs
        return {"epoch": epoch + 1} | {name: values[epoch] for name, values in self._lists().items()}

    def line(self):
        """The last epoch in words."""
        lists = self._lists()
        return "  ".join(f"{name} {lists[name][-1]:.4f}" for name in lists if name not in ("learning_rate", "seconds"))

    def verdict(self, epoch=-1):
        """Why it does or does not learn, by the gradient health of an epoch; see `fastbp.health.verdict`.

        Raises
        ------
        ValueError
            If the fit was not asked for ``health=True``.
        """
        from fastbp import health
        return health.verdict(self.health, self.activations, self.loss, epoch, self.diverged)

    def plot(self, ax=None):
        """Draw losses and metric over the epochs; see `fastbp.plots`. Needs matplotlib."""
        from fastbp import plots
        return plots.plot_history(self, ax)

    def plot_gradient_flow(self, ax=None):
        """Draw the gradient norms of all layers over the epochs; see `fastbp.plots`. Needs matplotlib."""
        from fastbp import plots
        return plots.plot_gradient_flow(self, ax)
