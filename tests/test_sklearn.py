"""The estimators of `fastbp.sklearn`: beside scikit-learn's own, under its checks, and what they have beyond them."""
import inspect
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402
from sklearn import neural_network as theirs  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator  # noqa: E402

import fastbp  # noqa: E402
from fastbp import sklearn as ours  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
              pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")]

RNG = np.random.RandomState(0)
X = RNG.randn(70, 4)                            # in batches of 32 the last one is smaller, with a penalty of its own
TARGETS = {
    "binary": ("MLPClassifier", np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]),
    "classes": ("MLPClassifier", np.digitize(X[:, 0], [-0.5, 0.5]) + 7),
    "labels": ("MLPClassifier", (X[:, :3] > 0.2).astype(int)),
    "number": ("MLPRegressor", X[:, 0] ** 2 + X[:, 1]),
    "numbers": ("MLPRegressor", X[:, :2] ** 2),
}
WEIGHTS = RNG.randint(0, 4, 70).astype(float)
SETTINGS = {"hidden_layer_sizes": (9, 5), "batch_size": 32, "max_iter": 10, "random_state": 0, "alpha": 0.01}

by_kind = pytest.mark.parametrize("kind", TARGETS)


def estimators(kind, **settings):
    """Ours in float64, scikit-learn's, and the targets."""
    name, y = TARGETS[kind]
    return getattr(ours, name)(dtype="float64", **SETTINGS | settings), getattr(theirs, name)(**SETTINGS | settings), y


def difference(a, b):
    return max(np.abs(p - q).max() for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


# --- Beside scikit-learn's ------------------------------------------------------------------------------------

SOLVERS = {"plain": {"solver": "sgd", "momentum": 0.0}, "momentum": {"solver": "sgd", "nesterovs_momentum": False},
           "nesterov": {"solver": "sgd"}, "adam": {"solver": "adam"}}


@by_kind
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_network_after_ten_epochs(kind, activation, solver, shuffle):
    """To 1e-12: the same operations in another order, over 30 steps. Losses to 2e-5: their penalty, of about 1e-2, has |W|^2 of
    both ends of an epoch in which it changes by some 1e-1 of itself, not quite in a straight line."""
    a, b, y = estimators(kind, activation=activation, shuffle=shuffle, learning_rate_init=0.01, **SOLVERS[solver])
    a.fit(X, y)
    b.fit(X, y)
    assert difference(a, b) < 1e-12
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(a.predict(X) if a._splits_by_class else a.predict(X).round(9),
                                  b.predict(X) if a._splits_by_class else b.predict(X).round(9))
    names = ["n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "validation_scores_"]
    assert [getattr(a, name) for name in names] == [getattr(b, name) for name in names]


@by_kind
@pytest.mark.parametrize("settings", [
    {"early_stopping": True, "max_iter": 60, "learning_rate_init": 0.01},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "max_iter": 150, "tol": 1e-2,
     "n_iter_no_change": 2},
    {"learning_rate_init": 0.01, "max_iter": 150, "tol": 0.02, "n_iter_no_change": 3},
    {"solver": "sgd", "learning_rate": "invscaling", "max_iter": 25, "learning_rate_init": 0.5},
    {"hidden_layer_sizes": 6, "batch_size": "auto"}], ids=["early stopping", "adaptive", "tol", "invscaling", "auto"])
def test_the_same_rules(kind, settings):
    """To 1e-9: up to 450 steps, and rates that hang on comparisons of losses."""
    a, b, y = estimators(kind, **settings)
    a.fit(X, y)
    b.fit(X, np.unique(y, return_inverse=True)[1] if kind == "binary" else y)       # before 1.9 strings make it fail
    assert a.n_iter_ == b.n_iter_ and difference(a, b) < 1e-9
    assert a.n_iter_ < a.max_iter or a.tol == 1e-4              # it is the rules that stop it
    assert a._optimizer.learning_rate == pytest.approx(b._optimizer.learning_rate)
    if a.early_stopping:
        np.testing.assert_allclose(a.validation_scores_, b.validation_scores_, atol=1e-9)
        assert a.best_validation_score_ == pytest.approx(b.best_validation_score_) and a.best_loss_ is None
        assert len(a.validation_loss_curve_) == a.n_iter_


@by_kind
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")     # of theirs, where SciPy is newer
def test_the_same_lbfgs(kind):
    """To 1e-6: differences of rounding grow from step to step."""
    a, b, y = estimators(kind, solver="lbfgs")
    if kind == "numbers":
        pytest.skip("scikit-learn minimises a mean over outputs by the gradient of their sum")
    a.fit(X, y)
    b.fit(X, y)
    assert difference(a, b) < 1e-6 and a.loss_ == pytest.approx(b.loss_, abs=1e-8) and a.n_iter_ == b.n_iter_ == 10
    assert len(a.loss_curve_) == a.n_iter_ and a.loss_curve_[-1] == pytest.approx(a.loss_)


@by_kind
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_same_weighted_and_continued(kind, solver):
    a, b, y = estimators(kind, solver=solver)
    if "sample_weight" not in inspect.signature(b.fit).parameters:
        pytest.skip("scikit-learn's take no sample_weight before 1.7")
    a.fit(X, y, sample_weight=WEIGHTS)
    b.fit(X, y, sample_weight=WEIGHTS)
    for _ in range(3):
        a = pickle.loads(pickle.dumps(a)).partial_fit(X, y)
        b.partial_fit(X, y)
    assert difference(a, b) < 1e-12 and a.t_ == b.t_ == 70 * 13
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, atol=2e-5)
    a.set_params(warm_start=True).fit(X, y)
    b.set_params(warm_start=True).fit(X, y)
    assert difference(a, b) < 1e-12 and len(a.loss_curve_) == len(b.loss_curve_)


