"""Who watches a fit of the estimators of `fastbp.sklearn`: functions, fastbp's callbacks, scikit-learn's own."""
import copy
import pickle
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402

import fastbp  # noqa: E402
from fastbp.schedules import Cosine  # noqa: E402
from fastbp.sklearn import MLPClassifier, MLPRegressor, _sparse  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
YES = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
SETTINGS = {"hidden_layer_sizes": (9, 5), "batch_size": 32, "max_iter": 8, "random_state": 0, "learning_rate_init": 0.01}
LONG = {"max_iter": 100, "tol": 0.0, "n_iter_no_change": 100, "random_state": 1}


def classifier(**settings):
    return MLPClassifier(**SETTINGS | settings)


def difference(a, b):
    return max(np.abs(p - q).max() for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


def test_fastbps_callbacks(tmp_path):
    log = tmp_path / "log.csv"
    mlp = classifier(callbacks=[fastbp.reports.CSVLog(log), fastbp.callbacks.EarlyStopping("val_loss", target=0.5)], **LONG)
    mlp.fit(X, YES, X_val=X, y_val=YES)
    lines = log.read_text().splitlines()
    assert lines[0].startswith("epoch,loss,accuracy,val_loss,val_accuracy") and len(lines) == mlp.n_iter_ + 1
    assert mlp.n_iter_ < 100 and mlp.validation_loss_curve_[-1] <= 0.5
    assert log_loss(YES, mlp.predict_proba(X)) == pytest.approx(min(mlp.validation_loss_curve_), rel=1e-9)  # it went back there


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_callbacks_of_networks_and_of_estimators(solver):
    seen = []

    def of_network(net, history):
        seen.append((history.n_epochs, net.loss))

    def of_estimator(mlp):
        seen.append(mlp.n_iter_)
        return mlp.n_iter_ == 2
    classifier(solver=solver, callbacks=[of_network, of_estimator]).fit(X, YES)
    assert seen == [1, (1, "binary_cross_entropy"), 2, (2, "binary_cross_entropy")]


def test_time_limit_ends_within_an_epoch():
    limit = fastbp.callbacks.TimeLimit(0.02)
    mlp = MLPRegressor(hidden_layer_sizes=(400, 400), batch_size=1, max_iter=10**6, callbacks=[limit], random_state=0)
    large, y = RNG.randn(20000, 20), RNG.randn(20000)
    assert mlp.fit(large, y).t_ < 20000 and mlp.n_iter_ == 1


def test_callbacks_that_are_refused(tmp_path):
    for callback, error, message in ((fastbp.Checkpoint(tmp_path / "x"), ValueError, "pickle the estimator in a callback"),
                                     (3, TypeError, "set_callbacks"), (Every(0), ValueError, "every of .* must be at least 1"),
                                     (Every("step"), TypeError, "every of .* must be an integer")):
        with pytest.raises(error, match=message):
            classifier(callbacks=[callback]).fit(X, YES)


# --- By the step ------------------------------------------------------------------------------------------------

class Every:
    """A callback of networks after every so many steps, that notes when it was called, and ends the fit at one."""

    def __init__(self, every, stop_at=None):
        self.every, self.stop_at, self.calls = every, stop_at, []

    def __call__(self, net, history):
        self.calls.append((history.step, history.n_epochs, history.running_loss))
        return history.step == self.stop_at


class EveryOfEstimators(Every):
    """The same of an estimator."""

    def __call__(self, mlp):
        self.calls.append((mlp.history_.step, mlp.n_iter_, mlp.coefs_))
        return mlp.history_.step == self.stop_at


def steps(callback):
    return [call[:2] for call in callback.calls]


@pytest.mark.parametrize("weights", [None, RNG.randint(1, 4, 120)], ids=["plain", "weighted"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_callbacks_by_the_step(weights, container, monkeypatch):
    """Four steps an epoch, in one stretch or, with weights, in up to four; a sparse X in parts."""
    monkeypatch.setattr(_sparse, "AT_ONCE", 4 * 64)
    threes, fives, epochs = Every(3), EveryOfEstimators(5), []
    mlp = classifier(max_iter=4, callbacks=[threes, fives, lambda mlp: epochs.append(mlp.history_.running_loss)])
    mlp.fit(container(X), YES, sample_weight=weights)
    assert steps(threes) == [(3, 0), (6, 1), (9, 2), (12, 2), (15, 3)] and steps(fives) == [(5, 1), (10, 2), (15, 3)]
    assert threes.calls[3][2] == mlp.history_.loss[2] and epochs == [None] * 4      # after all steps of an epoch it is its loss
    plain = classifier(max_iter=4).fit(container(X), YES, sample_weight=weights)
    assert difference(mlp, plain) == 0 and mlp.loss_curve_ == plain.loss_curve_


def test_an_estimator_is_seen_as_it_is_after_the_step():
    watch = EveryOfEstimators(1)
    classifier(max_iter=2, batch_size=120, shuffle=False, callbacks=[watch]).fit(X, YES)
    for n, (step, _, coefs) in enumerate(watch.calls, 1):
        twin = classifier(max_iter=n, batch_size=120, shuffle=False).fit(X, YES)        # a step an epoch
        assert step == n and all(map(np.array_equal, coefs, twin.coefs_))


@pytest.mark.parametrize("kind", [Every, EveryOfEstimators])
def test_a_callback_by_the_step_ends_a_fit_within_an_epoch(kind):
    mlp = classifier(callbacks=[kind(2, stop_at=6)]).fit(X, YES)
    assert (mlp.n_iter_, mlp.t_, mlp.history_.samples) == (2, 120 + 64, [120, 64]) and mlp._optimizer.t == 6


def test_steps_are_counted_on():
    callback = Every(3)
    mlp = classifier(max_iter=1, warm_start="exact", callbacks=[callback]).fit(X, YES).fit(X, YES).partial_fit(X, YES)
    assert steps(callback) == [(3, 0), (6, 1), (9, 2), (12, 2)] and mlp.history_.step == 12


def test_a_divergence_after_a_callback_wrote_parameters():
    """The update of the third step overflows; what was written after the second is gone back to."""
    written = []

    def write(net, history):
        net.set_parameters([W + 1 for W in net.weights], net.biases)
        written.extend(net.weights)
    write.every = 2
    mlp = MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", momentum=0, batch_size=32, callbacks=[write], random_state=0,
                       learning_rate=lambda step: 1e308 if step == 2 else 1e-9)
    with pytest.raises(ValueError, match="non-finite parameter weights.* step 3 "):
        mlp.fit(X, 1e3 * X[:, 0])
    assert all(map(np.array_equal, written, mlp.coefs_))


@pytest.mark.parametrize("settings", [{"solver": "lbfgs"}, {"preset": "tabular", "learning_rate_init": 0.001,
                                                            "hidden_layer_sizes": (100,)}], ids=["lbfgs", "preset"])
def test_callbacks_by_the_step_of_other_fits(settings):
    """Of lbfgs an epoch is a step; the preset's are the network's, 3 an epoch."""
    twos, fours = Every(2), EveryOfEstimators(4, stop_at=4)
    mlp = classifier(callbacks=[twos, fours], **settings).fit(X, YES)
    assert [step for step, *_ in twos.calls] == [2, 4] and [step for step, *_ in fours.calls] == [4] and mlp.history_.step == 4


def test_seconds_are_those_of_training():
    def wait(net, history):
        time.sleep(0.05)
    wait.every = 1
    assert sum(classifier(max_iter=2, callbacks=[wait]).fit(X, YES).history_.seconds) < 0.3      # of 0.4 and more in all


# --- An estimator kept while it is fitted -----------------------------------------------------------------------

class Killed(Exception):
    pass


@pytest.mark.parametrize("settings", [{}, {"dropout": [0.3, 0.0]}, {"early_stopping": True}, {"learning_rate": Cosine(0.01)},
                                      {"solver": "sgd", "learning_rate": "invscaling"}],
                         ids=["adam", "dropout", "early stopping", "cosine", "invscaling"])
@pytest.mark.parametrize("first", [1, 7])
def test_a_fit_goes_on_from_a_pickle_of_its_callback(settings, first):
    """Bit for bit, as if it had never been killed, also twice."""
    kept = []

    def keep(mlp):
        kept.append(pickle.dumps(copy.copy(mlp).set_params(callbacks=())))          # this one has no pickle
        if mlp.n_iter_ in (first, first + 4):
            raise Killed
    settings = settings | {"max_iter": 20, "n_iter_no_change": 50}
    whole, mlp = classifier(**settings).fit(X, YES), classifier(warm_start="exact", callbacks=[keep], **settings)
    for _ in range(2):
        with pytest.raises(Killed):
            mlp.fit(X, YES)
        mlp = pickle.loads(kept[-1])
        mlp.set_params(callbacks=[keep], max_iter=20 - mlp.n_iter_)
    mlp.fit(X, YES)
    assert difference(whole, mlp) == 0 and whole.loss_curve_ == mlp.loss_curve_ and whole.t_ == mlp.t_
    assert whole.validation_scores_ == mlp.validation_scores_ and whole.history_.learning_rate == mlp.history_.learning_rate
    assert mlp.history_.epochs == mlp.n_iter_ == 20


# --- scikit-learn's own -----------------------------------------------------------------------------------------

def protocol():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and newer")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_scoring_monitor(solver):
    monitor = protocol().ScoringMonitor(scoring="accuracy")
    mlp = classifier(solver=solver, max_iter=5).set_callbacks(monitor)
    mlp.fit(X, YES)
    rows = monitor.get_logs().data
    epochs = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    assert len(epochs) == mlp.n_iter_ == 5 and epochs[-1] == rows[0]["accuracy"] == mlp.score(X, YES)
    assert difference(mlp, classifier(solver=solver, max_iter=5).fit(X, YES)) == 0


def test_scikit_learns_callbacks_through_meta_estimators():
    callback = protocol()
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    monitor = callback.ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(StandardScaler(), classifier(max_iter=3).set_callbacks(monitor))
    GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2).fit(X, YES)
    assert sum(row["task_name"] == "epoch" for log in monitor.get_logs("all") for row in log.data) == 3 * 5     # 4 fits, 1 again


@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"preset": "tabular", "learning_rate_init": 0.001,
                                                                "hidden_layer_sizes": (100,)}], ids=["adam", "lbfgs", "preset"])
