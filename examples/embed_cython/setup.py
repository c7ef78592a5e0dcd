"""Two modules of another library on fastbp's kernels: online (Cython, by cimport) and table (C, by the header).

    pip install . --no-build-isolation        fastbp, Cython and setuptools are there
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastbp

setup(
    name="embed-cython",
    version="1.0",
    ext_modules=[
        *cythonize("online.pyx", language_level=3),
        Extension("table", ["table.c"], include_dirs=[fastbp.get_include()]),
    ],
)
