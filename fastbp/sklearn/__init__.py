"""MLPClassifier and MLPRegressor with scikit-learn's names, parameters and attributes, trained by fastbp.

Needs scikit-learn 1.6 or newer, which ``import fastbp`` alone does not. Where they differ from scikit-learn's own is listed
in docs/sklearn.md.
"""

from fastbp.sklearn._classifier import MLPClassifier
from fastbp.sklearn._convert import to_fastbp
from fastbp.sklearn._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "from_sklearn"]


def from_sklearn(mlp):
    """An estimator of scikit-learn's, new or fitted, as one of ours.

    Parameters
    ----------
    mlp : sklearn.neural_network.MLPClassifier or MLPRegressor

    Returns
    -------
    MLPClassifier or MLPRegressor
        With the same weights, if fitted. What the optimizer remembers for `partial_fit` starts anew.

    Raises
    ------
    TypeError
        If it is neither.
    """
    for ours in (MLPClassifier, MLPRegressor):
        if isinstance(mlp, ours._twin):
            return to_fastbp(mlp, ours)
    raise TypeError(f"mlp must be scikit-learn's MLPClassifier or MLPRegressor, not {type(mlp).__name__}")
