"""`preset="tabular"` of the estimators of `fastbp.sklearn`."""
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402

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
    with pytest.raises(ValueError, match="one label a sample"):
        MLPClassifier(preset="tabular").fit(X, LABELS)
    with pytest.raises(TypeError, match="dense"):
        MLPClassifier(preset="tabular").fit(sparse.csr_array(X), YES)
    mlp = MLPClassifier(preset="tabular", max_iter=1).fit(X, YES)
    assert not hasattr(mlp, "partial_fit")
    with pytest.raises(ValueError, match="preset must stay"):
        clone(mlp).fit(X, YES).set_params(preset=None, warm_start=True).fit(X, YES)
    for preset in ("tabular", None):
        with pytest.raises(ValueError, match="scikit-learn has no"):
            mlp.set_params(preset=preset).to_sklearn()
