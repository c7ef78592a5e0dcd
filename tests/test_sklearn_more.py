"""What the estimators of `fastbp.sklearn` have beyond them: losses, schedules, scorers, going on, sparse X."""
import copy
import inspect
import linecache
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402
from sklearn.metrics import d2_pinball_score, log_loss, make_scorer  # noqa: E402

import fastbp  # noqa: E402
from fastbp.losses import Hinge, Huber, Poisson, Quantile  # noqa: E402
from fastbp.schedules import Constant, Cosine, ReduceOnPlateau  # noqa: E402
from fastbp.sklearn import MLPClassifier, MLPRegressor, _sparse  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
YES = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
THREE = np.digitize(X[:, 0], [-0.5, 0.5]) + 7
LABELS = (X[:, :3] > 0.2).astype(int)
NUMBER = X[:, 0] ** 2 + X[:, 1]
SETTINGS = {"hidden_layer_sizes": (9, 5), "batch_size": 32, "max_iter": 8, "random_state": 0, "learning_rate_init": 0.01}


def classifier(**settings):
    return MLPClassifier(**SETTINGS | settings)


def regressor(**settings):
    return MLPRegressor(**SETTINGS | settings)


def difference(a, b):
    return max(np.abs(p - q).max() for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


# --- Losses ---------------------------------------------------------------------------------------------------

LONG = {"max_iter": 100, "tol": 0.0, "n_iter_no_change": 100, "random_state": 1}


@pytest.mark.parametrize("loss", ["hinge", "squared_error", "log_cosh", Huber(0.5)])
@pytest.mark.parametrize("y", [YES, THREE, LABELS], ids=["two", "three", "labels"])
def test_a_classifier_with_another_loss(loss, y):
    mlp = classifier(loss=loss, **LONG).fit(X, y)
    assert mlp.score(X, y) > 0.9 and mlp.out_activation_ == "identity" and not hasattr(mlp, "predict_proba")
    margins = mlp.decision_function(X)
    if y is YES:
        np.testing.assert_array_equal(mlp.classes_[(margins > 0).astype(int)], mlp.predict(X))
    elif y is THREE:
        np.testing.assert_array_equal(mlp.classes_[margins.argmax(axis=1)], mlp.predict(X))
    else:
        np.testing.assert_array_equal(margins > 0, mlp.predict(X))
    assert mlp.set_params(early_stopping=True).fit(X, y).best_validation_score_ > 0.5


@pytest.mark.parametrize("loss,threshold", [("hinge", 0.0), (Hinge(), 0.0), ("squared_error", 0.5)])
def test_where_an_output_says_yes(loss, threshold):
    mlp = classifier(loss=loss).fit(X, YES)
    raw = mlp.network_.forward(X)[:, 0]
    assert ((raw > 0) & (raw < 0.5)).any()
    np.testing.assert_array_equal(mlp.predict(X) == "yes", raw > threshold)
    np.testing.assert_allclose(mlp.decision_function(X), raw - threshold)


def test_a_classifier_with_a_function_as_loss():
    def squares(raw, y):
        return float(np.mean(np.sum((raw - y) ** 2, axis=1))) / 2, (raw - y) / len(y)
    a, b = (classifier(loss=loss, dtype="float64", alpha=0.0).fit(X, THREE) for loss in (squares, "squared_error"))
    assert difference(a, b) < 1e-12         # sums in another order
    with pytest.raises(ValueError, match="must be None for a function as loss"):
        a.set_params(class_weight="balanced").fit(X, THREE)


def test_losses_that_a_classifier_refuses():
    for loss, message in ((Poisson(), "not poisson"), ("poisson", "loss"), ("softmax_cross_entropy", "loss")):
        with pytest.raises(ValueError, match=message):
            classifier(loss=loss).fit(X, YES)
    with pytest.raises(ValueError, match="label_smoothing must be 0"):
        classifier(loss="hinge", label_smoothing=0.1).fit(X, YES)
    assert not hasattr(classifier(), "decision_function")


def test_several_quantiles():
    levels = [0.1, 0.5, 0.9]
    x, noise = np.linspace(-1, 1, 600)[:, None], RNG.randn(600)
    y = x[:, 0] + noise * (1.5 + x[:, 0])
    mlp = MLPRegressor(Quantile(levels), (16,), learning_rate_init=0.01, max_iter=120, random_state=0).fit(x, y)
    q = mlp.predict(x)
    assert q.shape == (600, 3) and np.abs((y[:, None] < q).mean(axis=0) - levels).max() < 0.06      # 3 deviations of a share
    assert mlp.score(x, y) == pytest.approx(np.mean([d2_pinball_score(y, q[:, i], alpha=p) for i, p in enumerate(levels)]))
    mlp.set_params(early_stopping=True, max_iter=3).fit(x, y)
    assert mlp.best_validation_score_ < 1
    with pytest.raises(ValueError, match="one column for several quantiles"):
        mlp.fit(x, np.stack([y, y], axis=1))


def test_dropout_by_layer():
    a, b = (classifier(dropout=p).fit(X, YES) for p in ([0.5, 0.0], [0.5, 0.0]))
    assert difference(a, b) == 0 and [layer.dropout for layer in a.network_.layers] == [0.5, 0.0, 0.0]
    for p, message in (([0.5], "one for each of 2 hidden layers"), ([0.5, 1.0], "dropout")):
        with pytest.raises(ValueError, match=message):
            classifier(dropout=p).fit(X, YES)


# --- Schedules, scorers, records ------------------------------------------------------------------------------

@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_schedule_sets_the_rates(solver):
    fits = [regressor(solver=solver, learning_rate=rate).fit(X, NUMBER)
            for rate in ("constant", Constant(0.01), lambda step: 0.01, Cosine(0.01))]
    assert difference(fits[0], fits[1]) == difference(fits[0], fits[2]) == 0 != difference(fits[0], fits[3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")          # all epochs of a schedule are no failure to converge
        regressor(solver=solver, learning_rate=Cosine(0.01)).fit(X, NUMBER)
    if solver == "sgd":
        steps = 4 * np.arange(1, 9) - 1                 # the last of each epoch of 4 steps
        np.testing.assert_allclose(fits[3].history_.learning_rate, 0.005 * (1 + np.cos(np.pi * steps / 32)), rtol=1e-12)


def test_a_schedule_that_watches_the_validation():
    plateau = ReduceOnPlateau(0.01, patience=1, min_delta=10.0)
    mlp = regressor(learning_rate=plateau, solver="sgd").fit(X, NUMBER, X_val=X, y_val=NUMBER)
    assert mlp.history_.learning_rate[-1] == pytest.approx(0.01 * 0.1**6)           # the first epoch is the best so far
    with pytest.raises(ValueError, match="watches val_loss and needs early_stopping=True, or X_val"):
        regressor(learning_rate=plateau).fit(X, NUMBER)
    with pytest.raises(ValueError, match="learning_rate"):
        regressor(learning_rate="cosine").fit(X, NUMBER)


@pytest.mark.filterwarnings("error::UserWarning")       # of feature names that X lacks
@pytest.mark.parametrize("scoring", ["f1_macro", make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
                                     lambda mlp, X, y: float((mlp.predict(X) == y).mean())])
def test_early_stopping_by_any_scorer(scoring):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    seen = []

    def note(mlp, X, y):
        assert set(y) <= {"no", "yes"}
        seen.append(scoring(mlp, X, y) if callable(scoring) else 0.5)
        return seen[-1]
    mlp = classifier(early_stopping=True, scoring=note).fit(table, YES)
    assert mlp.validation_scores_ == seen and len(seen) == mlp.n_iter_ == 8 and mlp.best_validation_score_ == max(seen)
    by_name = classifier(early_stopping=True, scoring=scoring).fit(X, YES, X_val=X, y_val=YES)
    assert len(by_name.validation_scores_) == by_name.n_iter_


def test_early_stopping_by_a_scorer_keeps_its_best():
    mlp = classifier(early_stopping=True, scoring="neg_log_loss", max_iter=60, n_iter_no_change=3, learning_rate_init=0.1)
    mlp.fit(X[:60], YES[:60], X_val=X[60:], y_val=YES[60:])
    assert mlp.n_iter_ < 60
    assert -log_loss(YES[60:], mlp.predict_proba(X[60:])) == pytest.approx(mlp.best_validation_score_, rel=1e-9)
    with pytest.raises(ValueError, match="scoring"):
        classifier(scoring="perfection").fit(X, YES)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_history_and_validation_curve(solver):
    mlp = regressor(solver=solver, alpha=0.0).fit(X, NUMBER, X_val=X[:50], y_val=NUMBER[:50])
    history = mlp.history_
    assert history.n_epochs == mlp.n_iter_ == len(mlp.validation_loss_curve_) == len(history.val_metric)
    np.testing.assert_allclose(history.loss, mlp.loss_curve_, rtol=1e-9)
    assert history.val_metric[-1] == pytest.approx(mlp.score(X[:50], NUMBER[:50]))
    assert mlp.validation_loss_curve_[-1] == pytest.approx(np.mean((mlp.predict(X[:50]) - NUMBER[:50]) ** 2) / 2)


@pytest.mark.parametrize("callbacks", [[], [lambda net, history: None]], ids=["nobody", "a callback"])
def test_the_history_of_lbfgs_has_no_penalty(callbacks):
    mlp = regressor(solver="lbfgs", alpha=5.0, dtype="float64", callbacks=callbacks).fit(X, np.stack([NUMBER, X[:, 0]], axis=1))
    penalty = 5.0 / 2 / len(X) * sum((W**2).sum() for W in mlp.coefs_)
    assert mlp.history_.loss[-1] == pytest.approx(2 * (mlp.loss_curve_[-1] - penalty), rel=1e-12)      # summed over two outputs


@pytest.mark.parametrize("given", [{"X_val": X}, {"y_val": YES}, {"sample_weight_val": np.ones(len(X))}],
                         ids=["X", "y", "weights"])
def test_validation_data_by_halves(given):
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        classifier().fit(X, YES, **given)


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"batch_size": 1000}], ids=["adam", "lbfgs", "large batch"])
def test_warnings_point_at_the_call(settings):
    with pytest.warns(UserWarning) as caught:
        classifier(**settings).fit(X, YES)
    lines = {linecache.getline(warning.filename, warning.lineno).strip() for warning in caught}
    assert lines == {"classifier(**settings).fit(X, YES)"}


