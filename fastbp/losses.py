"""The losses: what each asks of its targets, and what it says of its outputs. The formulas are in `_core/losses.pxi`."""

from dataclasses import dataclass

from fastbp._dispatch import core


@dataclass(frozen=True)
class Loss:
    """One row of the registry."""

    name: str
    targets: str        #: "labels": one class a sample; "binary": numbers in [0, 1]; "values": any finite numbers
    link: str           #: inverse link from raw outputs to predictions: "softmax", "sigmoid" or "identity"
    metric: str         #: "accuracy", or "r2" (1 - residual / total sum of squares, over all outputs together)

    @property
    def code(self):
        """The core's number for this loss."""
        return int(core("float32").Loss.__members__[self.name.upper()])


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("squared_error", "values", "identity", "r2"),
        Loss("binary_cross_entropy", "binary", "sigmoid", "accuracy"),
        Loss("softmax_cross_entropy", "labels", "softmax", "accuracy"),
    )
}