def test_partial_fit_from_nothing():
    a, b, y = estimators("classes", solver="adam")
    for part in (slice(0, 35), slice(35, 70)):
        a.partial_fit(X[part], y[part], classes=[7, 8, 9])
        b.partial_fit(X[part], y[part], classes=[7, 8, 9])
    assert difference(a, b) < 1e-12


def test_the_same_losses_without_a_penalty():
    a, b, y = estimators("classes", alpha=0.0)
    np.testing.assert_allclose(a.fit(X, y).loss_curve_, b.fit(X, y).loss_curve_, rtol=1e-12)


def test_poisson():
    if "loss" not in inspect.signature(theirs.MLPRegressor).parameters:
        pytest.skip("scikit-learn's has no loss before 1.7")
    a, b, y = estimators("number", loss="poisson")
    y = np.round(np.abs(y))
    a.fit(X, y)
    b.fit(X, y)
    assert difference(a, b) < 1e-12 and a.loss_ == pytest.approx(b.loss_, abs=1e-6) and a.out_activation_ == "exp"
    with pytest.raises(ValueError, match="at least 0"):
        a.fit(X, -y)


@by_kind
def test_there_and_back(kind):
    a, b, y = estimators(kind)
    b.fit(X, y)
    a = ours.from_sklearn(b)
    again = a.to_sklearn()
    assert difference(a, b) == difference(again, b) == 0 and a.dtype == "input"
    np.testing.assert_array_equal(again.predict(X), b.predict(X))
    np.testing.assert_allclose(a.score(X, y), b.score(X, y), rtol=1e-12)
    again.partial_fit(X, y)
    assert difference(a.partial_fit(X, y), again) < 1e-12
    with pytest.raises(ValueError, match="no activation='gelu'"):
        a.set_params(activation="gelu").to_sklearn()
    with pytest.raises(TypeError, match="not Network"):
        ours.from_sklearn(fastbp.Network([1, 1], loss="hinge"))