# --- warm_start="exact" ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("settings", [
    {}, {"solver": "sgd", "nesterovs_momentum": False}, {"dropout": 0.3}, {"shuffle": False}, {"early_stopping": True},
    {"solver": "sgd", "learning_rate": "invscaling"}, {"learning_rate": lambda step: 0.01 / (1 + step)}],
    ids=["adam", "sgd", "dropout", "in order", "early stopping", "invscaling", "schedule"])
@pytest.mark.parametrize("between", [lambda mlp: mlp, copy.deepcopy, lambda mlp: pickle.loads(pickle.dumps(mlp))],
                         ids=["same", "copy", "pickle"])
def test_exact_warm_start(settings, between):
    """Bit for bit, curves included."""
    if callable(settings.get("learning_rate")) and between.__name__ == "<lambda>" and "pickle" in inspect.getsource(between):
        settings = settings | {"learning_rate": fastbp.schedules.InverseScaling(0.01)}      # a lambda has no pickle
    y = THREE if settings.get("dropout") else YES
    whole = classifier(max_iter=20, n_iter_no_change=50, **settings).fit(X, y)
    parts = classifier(max_iter=8, n_iter_no_change=50, warm_start="exact", **settings).fit(X, y)
    parts = between(parts).set_params(max_iter=12).fit(X, y)
    assert difference(whole, parts) == 0 and whole.loss_curve_ == parts.loss_curve_
    assert (whole.n_iter_, whole.t_, whole.validation_scores_) == (parts.n_iter_, parts.t_, parts.validation_scores_)
    assert whole.history_.learning_rate == parts.history_.learning_rate


