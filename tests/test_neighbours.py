"""fastbp in one process with libraries that bring an OpenMP runtime of their own, whichever of the two is imported first."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp

FASTBP = """
def fit_fastbp():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((512, 64), dtype="float32"), rng.integers(0, 3, 512)
    net = fastbp.Network([64, 128, 3], seed=0)
    net.fit(X, y, epochs=2, n_threads=2)
    return b"".join(p.tobytes() for p in net.weights + net.biases).hex()
"""

#: A fit of each neighbour that enters a parallel region of its runtime.
FITS = {
    "torch": """
def fit_neighbour():
    X, layer = torch.ones(4096, 256), torch.nn.Linear(256, 256)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(X).square().mean().backward()
        optimizer.step()
""",
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingClassifier
def fit_neighbour():
    X = np.random.default_rng(0).standard_normal((2000, 20))
    HistGradientBoostingClassifier(max_iter=3).fit(X, X[:, 0] > 0)
""",
}


def run(lines, bind):
    """What a fresh interpreter prints; a hang is cut off. `bind` is OMP_PROC_BIND or None."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    environment["PYTHONPATH"] = str(Path(fastbp.__file__).parents[1])
    if bind is not None:
        environment["OMP_PROC_BIND"] = bind
    program = "\n".join(["import numpy as np", *lines])
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def alone():
    return run(["import fastbp", FASTBP, "print(fit_fastbp())"], bind=None)


@pytest.mark.parametrize("bind", [None, "true"], ids=["unbound", "bound"])
@pytest.mark.parametrize("first", ["fastbp", "neighbour"])
@pytest.mark.parametrize("neighbour", FITS)
def test_same_bits_beside(neighbour, first, bind, alone):
    if importlib.util.find_spec(neighbour) is None:
        pytest.skip(f"needs {neighbour}")
    imports = [f"import fastbp\n{FASTBP}", f"import {neighbour}\n{FITS[neighbour]}"]
    fits = ["fit_fastbp()", "fit_neighbour()"]
    order = slice(None) if first == "fastbp" else slice(None, None, -1)
    assert run([*imports[order], *fits[order], "print(fit_fastbp())"], bind) == alone