# --- scikit-learn's checks ------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator,check", [
    pytest.param(*pair, id=f"{type(pair[0]).__name__}-{getattr(pair[1], 'func', pair[1]).__name__}-{i}")
    for each in (ours.MLPClassifier(), ours.MLPRegressor()) for i, pair in enumerate(estimator_checks_generator(each))])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_in_a_search_over_a_pipeline():
    y = TARGETS["binary"][1]
    pipeline = make_pipeline(StandardScaler(), ours.MLPClassifier((8,), solver="lbfgs", random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2, scoring="roc_auc").fit(X, y)
    assert search.best_score_ > 0.6


def test_import_fastbp_leaves_scikit_learn_alone():
    subprocess.run([sys.executable, "-c", "import fastbp, sys; assert not {'sklearn', 'scipy'} & set(sys.modules)"], check=True)


# --- What scikit-learn's lack ---------------------------------------------------------------------------------

def classifier(**settings):
    return ours.MLPClassifier(**SETTINGS | settings)


@pytest.mark.parametrize("dtype,solver,given,want", [
    ("float32", "adam", "float64", "float32"), ("input", "lbfgs", "float32", "float32"), ("input", "sgd", "float64", "float64"),
    ("input", "adam", "float32", "float32"), ("float64", "adam", "float32", "float64"),
    ("float32", "lbfgs", "float64", "float32")])
def test_dtype(dtype, solver, given, want):
    mlp = classifier(dtype=dtype, solver=solver).fit(X.astype(given), TARGETS["binary"][1])
    assert {p.dtype.name for p in mlp.coefs_ + mlp.intercepts_} == {want} and mlp.predict_proba(X).dtype == want


def test_activations_by_layer():
    mlp = classifier(activation=["gelu", "logistic"]).fit(X, TARGETS["classes"][1])
    assert mlp.network_.activations == ("gelu", "sigmoid", "identity")
    with pytest.raises(ValueError, match="one for each of 2 hidden layers"):
        classifier(activation=["gelu"]).fit(X, TARGETS["classes"][1])


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "log_cosh", fastbp.losses.Quantile(0.5),
                                  lambda raw, y: (float(np.mean((raw - y) ** 2)), 2 * (raw - y) / len(y))])
def test_losses(loss):
    y = TARGETS["number"][1]
    mlp = ours.MLPRegressor(loss, (20,), max_iter=400, learning_rate_init=0.01, random_state=0, tol=0, dtype="float64").fit(X, y)
    assert mlp.score(X, y) > 0.9


def test_class_weight_is_sample_weight():
    y = TARGETS["binary"][1]
    a = classifier(class_weight={"yes": 3.0}).fit(X, y)
    b = classifier().fit(X, y, sample_weight=np.where(y == "yes", 3.0, 1.0))
    assert difference(a, b) == 0 != difference(a, classifier(class_weight="balanced").fit(X, y))


def test_dropout_is_decided_by_the_random_state():
    y = TARGETS["binary"][1]
    a, b, c = (classifier(dropout=p, random_state=seed).fit(X, y) for p, seed in ((0.5, 1), (0.5, 1), (0.0, 1)))
    assert difference(a, b) == 0 != difference(a, c)
    with pytest.raises(ValueError, match="dropout must be 0"):
        classifier(dropout=0.5, solver="lbfgs").fit(X, y)


def test_clipping_keeps_a_fit_that_diverges():
    X_wild, y = X * 1e6, TARGETS["number"][1]
    wild = {"solver": "sgd", "learning_rate_init": 1.0, "random_state": 0, "max_iter": 20}
    with pytest.raises(ValueError, match="non-finite parameter weights.*not finite"):
        ours.MLPRegressor(**wild).fit(X_wild, y)
    assert np.isfinite(ours.MLPRegressor(clip_norm=1e-6, **wild).fit(X_wild, y).loss_)


