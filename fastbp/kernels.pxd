# `from fastbp.kernels cimport ...`: the kernels as functions in C, without the GIL. They live in the compiled module _capi.
from fastbp._capi cimport *
