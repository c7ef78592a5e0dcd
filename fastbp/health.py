"""Why does it not learn? A verdict on the gradient health of a fit, with remedies by name.

Works on numbers alone: what ``Stack.take_health`` counted in each epoch, the activations and the losses. Every judge
below looks at one epoch for one illness, and `JUDGES` lists them, causes before symptoms: the first that finds
something gives the verdict its name. Each threshold stands beside its reason.
"""

from dataclasses import dataclass, field

import numpy as np

from fastbp import _validate, initializers

#: columns of an epoch's table, one row a layer: means over the watched steps, then the state at the epoch's end
DZ_NORM, DW_NORM, RATIO, SATURATED, W_NORM, DEAD = range(6)


#: A factor between the ||dz|| of a hidden layer and the output layer's. Nielsen's networks with two and three hidden layers
#: (Neural Networks and Deep Learning, chapter 5) start at 1/14 and 1/90 on 1000 digits, and the third layer is where his
#: accuracy begins to fall; relu, tanh and selu networks of up to 20 layers stay between 1/2 and 5.4 while they learn,
#: and relu weights three times He's give 360.
FAR = 30

#: Share of a layer's outputs where f' is at most a hundredth of its largest. Half and more: Nielsen's N(0, 1) start (his
#: chapter 3, "the hidden neuron will have saturated"), 0.53 to 0.64; his 1/sqrt(n_in) start stays below 0.25 to the end.
MANY_SATURATED = 0.5

#: Share of a layer's units. "As much as 40 % of your network can be dead" is the warning of Stanford's CS231n notes
#: about learning rates that are too high; healthy relu networks have below 0.25. Only the samples of watched steps count:
#: of an epoch that watches ten or fewer, the share says little.
MANY_DEAD = 0.4

#: A loss that has grown so much over its first epoch's mean comes of steps that are too long, not of chance.
LOSS_GROWTH = 10

#: Over the first epoch's norm of dW: the cliffs of Pascanu, Mikolov and Bengio (2013), against which they clip.
GRADIENT_GROWTH = 100

SLOWER = "a smaller learning_rate"
CLIP = "clip_norm=1.0 in the optimizer"
NORMALISE = 'normalization="batch" or "layer" in the hidden layers'
RESCALE = "X (and y, for a regression) scaled to unit variance"

BOUNDED = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh")


@dataclass(frozen=True)
class Finding:
    """One illness in one epoch."""

    kind: str           #: a key of ``JUDGES``
    layer: int          #: where it is worst, counted from 0
    evidence: str       #: the figures behind it
    remedies: tuple[str, ...]     #: what to try, the likeliest first


