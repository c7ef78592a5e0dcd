"""Pictures of a fit, for a talk or a notebook. matplotlib is imported when one is drawn: ``pip install fastbp[plot]``.

Each function draws into the Axes it is given, or into a new figure, and returns the Axes.
"""

import numpy as np

from fastbp.health import DZ_NORM, RATIO

BLUE, ORANGE, GREY, FAINT = "#1f4e79", "#d1661f", "#555555", "#b9c6d3"
FEW_EPOCHS = 30
MANY_LAYERS = 8         # more of them get a scale of colours in place of a legend


def plot_history(history, ax=None):
    """Losses of a fit over its epochs, and the metric.

    Parameters
    ----------
    history : History
    ax : Axes or sequence of Axes, optional
        Two, but one where the loss is the metric. Default: a new figure.

    Returns
    -------
    ndarray of Axes
        ``axes[0].figure`` is the figure.

    Raises
    ------
    ValueError
        If there is no epoch, or ax are not as many Axes.
    """
    if not history.n_epochs:
        raise ValueError("history must have at least one epoch to plot, not 0")
    axes = _axes(ax, 1 if history.metric_name == "loss" else 2)
    epochs = np.arange(1, history.n_epochs + 1)
    curves = ((history.loss, history.val_loss, "loss"), (history.metric, history.val_metric, history.metric_name))
    for axis, (trained, validated, name) in zip(axes, curves):
        _line(axis, epochs, trained, BLUE, "training")
        if validated:
            _line(axis, epochs, validated, ORANGE, "validation")
            axis.legend(frameon=False)
        _finish(axis, epochs, name)
    _log_if_wide(axes[0], history.loss + history.val_loss)
    colour = ORANGE if history.val_loss else BLUE
    _mark(axes[0], epochs, history.val_loss or history.loss, np.nanargmin, colour, "below")
    if len(axes) > 1:
        _mark(axes[1], epochs, history.val_metric or history.metric, np.nanargmax, colour, "above")
    return axes


def plot_gradient_flow(history, ax=None):
    """How much of the gradient reaches each layer, over the epochs of a fit with ``health=True``.

    On the left the norm of dz, the gradient at each layer's z: where it falls from layer to layer down to the first, the gradient
    vanishes, where it grows, it explodes. On the right the norm of dW over that of W. The title is the verdict.

    Parameters
    ----------
    history : History
    ax : sequence of two Axes, optional
        Default: a new figure.

    Returns
    -------
    ndarray (2,) of Axes
        ``axes[0].figure`` is the figure.

    Raises
    ------
    ValueError
        If the fit was not asked for ``health=True``, or ax are not two Axes.
    """
    said = history.verdict()
    axes, tables = _axes(ax, 2), np.array(history.health)
    epochs, n_layers = np.arange(1, len(tables) + 1), tables.shape[1]
    columns = ((DZ_NORM, "norm of the gradient, ‖dz‖"), (RATIO, "relative to the weights, ‖dW‖ / ‖W‖"))
    for axis, (column, name) in zip(axes, columns):
        for layer, colour in enumerate(_colours(n_layers)):
            label = f"layer {layer}, {history.activations[layer]}" + (" (output)" if layer + 1 == n_layers else "")
            _line(axis, epochs, _positive(tables[:, layer, column]), colour, label)
        axis.set_yscale("log")
        _widen(axis)
        _finish(axis, epochs, name)
    _name_layers(axes[1], n_layers)
    before = f"\n{said.before}" if said.before else ""
    axes[0].figure.suptitle(f"{said.kind}: {said.evidence}{before}", x=0.01, ha="left", fontsize=11)
    return axes


