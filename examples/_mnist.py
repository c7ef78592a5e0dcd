"""What the examples on MNIST share: the file, the arguments, the bar, the picture.

The file is an .npz of x_train, y_train, x_test and y_test, such as Keras downloads from
https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz
"""
import argparse
from contextlib import contextmanager

import numpy as np

from fastbp.reports import ProgressBar, open_bar


class Bar(ProgressBar):
    """The bar without a line an epoch, where one line a fit says enough."""

    def __call__(self, net, history):
        self.tick(history.n_epochs)


@contextmanager
def progress(total):
    """A bar for what is no single fit: a function that moves it on by one, and a print that stands above it."""
    bar = open_bar(total)
    try:
        yield (bar.update, bar.write) if bar is not None else (lambda: None, print)
    finally:
        if bar is not None:
            bar.close()


def parser(description, n_seeds=None):
    arguments = argparse.ArgumentParser(description=description.partition("\n")[0])
    arguments.add_argument("data", help=".npz of x_train, y_train, x_test and y_test: MNIST")
    if n_seeds is not None:
        arguments.add_argument("--seeds", type=int, default=n_seeds, metavar="N", help="seeds 0 to N-1, default N %(default)s")
    arguments.add_argument("--epochs", type=int, metavar="N", help="at most so many; default: as published")
    arguments.add_argument("--plot", metavar="FILE", help="write a picture")
    return arguments


def read_mnist(path, white=255):
    """Training images and labels, test images and labels; pixels are k / white, float32."""
    with np.load(path) as data:
        X, y, X_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    X, X_test = (images.reshape(len(images), -1).astype(np.float32) / np.float32(white) for images in (X, X_test))
    return X, y.astype(np.int64), X_test, y_test.astype(np.int64)


def save_plot(figure, path):
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")
