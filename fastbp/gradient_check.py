"""Is the gradient right? Backpropagation against central differences of the loss, in float64, on a copy of a network.

Whatever the network has is checked: its own loss, normalisation, residual connections, sample weights. Dropout and noise
are off, as in `Network.loss_and_gradient`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fastbp import _validate, gradients
from fastbp._typing import ArrayLike

if TYPE_CHECKING:
    from fastbp.network import Network

#: Of a difference, relative to max(1, |w|). The cube root of the rounding unit balances the error h^2 f''' / 6 against
#: rounding. Where the loss has a kink within reach (relu at 0, an absolute error at 0) a smaller step may not reach it.
STEPS = (6e-6, 6e-7, 6e-8)

#: Exactly at a kink no step helps, and the loss is looked at from so far away, relative to max(1, |w|). It is no rare place: for
#: a sample of zeros a network whose biases are 0 has all its rectifiers at their kinks.
AWAY = 1e-3

#: Relative error that is accepted. Smooth losses come out at 1e-7 and below; a wrong formula is off by 1e-2 and more.
TOLERANCE = 1e-5

#: How far the rounding of a loss may go, in units of the last place of the loss and of the raw outputs.
ROUNDINGS = 8

TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Entry:
    """One parameter and its derivative, found in two ways."""

    index: tuple[int, ...]  #: its place in the block
    backward: float     #: by backpropagation
    numeric: float      #: by a difference of losses
    error: float        #: |backward - numeric| over the larger of the two; of tiny ones, over what rounding lets be told
    kink: bool = False  #: the loss bends here; both derivatives are those close by


@dataclass(frozen=True)
class Block:
    """The entries of W, b or gain of a layer that were checked."""

    layer: int          #: counted from 0
    name: str           #: "W", "b" or "gain"
    size: int           #: entries that the block has
    entries: tuple[Entry, ...]

    @property
    def worst(self) -> Entry:
        """The entry with the largest error."""
        return max(self.entries, key=lambda entry: entry.error)

    @property
    def n_kinks(self) -> int:
        return sum(entry.kink for entry in self.entries)


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradient` found; ``str()`` of it is a table.

    Attributes
    ----------
    ok : bool
        Whether every error is at most ``tolerance``.
    worst : Block
        The block with the largest error; ``worst.worst`` is the entry.
    blocks : tuple of Block
        W, b and, under normalisation, gain of each layer.
    loss, tolerance : float
    """

    blocks: tuple[Block, ...]
    loss: float
    tolerance: float

    @property
    def worst(self) -> Block:
        return max(self.blocks, key=lambda block: block.worst.error)

    @property
    def ok(self) -> bool:
        return self.worst.worst.error <= self.tolerance

    def __str__(self):
        lines = ["layer  block  checked           error      backward       numeric  at"]
        for block in self.blocks:
            entry, checked = block.worst, f"{len(block.entries)} of {block.size}"
            notes = f"  {block.n_kinks} at a kink" if block.n_kinks else ""
            notes += "  WRONG" if entry.error > self.tolerance else ""
            lines.append(f"{block.layer:5}  {block.name:5}  {checked:14}  {entry.error:7.1e}  {entry.backward:12.5e}"
                         f"  {entry.numeric:12.5e}  {list(entry.index)}{notes}")
        block, entry = self.worst, self.worst.worst
        lines.append(f"{'ok' if self.ok else 'WRONG'}: the largest relative error is {entry.error:.1e}, in {block.name}"
                     f"{list(entry.index)} of layer {block.layer}; up to {self.tolerance:g} is accepted")
        return "\n".join(lines)


def check_gradient(net: "Network", X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, max_entries: int = 40,
                   tolerance: float = TOLERANCE, seed: int = 0) -> GradientCheck:
    """Compare the gradient by backpropagation with differences of the loss.

    Everything happens in float64 on a copy of the network, which itself stays as it is. A small block of parameters is
    checked whole; of a larger one, half of those looked at are the largest gradients, half are drawn.

    Where the loss has a kink, as relu has at 0, there is no derivative to compare with. An entry at which it bends is checked at
    parameters that are a thousandth away from those of the network; the table tells how many were such.

    Parameters
    ----------
    net : Network
        With any layers and any loss, one of the user's own too; a C function must be one for float64.
    X, y : array_like
        See `Network.fit`. Some dozen samples are enough; they are one batch, whose mean loss is differentiated.
    sample_weight : array_like (n_samples,), optional
        See `Network.fit`.
    max_entries : int, default 40
        Of each block, at most so many. Each costs two evaluations of the loss, near a kink up to six.
    tolerance : float, default 1e-5
        Relative error that is accepted, besides what the rounding of two losses explains.
    seed : int, default 0
        Of the draw.

    Returns
    -------
    GradientCheck
        ``print(check)`` shows a table; ``check.ok`` says whether all is well, ``check.worst`` where it is worst.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the loss is not finite.
    """
    data, _ = net._read_samples(X, y, sample_weight)
    max_entries = _validate.positive_int("max_entries", max_entries)
    tolerance = _validate.number("tolerance", tolerance, above=0)
    rng = np.random.default_rng(_validate.seed(seed))
    loss, blocks = _Loss(net, data), []
    for layer in range(net.n_layers):
        for name, part in _parts(net, layer).items():
            gradient = loss.gradients[layer][part]
            places = [(part.start + row, column) for row, column in _choose(rng, gradient, max_entries)]
            entries = [_check(loss, layer, place, tolerance) for place in places]
            blocks.append(Block(layer, name, gradient.size, tuple(_placed(entry, part.start, name) for entry in entries)))
    return GradientCheck(tuple(blocks), loss.value, tolerance)


