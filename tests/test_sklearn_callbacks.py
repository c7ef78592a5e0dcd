"""Who watches a fit of the estimators of `fastbp.sklearn`: functions, fastbp's callbacks, scikit-learn's own."""
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.metrics import log_loss  # noqa: E402

import fastbp  # noqa: E402
from fastbp.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

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
    for callback, error, message in ((fastbp.Checkpoint(tmp_path / "x"), ValueError, "one for Network.fit"),
                                     (3, TypeError, "set_callbacks")):
        with pytest.raises(error, match=message):
            classifier(callbacks=[callback]).fit(X, YES)


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
