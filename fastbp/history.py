"""What a fit did: one entry an epoch, and the totals."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastbp._typing import Doubles

if TYPE_CHECKING:
    from fastbp.health import Verdict


@dataclass
class History:
    """Record of one ``fit``.

    Losses are means over samples, by their weights, without penalties; ``loss`` and ``metric`` are those of the batches as
    they were trained on, before their update. All lists have an entry an epoch.
    """

    metric_name: str                                            #: "accuracy", "r2", or "loss" for a loss of the user's own
    n_samples: int                                              #: samples of an epoch; of a stream, of the last one
    n_threads: int                                              #: threads of a step, those that were quickest
    isa: str                                                    #: ISA row of the core
    flops_per_sample: int                                       #: 2 a weight for forward, dW and, but for the first layer, dX
    epochs: int = 0                                             #: asked for
    is_validated: bool = False                                  #: whether there are validation data
    activations: tuple[str, ...] = ()                           #: of the layers
    loss: list[float] = field(default_factory=list)             #: mean loss of the training samples
    metric: list[float] = field(default_factory=list)           #: their accuracy, r2 or, for a loss of the user's own, loss
    val_loss: list[float] = field(default_factory=list)         #: empty without validation data
    val_metric: list[float] = field(default_factory=list)       #: likewise
    learning_rate: list[float] = field(default_factory=list)    #: of the last step; NaN where the optimizer has none
    seconds: list[float] = field(default_factory=list)          #: training alone, without validation and callbacks
    samples: list[int] = field(default_factory=list)            #: that were trained on
    health: list[Doubles] = field(default_factory=list)         #: with ``health=True``: an array (n_layers, 6), see `verdict`
    step: int = 0                                               #: updates so far
    running_loss: float | None = None                           #: mean loss of an epoch that is under way; None between epochs
    diverged: dict[str, Any] | None = None                      #: epoch, step, layer and message of a `DivergenceError`

    @property
    def n_epochs(self) -> int:
        """Epochs of this fit."""
        return len(self.loss)

    @property
    def samples_per_second(self) -> float:
        """Over the whole fit."""
        return sum(self.samples) / max(sum(self.seconds), 1e-9)

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations a second over the whole fit."""
        return self.samples_per_second * self.flops_per_sample / 1e9

    @property
    def columns(self) -> tuple[str, ...]:
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

    def row(self, epoch: int) -> dict[str, float]:
        """An epoch as a dict by `columns`; epochs are counted from 1 there, and here from 0 or, negative, from the end."""
        epoch %= self.n_epochs
        return {"epoch": epoch + 1} | {name: values[epoch] for name, values in self._lists().items()}

    def line(self) -> str:
        """The last epoch in words."""
        lists = self._lists()
        return "  ".join(f"{name} {lists[name][-1]:.4f}" for name in lists if name not in ("learning_rate", "seconds"))

    def verdict(self, epoch: int = -1) -> "Verdict":
        """Why it does or does not learn, by the gradient health of an epoch; see `fastbp.health.verdict`.

        Raises
        ------
        ValueError
            If the fit was not asked for ``health=True``.
        """
        from fastbp import health
        return health.verdict(self.health, self.activations, self.loss, epoch, self.diverged)

    def plot(self, ax: Any = None) -> Any:
        """Draw losses and metric over the epochs; see `fastbp.plots`. Needs matplotlib."""
        from fastbp import plots
        return plots.plot_history(self, ax)

    def plot_gradient_flow(self, ax: Any = None) -> Any:
        """Draw the gradient norms of all layers over the epochs; see `fastbp.plots`. Needs matplotlib."""
        from fastbp import plots
        return plots.plot_gradient_flow(self, ax)
