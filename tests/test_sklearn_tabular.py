"""`preset="tabular"` of the estimators of `fastbp.sklearn`."""
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from fastbp.losses import BinaryCrossEntropy  # noqa: E402
from fastbp.presets import RobustScaler, tabular_network, tabular_optimizer  # noqa: E402
from fastbp.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
YES = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
THREE = np.digitize(X[:, 0], [-0.5, 0.5]) + 7
LABELS = (X[:, :3] > 0.2).astype(int)
NUMBER = X[:, 0] ** 2 + X[:, 1]


def test_the_tabular_preset_of_a_classifier():
    wild = X * [1, 1000, 0.001, 1] + [0, 10**6, 0, 0]
    mlp = MLPClassifier(preset="tabular", max_iter=20, random_state=0).fit(wild, YES)
    assert mlp.score(wild, YES) > 0.9 and mlp.predict_proba(wild).shape == (120, 2)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == len(mlp.validation_loss_curve_) == 20 and mlp.coefs_[0].shape == (1, 4)
    again = pickle.loads(pickle.dumps(clone(mlp).fit(wild, YES)))
    np.testing.assert_array_equal(again.predict_proba(wild), mlp.predict_proba(wild))
    assert (MLPClassifier(preset="tabular", max_iter=20, random_state=0).fit(wild, THREE).score(wild, THREE)) > 0.8


def test_the_tabular_preset_of_a_regressor():
    y = 1e6 * NUMBER + 1e9
    mlp = MLPRegressor(preset="tabular", max_iter=60, random_state=0, batch_size=32).fit(X, y)
    assert mlp.score(X, y) > 0.9 and mlp.predict(X).shape == (120,)
    both = MLPRegressor(preset="tabular", max_iter=5, validation_fraction=0).fit(X, np.stack([y, X[:, 0]], axis=1))
    assert both.predict(X).shape == (120, 2) and both.validation_loss_curve_ is None
    own = MLPRegressor(preset="tabular", max_iter=5, random_state=0).fit(X, y, X_val=X[:20], y_val=y[:20])
    assert len(own.validation_scores_) == 5


def test_several_labels():
    """By the recipe with a sigmoid for each: what a network of `presets` gives."""
    mlp = MLPClassifier(preset="tabular", max_iter=40, validation_fraction=0, random_state=0).fit(X, LABELS)
    assert mlp.score(X, LABELS) > 0.8 and mlp.network_._loss == BinaryCrossEntropy(0.1) and mlp.out_activation_ == "logistic"
    p = mlp.predict_proba(X)
    assert p.shape == (120, 3) and ((p > 0.5) == mlp.predict(X)).all() and mlp.n_outputs_ == 3
    net = tabular_network(4, 3, seed=mlp.network_.seed, loss=BinaryCrossEntropy(0.1))
    scaled = RobustScaler().fit(X).transform(X)
    net.fit(scaled, LABELS, epochs=40, batch_size=256, optimizer=tabular_optimizer())
    np.testing.assert_array_equal(net.predict_proba(scaled), p)
    held_out = MLPClassifier(preset="tabular", max_iter=3, class_weight="balanced", random_state=0).fit(X, LABELS)
    assert len(held_out.validation_scores_) == 3


@pytest.mark.parametrize("dtype,want", [("input", "float32"), ("float32", "float32"), ("float64", "float64")])
@pytest.mark.parametrize("given", ["float32", "float64"])
def test_dtype(dtype, want, given):
    mlp = MLPClassifier(preset="tabular", max_iter=2, random_state=0, dtype=dtype).fit(X.astype(given), YES)
    assert {p.dtype.name for p in mlp.coefs_ + mlp.intercepts_} == {want} and mlp.predict_proba(X).dtype == want
    scaled = mlp._recipe.scaler.transform(X, want)          # in float64 to its last digit
    np.testing.assert_array_equal(mlp.network_.predict_proba(scaled), mlp.predict_proba(X))


def test_samples_held_out_have_their_weights():
    weights = RNG.randint(0, 3, 120)
    mlp = MLPRegressor(preset="tabular", max_iter=1, random_state=0, dtype="float64")
    mlp.fit(X, NUMBER, weights, X_val=X[:30], y_val=NUMBER[:30], sample_weight_val=weights[:30])
    encoded = mlp._recipe.encode(NUMBER[:30])
    errors = (mlp._recipe.encode(mlp.predict(X[:30])) - encoded) ** 2 / 2
    assert mlp.validation_loss_curve_ == [pytest.approx(np.average(errors, weights=weights[:30]))]
    random, seen = np.random.RandomState(0), []
    _, places = train_test_split(np.arange(120), test_size=0.2, random_state=random)
    mlp.set_params(callbacks=[lambda mlp: seen.append(mlp.predict(X[places]))]).fit(X, NUMBER, weights)
    errors = (seen[0] - NUMBER[places]) ** 2 / mlp._recipe.deviation**2 / 2
    assert mlp.validation_loss_curve_ == [pytest.approx(np.average(errors, weights=weights[places]))]


def test_the_tabular_preset_stops_and_is_watched():
    seen = []
    mlp = MLPRegressor(preset="tabular", callbacks=[lambda mlp: seen.append(mlp.predict(X)) or len(seen) == 3], random_state=0)
    assert mlp.fit(X, NUMBER).n_iter_ == 3 == len(seen)
    assert MLPRegressor(preset="tabular", max_time=1e-9).fit(X, NUMBER).n_iter_ <= 1


def test_a_tabular_fit_that_diverges():
    def overflow(net, history):
        net.set_parameters([np.full_like(W, 1e38) for W in net.weights], net.biases)
    with pytest.raises(ValueError, match="non-finite parameter weights.*not finite"):
        MLPRegressor(preset="tabular", max_iter=2, validation_fraction=0, callbacks=[overflow]).fit(X, NUMBER)


def test_what_the_tabular_preset_refuses():
    for settings, message in (({"alpha": 0.1}, "alpha is the recipe's"), ({"solver": "sgd"}, "solver is the recipe's"),
                              ({"preset": "best"}, "preset")):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(**{"preset": "tabular"} | settings).fit(X, YES)
    with pytest.raises(TypeError, match="dense"):
        MLPClassifier(preset="tabular").fit(sparse.csr_array(X), YES)
    mlp = MLPClassifier(preset="tabular", max_iter=1).fit(X, YES)
    assert not hasattr(mlp, "partial_fit")
    with pytest.raises(ValueError, match="preset must stay"):
        clone(mlp).fit(X, YES).set_params(preset=None, warm_start=True).fit(X, YES)
    for preset in ("tabular", None):
        with pytest.raises(ValueError, match="scikit-learn has no"):
            mlp.set_params(preset=preset).to_sklearn()