@dataclass(frozen=True)
class Verdict:
    """What an epoch's health amounts to; ``str()`` of it is a few lines to read.

    Attributes
    ----------
    epoch : int
        Counted from 0.
    kind : str
        "diverged", "dead", "saturated", "exploding", "vanishing" or "healthy"; "unknown" if no step was watched.
    evidence : str
        The figures behind ``kind``.
    findings : tuple of Finding
        Everything found, causes before symptoms; empty if healthy.
    past : tuple of str
        ``kind`` of every epoch before this one.
    """

    epoch: int
    kind: str
    evidence: str
    findings: tuple[Finding, ...] = ()
    past: tuple[str, ...] = field(default=(), repr=False)

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to try, each once, the likeliest first."""
        return tuple(dict.fromkeys(remedy for finding in self.findings for remedy in finding.remedies))

    @property
    def before(self) -> str:
        """The epochs before in words, if they were otherwise; else empty."""
        return "before: " + ", ".join(_stretches(self.past)) if set(self.past) - {self.kind} else ""

    def __str__(self):
        lines = [f"{self.kind} in epoch {self.epoch + 1}: {self.evidence}"]
        lines += [f"  also {finding.kind}: {finding.evidence}" for finding in self.findings[1:]]
        lines += [f"  {'or ' if i else 'try'} {remedy}" for i, remedy in enumerate(self.remedies)]
        return "\n".join(lines + [f"  {self.before}"] * bool(self.before))


def verdict(health, activations, losses=None, epoch=-1, diverged=None):
    """Judge one epoch of a fit.

    Parameters
    ----------
    health : sequence of array_like (n_layers, 6)
        One table an epoch: ||dz||, ||dW||, ||dW||/||W||, share of saturated outputs (means over the watched steps), ||W||
        and share of dead units (at the epoch's end). ``History.health`` is one.
    activations : sequence of str
        Of the layers, as ``Network.activations``.
    losses : sequence of float, optional
        Mean loss of each epoch, as ``History.loss``. Without it a loss that grows is not seen.
    epoch : int, default -1
        Counted from 0, or from the end.
    diverged : dict, optional
        ``History.diverged``: the fit broke off with this `fastbp.DivergenceError`, which is then what its end amounts to.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If there are no tables, one has another shape, losses are not one an epoch, or there is no such epoch.
    """
    tables = [_validate.matrix(f"health[{i}]", table, (len(activations), 6), np.float64) for i, table in enumerate(health)]
    if not tables and diverged is None:
        raise ValueError("health must have at least one epoch: train with fit(..., health=True)")
    losses = np.ones(len(tables)) if losses is None or not tables else losses
    losses = _validate.matrix("losses", losses, (len(tables),), np.float64)
    judged = [_judge(_Epoch(tables[:i + 1], losses[:i + 1], activations)) for i in range(len(tables))]
    if diverged is not None:
        layer = min(max(diverged["layer"] or 0, 0), len(activations) - 1)
        finding = Finding("diverged", layer, diverged["message"], (SLOWER, CLIP, RESCALE))
        judged.append((finding.kind, finding.evidence, (finding,)))
    if not -len(judged) <= epoch < len(judged):
        raise ValueError(f"epoch must be from {-len(judged)} to {len(judged) - 1}, not {epoch}")
    epoch %= len(judged)
    return Verdict(epoch, *judged[epoch], tuple(kind for kind, _, _ in judged[:epoch]))


# Judges: an epoch to what they find in it, or None ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Epoch:
    """The last of these tables and losses, with those before it."""

    tables: list
    losses: np.ndarray
    activations: tuple

    def __getitem__(self, column):
        return self.tables[-1][:, column]

    @property
    def learns(self):
        """Whether the loss is below half of its start."""
        return self.losses[-1] < self.losses[0] / 2

    @property
    def hidden_flow(self):
        """||dz|| of the hidden layers over the output layer's; nothing to compare where that is 0."""
        dz = self[DZ_NORM]
        return dz[:-1] / dz[-1] if dz[-1] > 0 else np.ones(len(dz) - 1)


def _judge(epoch):
    """Kind, evidence and findings of an epoch."""
    if np.isnan(epoch.tables[-1][:, :SATURATED + 1]).all() and np.isfinite(epoch.losses[-1]):
        return "unknown", "no step of it was watched", ()
    findings = []
    for judge in JUDGES.values():
        findings += [finding] if (finding := judge(epoch)) else []
        if findings and findings[0].kind == "diverged":     # figures that are not finite say nothing more
            break
    return (findings[0].kind, findings[0].evidence, tuple(findings)) if findings else ("healthy", _sound(epoch), ())


def _diverged(epoch):
    remedies = (SLOWER, CLIP, RESCALE)
    bad = ~np.isfinite(epoch.tables[-1]).all(axis=1)
    if bad.any():
        layer = int(np.argmax(bad))
        return Finding("diverged", layer, f"numbers of layer {layer} are not finite", remedies)
    if not np.isfinite(epoch.losses[-1]):
        return Finding("diverged", len(bad) - 1, "the loss is not finite", remedies)
    if epoch.losses[-1] > LOSS_GROWTH * abs(epoch.losses[0]) > 0:
        growth = f"the loss has grown from {epoch.losses[0]:.3g} to {epoch.losses[-1]:.3g}"
        return Finding("diverged", len(bad) - 1, growth, remedies)
    return None


def _dead(epoch):
    """Far out a bounded activation rounds to its limit, and f' to 0: that is saturation."""
    shares = np.where(np.isin(epoch.activations, BOUNDED), 0, epoch[DEAD])
    layer = int(np.argmax(shares))
    if shares[layer] < MANY_DEAD:
        return None
    evidence = f"in layer {layer}, {shares[layer]:.0%} of the units gave no gradient for any sample"
    return Finding("dead", layer, evidence, (
        SLOWER, 'activation="leaky_relu" or "elu", whose gradient is never 0', _start_over(epoch, layer), NORMALISE))


def _saturated(epoch):
    """The last layer may saturate when it is right, so it counts only while the loss is not falling."""
    shares = epoch[SATURATED].copy()
    if epoch.learns:
        shares[-1] = 0
    layer = int(np.argmax(shares))
    if shares[layer] < MANY_SATURATED:
        return None
    evidence = f"in layer {layer}, {shares[layer]:.0%} of the outputs of {epoch.activations[layer]} are flat"
    if layer == len(shares) - 1:
        return Finding("saturated", layer, evidence, (
            "a cross-entropy loss on an identity output, whose gradient does not fade when wrong", SLOWER))
    return Finding("saturated", layer, evidence, (
        _start_over(epoch, layer), SLOWER, NORMALISE, RESCALE, 'activation="relu"'))


def _exploding(epoch):
    flow, norms = epoch.hidden_flow, np.array([table[:, DW_NORM] for table in epoch.tables])
    remedies = (CLIP, SLOWER)
    if flow.size and flow.max() > FAR:
        layer = int(np.argmax(flow))
        evidence = f"the gradient in layer {layer} is {flow[layer]:.3g} times as large as in the output layer"
        return Finding("exploding", layer, evidence, (_start_over(epoch, layer), NORMALISE, *remedies))
    layer = int(np.argmax(norms[-1] - GRADIENT_GROWTH * norms[0]))
    if norms[-1, layer] > GRADIENT_GROWTH * norms[0, layer] > 0:
        growth = f"the gradient of layer {layer} has grown from {norms[0, layer]:.3g} to {norms[-1, layer]:.3g}"
        return Finding("exploding", layer, growth, remedies)
    return None


def _vanishing(epoch):
    flow = epoch.hidden_flow
    if not flow.size or flow.min() * FAR >= 1:
        return None
    layer = int(np.argmin(flow))
    times = f"{1 / flow[layer]:.3g} times smaller than in" if flow[layer] else "0, against that of"
    evidence = f"the gradient in layer {layer} is {times} the output layer"
    bounded = [name for name in epoch.activations[:-1] if name in BOUNDED]
    other = (f'activation="relu" or "selu" in place of {bounded[0]}',) if bounded else ()
    return Finding("vanishing", layer, evidence, (
        *other, _start_over(epoch, layer), NORMALISE, "residual=True round hidden layers of equal width"))


#: in the order in which they give an epoch its kind: what ends training, then causes, then what follows from them
JUDGES = {"diverged": _diverged, "dead": _dead, "saturated": _saturated, "exploding": _exploding, "vanishing": _vanishing}


# Words ------------------------------------------------------------------------------------------------------------------


def _start_over(epoch, layer):
    """The initialiser that "auto" would choose, by name."""
    activation = epoch.activations[layer]
    return f'initializer="auto" ({initializers.default_for(activation)} for {activation})'


def _sound(epoch):
    """The figures of a healthy epoch."""
    flow = np.append(epoch.hidden_flow, 1)
    return (f"gradients of {len(flow)} layers within a factor {flow.max() / flow.min():.2g}, at most "
            f"{epoch[SATURATED].max():.0%} saturated and {epoch[DEAD].max():.0%} dead")


def _stretches(kinds):
    """Runs of equal kinds: "vanishing in epochs 1 to 3"."""
    texts, first = [], 0
    for last, kind in enumerate(kinds):
        if last + 1 == len(kinds) or kinds[last + 1] != kind:
            texts.append(f"{kind} in epoch{f's {first + 1} to' if last > first else ''} {last + 1}")
            first = last + 1
    return texts
