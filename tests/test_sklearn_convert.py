"""`to_sklearn` says what gets lost on the way: parameters of `fastbp.sklearn` that scikit-learn has no room for."""
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from fastbp.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(70, 4)
YES = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
LOST = {"callbacks": [print], "class_weight": "balanced", "clip_norm": 1.0, "dropout": [0.1], "dtype": "float32",
        "label_smoothing": 0.1, "max_time": 60, "n_jobs": 1, "scoring": "f1_macro"}


@pytest.mark.parametrize("names", [*([name] for name in LOST), list(LOST)], ids=",".join)
@pytest.mark.parametrize("fitted", [False, True])
def test_what_gets_lost_is_named(names, fitted):
    lost = {name: LOST[name] for name in names}
    mlp = MLPClassifier((9,), max_iter=2, random_state=0, **lost)
    if fitted:
        mlp.fit(X, YES)
    with pytest.warns(UserWarning) as caught:
        theirs = mlp.to_sklearn()
    told, = caught
    words = ", ".join(f"{name}={value!r}" for name, value in lost.items())
    assert str(told.message) == f"scikit-learn has no room for {words}; weights stay exact, another fit would do without"
    assert told.filename == __file__
    if fitted:
        np.testing.assert_array_equal(theirs.predict(X), mlp.predict(X))
        for ours, its in zip(mlp.coefs_ + mlp.intercepts_, theirs.coefs_ + theirs.intercepts_):
            np.testing.assert_array_equal(ours, its)


def test_defaults_in_any_spelling_are_not_named():
    MLPRegressor(callbacks=[], dropout=0, max_iter=2).fit(X, X[:, 0]).to_sklearn()
    MLPRegressor(preset="tabular", hidden_layer_sizes=[100], dropout=0, max_iter=1).fit(X, X[:, 0])     # nor refused by a recipe


def test_callbacks_of_scikit_learns_protocol_are_named():
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and newer")
    if hasattr(MLPClassifier._twin, "set_callbacks"):
        pytest.skip("scikit-learn's take them")
    with pytest.warns(UserWarning, match="no room for what set_callbacks was given"):
        MLPClassifier().set_callbacks(callback.ScoringMonitor(scoring="accuracy")).to_sklearn()