def _parts(net, layer):
    """Where a layer's trained parameters stand in its block of rows; batch norm's statistics follow them."""
    n = net._n_weight_rows(layer)
    parts = {"W": slice(0, n), "b": slice(n, n + 1)}
    return parts | {"gain": slice(n + 1, n + 2)} if net._specs[layer]["norm"] else parts


class _Loss:
    """The mean loss, as a function of one parameter at a time, and its gradient by backpropagation."""

    def __init__(self, net, data, away=0.0):
        self.net, self.data, self.stack = net, data, gradients.copy_stack(net, "float64")
        self.rows = gradients.rows(net, self.stack)
        if away:
            self._move(away)
        self.value = self.stack.gradient(*data, 1)
        if not np.isfinite(self.value):
            raise ValueError(f"X and y must give a finite loss for a check of its gradient, not {self.value}")
        self.gradients = gradients.rows(net, self.stack, "get_gradient")
        raw = np.empty((len(data.X), net.sizes[-1]))
        self.stack.forward(data.X, raw, 1)
        self.rounding = ROUNDINGS * np.finfo(np.float64).eps * (abs(self.value) + np.abs(raw).max())

    def _move(self, away):
        """Every trained parameter by about so much, up or down."""
        rng = np.random.default_rng(0)
        for layer, rows in enumerate(self.rows):
            for part in _parts(self.net, layer).values():
                move = away * rng.uniform(0.5, 1, rows[part].shape) * rng.choice([-1, 1], rows[part].shape)
                rows[part] += move * np.maximum(1, np.abs(rows[part]))
            self.stack.set_rows(layer, rows)

    @cached_property
    def close_by(self):
        """The same, away from the kinks that this one stands at."""
        return _Loss(self.net, self.data, AWAY)

    def at(self, layer, place, value):
        """The loss where one parameter has another value."""
        changed = self.rows[layer].copy()
        changed[place] = value
        self.stack.set_rows(layer, changed)
        loss = self.stack.gradient(*self.data, 1)
        self.stack.set_rows(layer, self.rows[layer])
        return loss


def _choose(rng, gradient, max_entries):
    """Places of a block: all, or half those with the largest gradients and half drawn."""
    places = np.arange(gradient.size)
    if gradient.size > max_entries:
        largest = np.argsort(-np.abs(gradient), axis=None, kind="stable")[:max_entries // 2]
        rest = np.setdiff1d(places, largest)
        places = np.concatenate([largest, rng.choice(rest, max_entries - len(largest), replace=False)])
    return [divmod(int(place), gradient.shape[1]) for place in places]


def _check(loss, layer, place, tolerance):
    """One entry; `place` is its row and column in the layer's block. What is wrong here and right close by is a kink."""
    here = _compare(loss, layer, place, tolerance)
    if here.error <= tolerance:
        return here
    close_by = _compare(loss.close_by, layer, place, tolerance)
    return replace(close_by, kink=True) if close_by.error <= tolerance else here


def _compare(loss, layer, place, tolerance):
    """By the first step that agrees; a smaller one is tried only while a kink within reach can explain what does not."""
    w, backward = float(loss.rows[layer][place]), float(loss.gradients[layer][place])
    for step in STEPS:
        above, below = w + step * max(1, abs(w)), w - step * max(1, abs(w))     # as they are rounded
        higher, lower = loss.at(layer, place, above), loss.at(layer, place, below)
        central, rounding = (higher - lower) / (above - below), 2 * loss.rounding / (above - below)
        error = _error(backward, central, tolerance, rounding)
        right, left = (higher - loss.value) / (above - w), (loss.value - lower) / (w - below)
        if error <= tolerance or abs(right - left) < abs(central - backward):
            break
    return Entry(place, backward, central, error)


def _error(backward, numeric, tolerance, rounding):
    """Relative to the larger, but such that what rounding explains stays within the tolerance."""
    difference = abs(backward - numeric)
    return difference / max(abs(backward), abs(numeric), rounding / tolerance, TINY) if np.isfinite(difference) else np.inf


def _placed(entry, first_row, name):
    """With the index that the entry has in W, b or gain."""
    row, column = entry.index
    return replace(entry, index=(row - first_row, column) if name == "W" else (column,))
