"""What a fit did: one entry an epoch, and the totals."""

from dataclasses import dataclass, field


@dataclass
class History:
    """Record of one ``fit``.

    Losses are means over samples, without the l2 term; ``loss`` and ``metric`` are those of the batches as they were
    trained on, before their update.
    """

    metric_name: str                                    #: "accuracy" or "r2"
    n_samples: int                                      #: samples of an epoch
    n_threads: int                                      #: threads of a step, those that were quickest
    isa: str                                            #: ISA row of the core
    flops_per_sample: int                               #: 2 n_in n_out a layer for each of forward, dW and, but for the first, dX
    loss: list = field(default_factory=list)
    metric: list = field(default_factory=list)
    val_loss: list = field(default_factory=list)        #: empty without validation data
    val_metric: list = field(default_factory=list)
    seconds: list = field(default_factory=list)         #: training alone, without validation and callbacks

    @property
    def n_epochs(self):
        """Epochs of this fit."""
        return len(self.loss)

    @property
    def samples_per_second(self):
        return self.n_epochs * self.n_samples / max(sum(self.seconds), 1e-9)

    @property
    def gflops(self):
        """Billions of floating-point operations a second over the whole fit."""
        return self.samples_per_second * self.flops_per_sample / 1e9

    def line(self):
        """The last epoch in words."""
        text = f"loss {self.loss[-1]:.4f}  {self.metric_name} {self.metric[-1]:.4f}"
        if self.val_loss:
            text += f"  val_loss {self.val_loss[-1]:.4f}  val_{self.metric_name} {self.val_metric[-1]:.4f}"
        return text