def test_early_stopping_keeps_the_best_of_a_fit_that_diverges():
    mlp = ours.MLPRegressor(solver="sgd", learning_rate_init=1.0, random_state=0, early_stopping=True, dtype="float32")
    with pytest.warns(ConvergenceWarning, match="not finite"):
        mlp.fit(X * 1e6, TARGETS["number"][1])
    assert np.isnan(mlp.validation_scores_[-1]) and np.isfinite(mlp.predict(X)).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_data_of_the_users_own(early_stopping):
    y = TARGETS["classes"][1]
    mlp = classifier(early_stopping=early_stopping, alpha=0.0, warm_start=True).fit(X, y, X_val=X[:30], y_val=y[:30])
    few = np.flatnonzero(y != 8)
    mlp.fit(X, y, X_val=X[few], y_val=y[few])                   # need not have all classes
    mlp.set_params(warm_start=False).fit(X, y, X_val=X[:30], y_val=y[:30])
    assert len(mlp.validation_loss_curve_) == mlp.n_iter_ and mlp.t_ == 70 * mlp.n_iter_
    p = mlp.predict_proba(X[:30])[np.arange(30), y[:30] - 7]
    if early_stopping:
        assert mlp.score(X[:30], y[:30]) == mlp.best_validation_score_
    else:
        assert -np.log(p).mean() == pytest.approx(mlp.validation_loss_curve_[-1], rel=1e-5)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_callbacks_see_the_estimator_and_may_stop_it(solver):
    y, seen = TARGETS["binary"][1], []

    def callback(mlp):
        seen.append(mlp.score(X, y))
        return mlp.n_iter_ == 3
    mlp = classifier(callbacks=[callback], solver=solver).fit(X, y)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == len(seen) == 3 and seen[-1] == mlp.score(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_max_time_ends_a_fit(solver):
    started = time.monotonic()
    ours.MLPRegressor(solver=solver, max_iter=10**7, max_fun=10**8, tol=0, n_iter_no_change=10**7, max_time=0.05,
                      batch_size=1).fit(X, RNG.randn(70))
    assert time.monotonic() - started < 10      # of the hours that it would take


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array])
def test_sparse_x(solver, container):
    y, thin = TARGETS["classes"][1], np.where(np.abs(X) > 1, X, 0)
    a, b = (classifier(solver=solver, dtype="float64").fit(x, y) for x in (thin, container(thin)))
    assert difference(a, b) < 1e-12
    np.testing.assert_array_equal(b.predict_proba(container(thin)), b.predict_proba(thin))


def test_parameters_may_be_written():
    mlp = classifier().fit(X, TARGETS["binary"][1])
    mlp.coefs_[-1][:] = 0
    mlp.intercepts_[-1] = np.array([100.0])
    assert (mlp.predict(X) == "yes").all() and (pickle.loads(pickle.dumps(mlp)).predict(X) == "yes").all()


def test_threads_do_not_matter():
    y = TARGETS["binary"][1]
    assert difference(classifier(n_jobs=1).fit(X, y), classifier(n_jobs=2).fit(X, y)) == 0


@pytest.mark.parametrize("settings,error", [
    ({"activation": "selfish"}, "activation"), ({"dtype": "float16"}, "dtype"), ({"momentum": 1.0}, "momentum"),
    ({"n_jobs": 0}, "n_jobs"), ({"dropout": 1.0}, "dropout"), ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes"),
    ({"callbacks": print}, "callbacks"), ({"label_smoothing": 1}, "label_smoothing")])
def test_settings_that_are_refused(settings, error):
    with pytest.raises(ValueError, match=error):
        classifier(**settings).fit(X, TARGETS["binary"][1])


def test_calls_that_are_refused():
    y = TARGETS["binary"][1]
    for weights, message in ((-WEIGHTS, "at least 0"), (0 * WEIGHTS, "weight")):
        with pytest.raises(ValueError, match=message):
            classifier().fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="classes must be passed"):
        classifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="not the same as on last call"):
        classifier().partial_fit(X, y, classes=["no", "yes"]).partial_fit(X, y, classes=["no", "maybe"])
    with pytest.raises(ValueError, match="does not support early_stopping"):
        classifier(early_stopping=True).partial_fit(X, y, classes=["no", "yes"])
    with pytest.raises(ValueError, match="one for numbers, not hinge"):
        ours.MLPRegressor(fastbp.losses.Hinge()).fit(X, X[:, 0])
    assert not hasattr(classifier(solver="lbfgs"), "partial_fit")