def test_scikit_learns_progress_bar(settings, capsys):
    callback = protocol()
    pytest.importorskip("rich")
    classifier(**{"max_iter": 3} | settings).set_callbacks(callback.ProgressBar()).fit(X, YES)
    assert "MLPClassifier - fit" in capsys.readouterr().out


def test_what_scikit_learns_callbacks_see():
    protocol()
    seen, kept = [], []

    class Callback:
        def setup(self, estimator, context):
            seen.append("setup")

        def teardown(self, estimator, context):
            seen.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None):
            seen.append(("begin", context.task_name, X is table))

        def on_fit_task_end(self, estimator, context, *, y=None, metadata=None, fitted_estimator=None):
            seen.append(("end", context.task_name, y is YES, list(metadata) == ["sample_weight"]))
            kept.append((fitted_estimator, fitted_estimator.predict_proba(X)))
            kept[0][0].predict_proba(X)         # leaves the fit alone
            return context.task_id == 1 and context.task_name == "epoch"
    table = X.copy()
    mlp = classifier(dropout=0.2).set_callbacks(Callback())
    mlp.fit(table, YES, sample_weight=np.ones(len(X)))
    epoch = [("begin", "epoch", True), ("end", "epoch", True, True)]
    assert seen == ["setup", ("begin", "fit", True), *epoch, *epoch, ("end", "fit", True, True), "teardown"]
    for estimator, p in kept:                   # each is as it was then, whatever was trained since
        np.testing.assert_array_equal(estimator.predict_proba(X), p)
    assert mlp.n_iter_ == 2 and difference(mlp, classifier(dropout=0.2, max_iter=2).fit(X, YES)) == 0
