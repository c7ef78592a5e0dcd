"""The pictures: what stands in them. That they look well is for people to see."""

import sys

import numpy as np
import pytest

from fastbp import SGD, Dense, History, Network
from fastbp.datasets import load_digits
from fastbp.plots import plot_gradient_flow, plot_history, plot_range_test
from fastbp.range_test import learning_rate_range_test

matplotlib = pytest.importorskip("matplotlib")
X, y = load_digits()
X, y, X_valid, y_valid = X[:400] / 16, y[:400], X[400:600] / 16, y[400:600]


@pytest.fixture(autouse=True)
def pyplot(monkeypatch):
    """Without a screen, and with all figures closed afterwards."""
    matplotlib.use("Agg")
    from matplotlib import pyplot
    yield pyplot
    pyplot.close("all")


def fit(layers=(64, 30, 30, 10), epochs=4, **settings):
    net = Network(list(layers), "tanh", seed=0)
    return net.fit(X, y, epochs=epochs, optimizer=SGD(0.3), health=True, **settings)


def lines(axis):
    """Label and y of each curve; dots aside."""
    return {line.get_label(): line.get_ydata() for line in axis.get_lines() if not line.get_label().startswith("_")}


def words(axis):
    return [text.get_text() for text in axis.texts]


def draw(axes):
    """As a file would be written: what cannot be drawn raises here."""
    figure = np.ravel(axes)[0].figure
    figure.canvas.draw()
    return figure


# History -----------------------------------------------------------------------------------------------------


def test_history_with_validation():
    history = fit(validation_data=(X_valid, y_valid))
    loss, accuracy = history.plot()
    assert lines(loss) == {"training": pytest.approx(history.loss), "validation": pytest.approx(history.val_loss)}
    assert lines(accuracy) == {"training": pytest.approx(history.metric), "validation": pytest.approx(history.val_metric)}
    assert (loss.get_title("left"), accuracy.get_title("left")) == ("loss", "accuracy")
    best, high = int(np.argmin(history.val_loss)), int(np.argmax(history.val_metric))
    assert words(loss) == [f"{history.val_loss[best]:.4g} in epoch {best + 1}"]
    assert words(accuracy) == [f"{history.val_metric[high]:.4g} in epoch {high + 1}"]
    assert loss.get_legend() and loss.get_xlabel() == "epoch"
    draw(loss)


def test_history_without_validation():
    loss, accuracy = fit(epochs=1).plot()
    assert list(lines(loss)) == list(lines(accuracy)) == ["training"] and loss.get_legend() is None
    draw(loss)
    assert [tick for tick in loss.get_xticks() if 0.4 <= tick <= 1.6] == [1]


def test_a_loss_that_is_its_own_metric_is_drawn_once():
    net = Network([64, 1], loss=lambda raw, y: (((raw - y) ** 2).sum() / len(raw), 2 * (raw - y) / len(raw)), seed=0)
    history = net.fit(X, y, epochs=2, optimizer=SGD(0.01))
    assert len(history.plot()) == 1


def test_a_wide_loss_gets_a_log_scale():
    history = History("accuracy", 1, 1, "", 1)
    history.loss[:], history.metric[:] = [3.0, 0.2, 0.05], [0.1, 0.5, 0.9]
    assert [axis.get_yscale() for axis in plot_history(history)] == ["log", "linear"]
    history.loss[:] = [3.0, 0.2, 0.0]
    assert plot_history(history)[0].get_yscale() == "linear"


# Gradient flow -----------------------------------------------------------------------------------------------


def test_gradient_flow():
    history = fit()
    left, right = history.plot_gradient_flow()
    health = np.array(history.health)
    names = ["layer 0, tanh", "layer 1, tanh", "layer 2, identity (output)"]
    for axis, column in ((left, 0), (right, 2)):
        assert axis.get_yscale() == "log"
        assert lines(axis) == {name: pytest.approx(health[:, layer, column]) for layer, name in enumerate(names)}
    assert [text.get_text() for text in right.get_legend().get_texts()] == names[::-1]
    assert draw(left).get_suptitle() == f"{history.verdict().kind}: {history.verdict().evidence}"


