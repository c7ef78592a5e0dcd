"""MNIST, if it is there: what the most common example of all reaches.

$FASTBP_MNIST names an .npz of x_train, y_train, x_test and y_test, as the one that Keras downloads.
"""
import os
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).parents[1]
PATH = Path(os.environ.get("FASTBP_MNIST") or ROOT / "../shared/data/mnist.npz")
ASKED_FOR = bool(os.environ.get("FASTBP_MNIST"))     # then a file that is missing is an error


@pytest.mark.skipif(not PATH.exists() and not ASKED_FOR, reason="no MNIST here: set FASTBP_MNIST to the path "
                    "of an mnist.npz with x_train, y_train, x_test and y_test")
def test_a_small_network_reads_handwriting():
    with np.load(PATH) as data:
        X, y, X_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    X, X_test = (images.reshape(-1, 784).astype("float32") / 255 for images in (X, X_test))
    net = fastbp.Network([784, 128, 10], activation="relu", dtype="float32", seed=0)
    net.fit(X, y, epochs=10, batch_size=32, optimizer=fastbp.SGD(learning_rate=0.1))
    # other seeds reach 97.7 to 98.0 %
    assert net.evaluate(X_test, y_test)[1] >= 0.975
