"""Run scikit-learn's own tests of its multi-layer perceptrons against fastbp's.

    python tools/run_sklearn_mlp_tests.py [OPTION OF PYTEST ...]

The file is sklearn/neural_network/tests/test_mlp.py of the scikit-learn that is installed; nothing of it is copied. In it
MLPClassifier and MLPRegressor become those of `fastbp.sklearn`. Tests in DEVIATIONS are expected to fail, for the reason given
there; docs/sklearn.md explains each. The status is not 0 if any other fails, or if one of them passes.
"""

import importlib.util
import sys

import pytest

from fastbp import sklearn as ours

TESTS = "sklearn.neural_network.tests.test_mlp"

#: test -> why it cannot pass
DEVIATIONS = {
    "test_gradient": "calls a private method of scikit-learn's; fastbp.check_gradient does the same for any network",
}


class Substitution:
    """A plugin of pytest: our classes in the place of theirs, and the list of deviations."""

    def pytest_collection_modifyitems(self, items):
        for item in items:
            reason = DEVIATIONS.get(item.originalname)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def main(arguments):
    from sklearn import neural_network
    neural_network.MLPClassifier, neural_network.MLPRegressor = ours.MLPClassifier, ours.MLPRegressor
    path = importlib.util.find_spec(TESTS).origin
    return pytest.main([path, "-q", "-rxX", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "/dev/null", "--rootdir=/",
                        *arguments], plugins=[Substitution()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