def plot_range_test(test, ax=None):
    """Losses of a `fastbp.range_test.RangeTest` over its learning rates, with the suggestion.

    Parameters
    ----------
    test : RangeTest
    ax : Axes, optional
        Default: a new figure.

    Returns
    -------
    Axes
    """
    axis, = _axes(ax, 1)
    axis.plot(test.rates, test.losses, color=FAINT, linewidth=1, label="each batch")
    axis.plot(test.rates, test.smoothed, color=BLUE, linewidth=2, label="smoothed")
    axis.set_xscale("log")
    bottom, start = test.smoothed[test.lowest_step], test.start
    axis.set_ylim(bottom - 0.25 * abs(start - bottom), start + 0.6 * abs(start - bottom))
    axis.plot(test.lowest, bottom, "o", color=BLUE)
    axis.annotate(f"lowest at {test.lowest:.2g}", (test.lowest, bottom), (6, -9), textcoords="offset points",
                  color=BLUE, va="top")
    if test.suggestion is not None:
        axis.axvline(test.suggestion, color=ORANGE, linewidth=1.5)
        axis.annotate(f"learning_rate={test.suggestion:.2g}", (test.suggestion, 1), (-4, -4), xycoords=("data", "axes fraction"),
                      textcoords="offset points", color=ORANGE, ha="right", va="top")
    axis.legend(frameon=False, loc="lower left")
    _finish(axis, None, "loss", "learning rate")
    return axis


# Parts ------------------------------------------------------------------------------------------------------------------


def _axes(ax, n):
    """So many Axes: those that were given, or of a new figure."""
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError:
            raise ImportError("a plot needs matplotlib: pip install fastbp[plot]") from None
        return pyplot.subplots(1, n, figsize=(1 + 4.2 * n, 3.8), layout="constrained", squeeze=False)[1][0]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n:
        raise ValueError(f"ax must be {n} Axes for this plot, not {len(axes)}")
    return axes


def _line(axis, epochs, values, colour, label):
    """With a dot for each of a few epochs, since one between two gaps makes no line."""
    dot = "o" if len(epochs) <= FEW_EPOCHS else None
    axis.plot(epochs, values, color=colour, linewidth=2, marker=dot, markersize=4, label=label)


def _finish(axis, epochs, name, below="epoch"):
    """The frame recedes, the numbers stay; what is drawn is said above, level, where it is read first."""
    axis.set_title(name, loc="left", fontsize=11)
    axis.set_xlabel(below)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(color=GREY, labelcolor=GREY)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(GREY)
    if epochs is not None:
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        margin = 0.02 * len(epochs) if len(epochs) > 1 else 0.6
        axis.set_xlim(epochs[0] - margin, epochs[-1] + margin)
        axis.margins(y=0.12)        # room for a note


def _log_if_wide(axis, values):
    """A loss that falls by orders of magnitude is a flat line on a linear scale."""
    if min(values) > 0 and max(values) > 30 * min(values):
        axis.set_yscale("log")


def _widen(axis):
    """Two decades at least, so that layers which are nearly equal look it."""
    low, high = axis.get_ylim()
    middle, factor = np.sqrt(low * high), max(10, np.sqrt(high / low))
    axis.set_ylim(middle / factor, middle * factor)


def _mark(axis, epochs, values, best, colour, where):
    """A dot at the best epoch, with its value."""
    place = int(best(values))
    axis.plot(epochs[place], values[place], "o", color=colour)
    _note(axis, f"{values[place]:.4g} in epoch {epochs[place]}", epochs[place], values[place], colour, where)


def _note(axis, text, x, y, colour, where):
    """Words at a point, towards the middle of the picture."""
    is_right = axis.transData.transform((x, y))[0] > axis.transAxes.transform((0.5, 0))[0]
    place = (-6 if is_right else 6, 9 if where == "above" else -9)
    axis.annotate(text, (x, y), place, textcoords="offset points", color=colour, ha="right" if is_right else "left",
                  va="bottom" if where == "above" else "top")


def _positive(values):
    """With gaps where a log scale has no place."""
    return np.where(values > 0, values, np.nan)


def _colours(n_layers):
    """From the first layer, dark, to the output, light."""
    from matplotlib import colormaps
    return colormaps["viridis"](np.linspace(0, 0.88, n_layers))


def _name_layers(axis, n_layers):
    """A legend, output on top as in a drawing of a network; of many layers a scale of colours."""
    if n_layers <= MANY_LAYERS:
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles[::-1], labels[::-1], frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return
    from matplotlib import cm, colors
    shades = colors.ListedColormap(_colours(n_layers))
    scale = cm.ScalarMappable(colors.BoundaryNorm(np.arange(n_layers + 1) - 0.5, n_layers), shades)
    bar = axis.figure.colorbar(scale, ax=axis, ticks=sorted({0, n_layers // 2, n_layers - 1}))
    bar.set_label("layer")
    bar.outline.set_visible(False)