def test_nearly_equal_layers_look_it():
    """Two decades at least."""
    for axis in fit().plot_gradient_flow():
        low, high = axis.get_ylim()
        assert high / low >= 99


def test_what_was_before_stands_in_the_title():
    history = fit()
    history.health[0][0, 0] = 1e-9
    draw(history.plot_gradient_flow())
    title = history.plot_gradient_flow()[0].figure.get_suptitle()
    assert title.endswith("\nbefore: vanishing in epoch 1, healthy in epochs 2 to 3")


def test_many_layers_get_a_scale_of_colours():
    history = fit([64, *[20] * 10, 10], epochs=2)
    left, right = history.plot_gradient_flow()
    assert len(lines(left)) == 11 and right.get_legend() is None
    assert [axis.get_ylabel() for axis in draw(left).axes] == ["", "", "layer"]


def test_dead_layers_leave_gaps():
    """A log scale has no zero."""
    history = fit()
    for table in history.health[2:]:
        table[:2, :4] = 0
    left, _ = history.plot_gradient_flow()
    np.testing.assert_array_equal(np.isnan(lines(left)["layer 0, tanh"]), [False, False, True, True])
    assert {line.get_marker() for line in left.get_lines()} == {"o"}      # or the only epoch that is alive is not seen
    draw(left)


def test_one_layer_and_one_epoch():
    draw(fit([64, Dense(10)], epochs=1).plot_gradient_flow())


# Range test --------------------------------------------------------------------------------------------------


def test_range_test():
    test = learning_rate_range_test(Network([64, 30, 10], seed=0), X, y)
    axis = test.plot()
    assert axis.get_xscale() == "log" and axis.get_xlabel() == "learning rate"
    assert lines(axis) == {"each batch": pytest.approx(test.losses), "smoothed": pytest.approx(test.smoothed)}
    assert words(axis) == [f"lowest at {test.lowest:.2g}", f"learning_rate={test.suggestion:.2g}"]
    low, high = axis.get_ylim()
    assert low < test.smoothed.min() and test.start < high < test.losses.max()     # what blows up is cut off
    draw(axis)


def test_range_test_without_a_suggestion():
    test = learning_rate_range_test(Network([64, Dense(10, trainable=False)], seed=0), X, y, n_steps=30)
    axis = plot_range_test(test)
    assert not any(text.startswith("learning_rate") for text in words(axis))
    draw(axis)


# Axes of one's own, and mistakes -----------------------------------------------------------------------------


def test_axes_of_ones_own(pyplot):
    history = fit()
    _, axes = pyplot.subplots(3, 2)
    assert list(plot_history(history, axes[0])) == list(axes[0])
    assert list(history.plot_gradient_flow(tuple(axes[1]))) == list(axes[1])
    test = learning_rate_range_test(Network([64, 10], seed=0), X, y, n_steps=20)
    assert test.plot(axes[2, 0]) is axes[2, 0]
    assert len(pyplot.get_fignums()) == 1
    with pytest.raises(ValueError, match="ax must be 2 Axes for this plot, not 1"):
        history.plot(axes[2, 0])
    with pytest.raises(ValueError, match="ax must be 1 Axes for this plot, not 2"):
        test.plot(axes[0])


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_history(History("accuracy", 1, 1, "", 1))
    history = Network([64, 10], seed=0).fit(X, y, epochs=1)
    with pytest.raises(ValueError, match="health=True"):
        plot_gradient_flow(history)


def test_without_matplotlib(monkeypatch):
    history = fit(epochs=1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"a plot needs matplotlib: pip install fastbp\[plot\]"):
        history.plot()
