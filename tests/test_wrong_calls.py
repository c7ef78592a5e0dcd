"""A call with a wrong argument names it, and leaves the network as it was."""
import numpy as np
import pytest
from networks import MOMENTUM, NUMBERS, N, X, network, state

import fastbp
from fastbp import SGD


def fit(**wrong):
    return lambda net: net.fit(**{"X": X, "y": NUMBERS, "epochs": 1} | wrong)


def step(**wrong):
    return lambda net: net.partial_fit(**{"X": X, "y": NUMBERS, "optimizer": MOMENTUM} | wrong)


BAD_CALLS = {
    **{f"epochs {bad!r}": (fit(epochs=bad), "epochs must be") for bad in (0, -1, 1.0, "1", None, True)},
    **{f"batch_size {bad!r}": (fit(batch_size=bad), "batch_size must be")
       for bad in (0, -1, 8.0, "8", None, True)},
    **{f"shuffle {bad!r}": (fit(shuffle=bad), "shuffle must be True or False") for bad in (None, 1, "yes")},
    **{f"optimizer {bad!r}": (call(optimizer=bad), r"optimizer must be one of fastbp.SGD\(...\), .*; not ")
       for bad in ("sgd", SGD, 0.1, {}) for call in (fit, step)},
    **{f"n_threads {bad!r} {i}": (call, "n_threads must be an integer") for bad in (0, -1, 1.0, "2", True)
       for i, call in enumerate((fit(n_threads=bad), step(n_threads=bad),
                                 lambda net, n=bad: net.forward(X, n_threads=n),
                                 lambda net, n=bad: net.evaluate(X, NUMBERS, n_threads=n),
                                 lambda net, n=bad: net.loss_and_gradient(X, NUMBERS, n_threads=n)))},
    **{f"health {bad!r}": (fit(health=bad), "health must be True or False") for bad in (1, None, "yes")},
    **{f"resume {bad!r}": (fit(resume=bad), "resume must be a path, not ") for bad in (5, True, [])},
    "sample_weight": (fit(sample_weight=np.ones(N - 1)), "sample_weight must have one entry a sample"),
    "class_weight": (fit(class_weight="even"), "class_weight must be a dict"),
    "classes": (fit(classes=range(4)), "classes has 4 distinct labels"),
    "weights of a step": (step(sample_weight=-np.ones(N)), "sample_weight must be at least 0; row 0 is -1"),
    "weights that are 0": (fit(sample_weight=np.zeros(N)), "sample_weight and class_weight must leave a sample"),
    "evaluate weights": (lambda net: net.evaluate(X, NUMBERS, sample_weight="a"), "sample_weight must"),
    "gradient weights": (lambda net: net.loss_and_gradient(X, NUMBERS, sample_weight=[np.nan] * N), "sample_weight must be fin"),
    "validation weights": (fit(validation_data=(X, NUMBERS, np.ones(3))), "validation_data sample_weight must have one entry"),
    "callbacks of text": (fit(callbacks=["stop"]), r"callbacks must be callables taking \(net, history\)"),
    **{f"validation_data {bad!r}": (fit(validation_data=bad), r"validation_data must be a pair \(X, y\)")
       for bad in ((), (1,), (1, 2, 3, 4), "ab", 5, {"X": 1, "y": 2})},
    "validation X": (fit(validation_data=(X[:, 1:], NUMBERS)), "validation_data X must have 5 columns"),
    "validation y": (fit(validation_data=(X, NUMBERS[1:])), "validation_data y must have one entry a sample"),
    "validation label": (fit(validation_data=(X, NUMBERS + 1)), "validation_data y row 2 is 3"),
    "fit X": (fit(X=X[:, 1:]), "X must have 5 columns"),
    "fit y": (fit(y=NUMBERS[1:]), "y must have one entry a sample"),
    "step X": (step(X=X[0]), "X must have two dimensions .*; reshape one sample to"),
    "step y": (step(y=NUMBERS / 2), "y must hold labels"),
    "evaluate": (lambda net: net.evaluate(X, NUMBERS / 2), "y must hold labels"),
    "gradient": (lambda net: net.loss_and_gradient(X, NUMBERS + 9.5), "y must hold labels"),
    "forward": (lambda net: net.forward([[1.0]]), "X must have 5 columns"),
    "forward out": (lambda net: net.forward(X, out=np.empty((3, N))), "out must be a writable"),
    "predict": (lambda net: net.predict(None), "X must be an array, not None"),
    "save": (lambda net: net.save("no/such/directory/m"), "No such "),
    **{f"callbacks {bad!r}": (fit(callbacks=bad), "callbacks must be") for bad in (None, print, 5)},
    **{f"verbose {bad!r}": (fit(verbose=bad), "verbose must be") for bad in ("no", None, -1)},
    "no validation": (fit(validation_data=(X[:0], NUMBERS[:0])), "validation_data X must have at least one"),
}


@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
@pytest.mark.parametrize("call, message", [
    *(pytest.param(*case, id=name) for name, case in BAD_CALLS.items())])
def test_a_wrong_call_names_the_argument_and_changes_nothing(call, message, trained):
    net, twin = network(), network()
    for each in (net, twin):
        if trained:
            each.fit(X, NUMBERS, epochs=1, optimizer=MOMENTUM)
    before = state(net)
    with pytest.raises((TypeError, ValueError, OSError), match=f"^(\\[Errno 2\\] )?{message}"):
        call(net)
    assert state(net) == before
    for each in (net, twin):        # the velocity is where it was, too
        each.partial_fit(X, NUMBERS, MOMENTUM)
    assert state(net) == state(twin)


def test_one_update_has_no_schedule():
    with pytest.raises(TypeError, match="learning_rate must be a number"):
        fastbp.sgd_update(np.ones(3), np.ones(3), learning_rate=lambda step: 0.1)
