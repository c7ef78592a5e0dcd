"""The vanishing gradient of Nielsen's chapter 5, measured and drawn: python vanishing_gradient.py mnist.npz

In deep networks of sigmoids the first layers learn slowest. He measures it before training, over the first 1,000 images:
the norm of the gradient of the cost in a layer's biases. From layer to layer it grows by a factor of 4 to 6.
"""
import numpy as np
from _mnist import parser, save_plot
from _nielsen import draw, network, read_split, targets

from fastbp import SGD

#: hidden layers of 30 -> norms of the hidden layers, from the first (his fig/norms_during_training_*_layers.json, first row)
PUBLISHED = {
    2: (0.0657, 0.3092),
    3: (0.0118, 0.0600, 0.2831),
    4: (0.0030, 0.0171, 0.0695, 0.2851),
}


def started(n_hidden, seed):
    net = network((30,) * n_hidden, "cross-entropy", seed=seed)
    net.set_parameters(*draw(net.sizes, "default", np.random.default_rng(seed)))
    return net


def norms(n_hidden, X, Y, seed):
    """Of db for each hidden layer, before training."""
    _, _, db = started(n_hidden, seed).loss_and_gradient(X, Y)
    return np.array([np.linalg.norm(gradient) for gradient in db[:-1]])


def main(arguments=None):
    arguments = parser(__doc__, n_seeds=5).parse_args(arguments)
    X, y = (a[:1000] for a in read_split(arguments.data)["train"])
    Y = targets(y, "cross-entropy")
    print("| hidden layers | published | ours, mean | growth from layer to layer, published | ours |\n|---|---|---|---|---|")
    for n_hidden, published in PUBLISHED.items():
        found = np.array([norms(n_hidden, X, Y, seed) for seed in range(arguments.seeds)])
        growth = np.exp(np.log(found[:, 1:] / found[:, :-1]).mean(axis=0))
        his = np.divide(published[1:], published[:-1])
        columns = [" ".join(f"{v:.{places}f}" for v in values) for values, places in
                   ((published, 4), (found.mean(axis=0), 4), (his, 1), (growth, 1))]
        print(f"| {n_hidden} | " + " | ".join(columns) + " |", flush=True)
    # He then trains by full batches of these 1,000 images; lambda 5
    history = started(4, seed=0).fit(X, Y, epochs=arguments.epochs or 500, batch_size=len(X), optimizer=SGD(0.1, l2=5 / len(X)),
                                     health=True, verbose=0)
    print(history.verdict(0))
    if arguments.plot:
        save_plot(history.plot_gradient_flow()[0].figure, arguments.plot)


if __name__ == "__main__":
    main()
