"""The estimators of `fastbp.sklearn` in company: data frames, routing, pickles, searches, pipelines and other meta-estimators."""
import copy
import io
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib  # noqa: E402
import sklearn  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.ensemble import BaggingRegressor, VotingClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from fastbp.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(120, 4)
YES = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] > 0).astype(int)]
THREE = np.array(["low", "middle", "top"])[np.digitize(X[:, 0], [-0.5, 0.5])]
NUMBER = X[:, 0] ** 2 + X[:, 1]
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "learning_rate_init": 0.03, "batch_size": 32}


def classifier(**settings):
    return MLPClassifier(**SETTINGS | settings)


def regressor(**settings):
    return MLPRegressor(**SETTINGS | settings)


def frame(kind, columns="abcd"):
    """X as a data frame."""
    table = pytest.importorskip(kind).DataFrame({name: X[:, i] for i, name in enumerate(columns)})
    if not hasattr(StandardScaler().fit(table), "feature_names_in_"):
        pytest.skip("scikit-learn sees no column names here: before 1.9 it does not know polars 2")
    return table


# --- Data frames ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=["adam", "stopping", "lbfgs"])
def test_data_frames(kind, settings):
    table = frame(kind)
    y = pytest.importorskip(kind).Series(THREE)
    mlp, plain = classifier(**settings).fit(table, y, X_val=table, y_val=y), classifier(**settings).fit(X, THREE, X_val=X,
                                                                                                       y_val=THREE)
    assert mlp.feature_names_in_.tolist() == list("abcd") and not hasattr(plain, "feature_names_in_")
    assert mlp.predict(table).tolist() == plain.predict(X).tolist() and mlp.validation_loss_curve_ == plain.validation_loss_curve_
    with pytest.raises(ValueError, match="feature names should match"):
        mlp.predict(frame(kind, "abce"))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        mlp.predict(X)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_set_output_in_front_of_an_estimator(kind):
    table = frame(kind)
    pipeline = make_pipeline(StandardScaler(), regressor()).set_output(transform=kind)
    pipeline.fit(table, NUMBER)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcd")
    np.testing.assert_allclose(pipeline.predict(table), make_pipeline(StandardScaler(), regressor()).fit(X, NUMBER).predict(X))


@pytest.mark.parametrize("labels", [THREE, THREE.astype(object), X[:, 0] > 0, (X[:, 0] > 0) + 1.0],
                         ids=["str", "object", "bool", "float"])
def test_labels_of_any_kind_with_early_stopping(labels):
    mlp = classifier(early_stopping=True).fit(X, labels)
    assert set(mlp.predict(X)) <= set(labels) and len(mlp.validation_scores_) == mlp.n_iter_


# --- Copies ---------------------------------------------------------------------------------------------------

def by_joblib(mlp):
    file = io.BytesIO()
    joblib.dump(mlp, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("copied", [copy.deepcopy, by_joblib])
def test_copies_go_on_by_themselves(copied):
    mlp = classifier().fit(X, THREE)
    other = copied(mlp)
    p = mlp.predict_proba(X)
    other.partial_fit(X, THREE)
    np.testing.assert_array_equal(mlp.predict_proba(X), p)
    np.testing.assert_array_equal(mlp.partial_fit(X, THREE).predict_proba(X), other.predict_proba(X))


def test_clones_have_settings_alone():
    mlp = classifier(scoring="f1_macro", activation=["gelu"], preset=None, dropout=[0.1]).fit(X, THREE)
    new = clone(mlp)
    assert new.get_params() == mlp.get_params() and not hasattr(new, "coefs_")


# --- Routing --------------------------------------------------------------------------------------------------

def test_metadata_routing():
    weights = np.where(YES == "yes", 5.0, 0.5)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, classifier().set_fit_request(sample_weight=True))
        routed.fit(X, YES, sample_weight=weights)
        search = GridSearchCV(classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
                              {"alpha": [1e-4]}, cv=2).fit(X, YES, sample_weight=weights)
    direct = make_pipeline(StandardScaler(), classifier()).fit(X, YES, mlpclassifier__sample_weight=weights)
    np.testing.assert_array_equal(routed.predict_proba(X), direct.predict_proba(X))
    np.testing.assert_array_equal(search.best_estimator_.predict_proba(X),
                                  classifier(alpha=1e-4).fit(X, YES, weights).predict_proba(X))


# --- Searches and meta-estimators -----------------------------------------------------------------------------

@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_search_in_parallel(backend):
    """The same scores as one after the other."""
    grid = {"alpha": [1e-4, 1.0], "activation": ["relu", "gelu"]}
    alone = GridSearchCV(classifier(n_jobs=1), grid, cv=2).fit(X, YES)
    with joblib.parallel_backend(backend, n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")             # loky's own, of workers that it starts and stops
        both = GridSearchCV(classifier(n_jobs=1), grid, cv=2, n_jobs=2).fit(X, YES)
    np.testing.assert_array_equal(both.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(both.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss", "balanced_accuracy"])
def test_cross_validation_of_a_pipeline(scoring):
    scores = cross_val_score(make_pipeline(StandardScaler(), classifier(max_iter=60)), X, YES, cv=3, scoring=scoring)
    assert (scores > (-0.5 if scoring == "neg_log_loss" else 0.85)).all()


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_calibration(loss):
    """By probabilities, or by margins where there are none."""
    mlp = CalibratedClassifierCV(classifier(loss=loss, max_iter=60), cv=3).fit(X, YES)
    assert mlp.score(X, YES) > 0.9 and mlp.predict_proba(X).shape == (120, 2)


def test_several_outputs():
    two = np.stack([YES, THREE], axis=1)
    predicted = MultiOutputClassifier(classifier(max_iter=60)).fit(X, two).predict(X)
    assert (predicted == two).mean() > 0.9
    numbers = np.stack([NUMBER, X[:, 2]], axis=1)
    many = MultiOutputRegressor(regressor(max_iter=100)).fit(X, numbers)
    assert many.score(X, numbers) > 0.9 and regressor(max_iter=100).fit(X, numbers).score(X, numbers) > 0.9


def test_ensembles():
    voting = VotingClassifier([("a", classifier()), ("b", classifier(activation="tanh"))], voting="soft").fit(X, YES)
    assert voting.score(X, YES) > 0.85
    assert BaggingRegressor(regressor(max_iter=100), 3, random_state=0).fit(X, NUMBER).score(X, NUMBER) > 0.8
