"""Dropout on MNIST: Keras's example, and Srivastava's with max-norm: python mnist_dropout.py mnist.npz

- keras: 784-512-512-10, dropout 0.2, RMSprop, batches of 128, 20 epochs, all as in Keras's examples/mnist_mlp.py, which
  says "98.40% test accuracy after 20 epochs".
- keras averaged: the same steps; evaluated is the average of the parameters over about the last 1,000 of them, since with
  this rate the parameters themselves jump by several tenths of a point from epoch to epoch.
- max-norm: 784-800-800-10 with dropout 0.2 of the inputs and 0.5 of the hidden units, high momentum, a decaying rate, and
  the weights into each unit held to a norm; Srivastava et al. 2014 and Hinton et al. 2012, who report 98.7 % and more.
"""
import time
from dataclasses import dataclass

import numpy as np
from _mnist import parser, read_mnist, save_plot

from fastbp import SGD, Dense, Network, RMSprop
from fastbp.schedules import Cosine


@dataclass(frozen=True)
class Recipe:
    layers: tuple
    optimizer: object
    epochs: int
    published: float            #: % of the test images, after the last epoch
    input_dropout: float = 0.0
    initializer: str = "auto"


KERAS = (Dense(512, dropout=0.2), Dense(512, dropout=0.2), 10)

RECIPES = {
    "keras": Recipe(KERAS, RMSprop(0.001), 20, 98.4, initializer="glorot_uniform"),
    "keras averaged": Recipe(KERAS, RMSprop(0.001, average=0.999), 20, 98.4, initializer="glorot_uniform"),
    "max-norm": Recipe(
        (Dense(800, dropout=0.5, max_norm=3.0), Dense(800, dropout=0.5, max_norm=3.0), Dense(10, max_norm=3.0)),
        SGD(Cosine(0.02), momentum=0.95), 80, 98.7, input_dropout=0.2),
}


def train(recipe, data, seed, epochs=None, verbose=1):
    """History of a fit, with the test images as validation data."""
    X, y, X_test, y_test = data
    net = Network([784, *recipe.layers], initializer=recipe.initializer, input_dropout=recipe.input_dropout, seed=seed)
    return net.fit(X, y, epochs=min(recipe.epochs, epochs or recipe.epochs), batch_size=128, optimizer=recipe.optimizer,
                   validation_data=(X_test, y_test), verbose=verbose)


def main(arguments=None):
    arguments_parser = parser(__doc__, n_seeds=5)
    arguments_parser.add_argument("--recipe", choices=RECIPES, action="append", help="only this one")
    arguments = arguments_parser.parse_args(arguments)
    data, lines, histories = read_mnist(arguments.data), [], {}
    for name in arguments.recipe or RECIPES:
        started = time.perf_counter()
        histories[name] = [train(RECIPES[name], data, seed, arguments.epochs) for seed in range(arguments.seeds)]
        seconds = (time.perf_counter() - started) / arguments.seeds
        last = 100 * np.array([history.val_metric[-1] for history in histories[name]])
        best = 100 * np.mean([max(history.val_metric) for history in histories[name]])
        runs = " ".join(f"{accuracy:.2f}" for accuracy in last)
        lines.append(f"| {name} | {RECIPES[name].published} | {last.mean():.2f} | {runs} | {best:.2f} | {seconds:.0f} |")
    print("| recipe | published | mean after the last epoch | runs | mean of the best epochs | s a run |",
          "|---|---|---|---|---|---|", *lines, sep="\n")
    if arguments.plot:
        plot(histories, arguments.plot)


def plot(histories, path):
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(histories), figsize=(5 * len(histories), 4), layout="constrained", squeeze=False)
    for axis, (name, runs) in zip(axes[0], histories.items()):
        for history in runs:
            axis.plot(range(1, history.n_epochs + 1), 100 * np.array(history.val_metric), color="#1f4e79", alpha=0.5)
        axis.axhline(RECIPES[name].published, color="#d1661f", label="published")
        axis.set(title=name, xlabel="epoch", ylabel="test accuracy, %", ylim=(96.5, 99.1))
        axis.legend(frameon=False, loc="lower right")
    save_plot(figure, path)


if __name__ == "__main__":
    main()
