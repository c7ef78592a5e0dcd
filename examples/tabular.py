"""RealMLP-TD-S beside scikit-learn's networks and trees, on data that come with scikit-learn: python tabular.py

All with their default settings; scikit-learn's network gets standardised columns (and targets, for a regression). Of each data
set a quarter is held out, another one for every seed.
"""
import argparse
import time

import numpy as np
from _mnist import progress, save_plot

from fastbp.presets import Tabular

CLASSIFICATION = ("breast_cancer", "digits", "wine", "made_classes")
REGRESSION = ("diabetes", "friedman1")


def read(name):
    """X and y."""
    from sklearn import datasets
    if name == "friedman1":
        return datasets.make_friedman1(n_samples=5000, noise=1.0, random_state=0)
    if name == "made_classes":
        return datasets.make_classification(5000, 30, n_informative=12, n_classes=4, class_sep=0.8, random_state=0)
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def models(task, seed):
    """Name to model, untrained."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    if task == "classification":
        network, trees = MLPClassifier(random_state=seed), HistGradientBoostingClassifier(random_state=seed)
    else:
        network = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
        trees = HistGradientBoostingRegressor(random_state=seed)
    return {"Tabular": Tabular(task, seed=seed), "sklearn MLP": make_pipeline(StandardScaler(), network),
            "sklearn HistGradientBoosting": trees}


def score(task, y, predicted):
    """Accuracy or R^2, in %."""
    if task == "classification":
        return 100 * np.mean(predicted == y)
    return 100 * (1 - np.sum((predicted - y) ** 2) / np.sum((y - y.mean()) ** 2))


def compare(name, n_seeds, advance):
    """Scores and seconds of each model, one for each seed: dict of name to a pair of lists."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    warnings.simplefilter("ignore", ConvergenceWarning)
    task, (X, y), results = "regression" if name in REGRESSION else "classification", read(name), {}
    for seed in range(n_seeds):
        labels = y if task == "classification" else None
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=labels, random_state=seed)
        for kind, model in models(task, seed).items():
            started = time.perf_counter()
            model.fit(X_train, y_train)
            scores, seconds = results.setdefault(kind, ([], []))
            seconds.append(time.perf_counter() - started)
            scores.append(score(task, y_test, model.predict(X_test)))
            advance()
    return results


def plot(table, path):
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(table), figsize=(2.2 * len(table), 4), layout="constrained", squeeze=False)
    for axis, (name, results) in zip(axes[0], table.items()):
        for place, ((scores, _), colour) in enumerate(zip(results.values(), ("#d1661f", "#1f4e79", "#7a8b99"))):
            axis.plot(np.full(len(scores), place), scores, "o", color=colour, alpha=0.5, markeredgewidth=0)
            axis.plot([place - 0.3, place + 0.3], [np.mean(scores)] * 2, color=colour, linewidth=2)
        axis.set_title(f"{name}, {'R², %' if name in REGRESSION else 'accuracy, %'}", fontsize=9)
        axis.set_xticks(range(len(results)), ["Tabular", "MLP", "trees"])
        axis.set_xlim(-0.6, len(results) - 0.4)
    save_plot(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", default=[*CLASSIFICATION, *REGRESSION], metavar="SET",
                        help="any of %(default)s; default: all")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1, default N %(default)s")
    parser.add_argument("--plot", metavar="FILE", help="write a picture")
    arguments, table = parser.parse_args(arguments), {}
    print("| data | samples, columns | model | mean, % | runs | s a fit |\n|---|---|---|---|---|---|")
    with progress(3 * arguments.seeds * len(arguments.data)) as (advance, write):
        for name in arguments.data:
            table[name] = compare(name, arguments.seeds, advance)
            for kind, (scores, seconds) in table[name].items():
                runs = " ".join(f"{value:.1f}" for value in scores)
                size = ", ".join(map(str, read(name)[0].shape))
                write(f"| {name} | {size} | {kind} | {np.mean(scores):.2f} | {runs} | {np.mean(seconds):.2f} |")
    if arguments.plot:
        plot(table, arguments.plot)


if __name__ == "__main__":
    main()
