"""Curves of Nielsen's book, epoch by epoch from his seed: python nielsen_curve.py mnist.npz

784-30-10, cross-entropy, "large" start, eta 0.5, mini-batches of 10. He published the figures of these runs, and the seed:
12345678, of Python's random and of NumPy's. With the same starting weights and the same order of the images, computed in
float64, the same curve must come out, as far as two machines round alike. His shuffle was Python 2's, so each epoch is
fed in that order, with shuffle=False.
"""
import random
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from _mnist import parser, progress, save_plot
from _nielsen import draw, hits, network, read_split, targets

from fastbp import SGD

SEED = 12345678


@dataclass(frozen=True)
class Run:
    """One of his runs, with figures of his by epoch, from 1."""

    n_train: int
    lmbda: float
    epochs: int
    hits: dict                                  #: test images answered right
    costs: dict = field(default_factory=dict)   #: mean cost on the training images, without a penalty


#: by the names of his files, fig/*.json
RUNS = {
    "overfitting": Run(
        1000, 0.0, 400, {1: 5887, 2: 6505, 3: 6970, 4: 7271, 5: 7433, 10: 7899, 15: 8046, 20: 8107, 30: 8126, 50: 8145,
                         100: 8173, 200: 8190, 280: 8223, 400: 8223},
        {1: 1.843365, 2: 1.477743, 3: 1.207286, 4: 1.013312, 5: 0.904632, 10: 0.477906, 400: 0.004202}),
    "regularized": Run(
        1000, 0.1, 400, {1: 5898, 2: 6512, 3: 6986, 4: 7289, 5: 7455, 6: 7227, 7: 7723, 8: 7767, 9: 7890, 10: 7942}),
    "overfitting_full": Run(
        50_000, 0.0, 30, {1: 9136, 2: 9275, 3: 9307, 4: 9377, 5: 9450, 6: 9429, 7: 9468, 8: 9488, 9: 9494, 10: 9424,
                          20: 9524, 30: 9531}),
}


def start():
    """His starting parameters: the class draws its default ones first, then the large ones replace them."""
    rng = np.random.RandomState(SEED)
    draw((784, 30, 10), "default", rng)
    return draw((784, 30, 10), "large", rng)


def orders(n):
    """The order of each epoch: random.shuffle of Python 2, of what the epoch before left."""
    rng, order = random.Random(SEED), np.arange(n)
    while True:
        for i in reversed(range(1, n)):
            j = int(rng.random() * (i + 1))
            order[i], order[j] = order[j], order[i]
        yield order


def replay(run, data, epochs):
    """Yields epoch, test images answered right, and mean cost on the training images."""
    X, y = (a[:run.n_train] for a in data["train"])
    Y = targets(y, "cross-entropy")
    net = network((30,), "cross-entropy", dtype="float64")
    net.set_parameters(*start())
    optimizer = SGD(0.5, l2=run.lmbda / len(X))
    for epoch, order in enumerate(islice(orders(len(X)), epochs), 1):
        net.fit(X[order], Y[order], epochs=1, batch_size=10, shuffle=False, optimizer=optimizer)
        yield epoch, hits(net, *data["test"]), net.evaluate(X, Y)[0]


def plot(name, curve, path):
    from matplotlib import pyplot
    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    epochs, found, _ = zip(*curve)
    axis.plot(epochs, found, color="#1f4e79", label="fastbp, float64")
    published = {epoch: value for epoch, value in RUNS[name].hits.items() if epoch <= len(curve)}
    axis.plot(published.keys(), published.values(), "o", color="#d1661f", label="Nielsen")
    axis.set(xscale="log", xlabel="epoch", ylabel="test images answered right, of 10,000", title=name)
    axis.legend(frameon=False)
    save_plot(figure, path)


def main(arguments=None):
    arguments_parser = parser(__doc__)
    arguments_parser.add_argument("--run", choices=RUNS, default="overfitting", help="default %(default)s")
    arguments = arguments_parser.parse_args(arguments)
    run, data, curve = RUNS[arguments.run], read_split(arguments.data), []
    epochs = min(run.epochs, arguments.epochs or run.epochs)
    print("| epoch | test images right, published | ours | cost on training images, published | ours |\n|---|---|---|---|---|")
    with progress(epochs) as (advance, write):
        for epoch, found, cost in replay(run, data, epochs):
            curve.append((epoch, found, cost))
            advance()
            if epoch in run.hits:
                write(f"| {epoch} | {run.hits[epoch]} | {found} | {run.costs.get(epoch, '')} | {cost:.6f} |")
    if arguments.plot:
        plot(arguments.run, curve, arguments.plot)


if __name__ == "__main__":
    main()
