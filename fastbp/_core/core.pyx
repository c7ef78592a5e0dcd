"""The compiled numeric core of one ISA row and one dtype; fastbp/reference.py is its twin in NumPy float64.

Contents, from the ground up. Each room uses only the rooms above it.
"""

import numpy

from libc.math cimport INFINITY, NAN, isfinite, pow, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

include "types.pxi"             # numbers, vectors, panels
include "span.pxi"              # exp, log, tanh, sigmoid, erf
include "lanes.pxi"             # sums across lanes, transposes
include "activations.pxi"       # f and f'
include "optimizers.pxi"        # update rules
include "random.pxi"            # random numbers by counting: dropout, noise
include "layer.pxi"             # a layer, and what becomes of its tiles
include "region.pxi"            # what a thread makes of it
include "tile.pxi"              # the micro-kernel
include "gemm.pxi"              # cache blocking, packing
include "losses.pxi"            # losses and their gradients
include "loss_rows.pxi"         # of the rows of a batch
include "dense.pxi"             # the products of a layer
include "norm.pxi"              # layer norm, batch norm
include "update.pxi"            # dW and the update
include "health.pxi"            # what the layers look like
include "batch.pxi"             # one batch, forward and backward
include "step.pxi"              # steps: the threads
include "infer.pxi"             # inference, and one layer by itself
include "arrays.pxi"            # one layer, one update, on arrays
include "memory.pxi"            # what Python lends and what we own
include "kernels.pxi"           # the rooms above, one by one, on arrays
include "parameters.pxi"        # blocks of parameters
include "workspace.pxi"         # the memory of a batch
include "stack.pxi"             # a network
include "embed.pxi"             # what C calls
