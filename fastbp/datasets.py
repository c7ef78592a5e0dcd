"""The data set that comes with the package: 1,797 handwritten digits, real and small enough to ship.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository,
CC BY 4.0; see data/ATTRIBUTION.txt.
"""
from importlib import resources

import numpy as np

DIGITS_WHITE = 16   # the largest pixel value of `load_digits`


def load_digits():
    """Return the embedded handwritten digits.

    Returns
    -------
    X : ndarray of uint8, shape (1797, 64)
        8 x 8 images, row by row; a pixel is a whole number from 0 to 16.
    y : ndarray of uint8, shape (1797,)
        The digit that each image shows, 0 to 9.
    """
    path = resources.files("fastbp") / "data" / "digits.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return archive["X"], archive["y"]