def test_exact_warm_start_starts_from_what_the_user_wrote():
    mlp = classifier(early_stopping=True, warm_start="exact").fit(X, YES)
    mlp.coefs_ = [np.zeros_like(W) for W in mlp.coefs_]
    mlp.intercepts_ = [np.zeros_like(b) for b in mlp.intercepts_]
    mlp.set_params(max_iter=1).fit(X, YES)
    assert mlp.history_.loss[-1] > 0.6              # log 2 = 0.69, from nothing


def test_exact_warm_start_refuses():
    mlp = classifier(warm_start="exact").fit(X, YES)
    with pytest.raises(ValueError, match="samples of the fit before for warm_start='exact', 120 and not 100"):
        mlp.fit(X[:100], YES[:100])
    with pytest.raises(ValueError, match="is for solver='sgd' or 'adam'"):
        classifier(warm_start="exact", solver="lbfgs").fit(X, YES)


# --- Sparse X -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_sparse_x_is_made_dense_in_parts(solver, monkeypatch):
    """To 1e-9: of lbfgs the gradients of parts are summed."""
    thin, weights = np.where(np.abs(X) > 1, X, 0), RNG.randint(1, 3, len(X)).astype(float)
    largest = []
    toarray = sparse.csr_array.toarray
    monkeypatch.setattr(sparse.csr_array, "toarray", lambda self: largest.append(self.shape) or toarray(self))
    monkeypatch.setattr(_sparse, "AT_ONCE", 4 * 40)
    settings = {"solver": solver, "dtype": "float64", "batch_size": 16}
    a, b = (classifier(**settings).fit(x, THREE, X_val=x, y_val=THREE) for x in (thin, sparse.csr_array(thin)))
    assert difference(a, b) < 1e-9 and max(rows for rows, columns in largest if columns == 4) <= 40     # others are of labels
    np.testing.assert_allclose(a.validation_loss_curve_, b.validation_loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(a.predict_proba(thin), b.predict_proba(sparse.csr_array(thin)), rtol=1e-9)
    a, b = (classifier(**settings).fit(x, THREE, sample_weight=weights) for x in (thin, sparse.csr_array(thin)))
    assert difference(a, b) < 1e-9
