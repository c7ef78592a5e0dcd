"""A learner in another library: the data and the loop are its own, in C and without the GIL; the network is fastbp's."""

from cpython.pycapsule cimport PyCapsule_GetPointer

from fastbp.kernels cimport fastbp_dense_forward_f32, fastbp_predict_f32, fastbp_step_f32


def train(handle, const float[:, ::1] X not None, const long long[::1] labels not None, Py_ssize_t batch_size,
          double learning_rate):
    """One epoch over the samples as they stand.

    `handle` is ``net.c_handle(optimizer, batch_size)``. Returns the status of fastbp.h, 0 if all is well, and the loss of
    the last batch.
    """
    cdef void* network = PyCapsule_GetPointer(handle, "fastbp.network_f32")
    cdef Py_ssize_t first = 0, n = X.shape[0]
    cdef double loss = 0
    cdef int status = 0
    if labels.shape[0] != n:
        raise ValueError(f"labels must be {n}, one a sample, not {labels.shape[0]}")
    with nogil:
        while first < n and status == 0:
            status = fastbp_step_f32(network, &X[first, 0], X.shape[1], &labels[first], NULL, min(batch_size, n - first),
                                     learning_rate, 1, &loss)
            first += batch_size
    return status, loss


def predict(handle, const float[:, ::1] X not None, float[:, ::1] raw not None):
    """Raw outputs of the network for the rows of X. Returns the status."""
    cdef void* network = PyCapsule_GetPointer(handle, "fastbp.network_f32")
    cdef int status
    with nogil:
        status = fastbp_predict_f32(network, &X[0, 0], X.shape[1], &raw[0, 0], X.shape[0], 1)
    return status


def dense(const float[:, ::1] X not None, const float[:, ::1] W not None, const float[::1] b not None, int activation,
          float[:, ::1] a not None):
    """a = f(X W + b), with a library's own weights. Returns the status."""
    cdef int status
    with nogil:
        status = fastbp_dense_forward_f32(&X[0, 0], X.shape[1], &W[0, 0], &b[0], activation, NULL, &a[0, 0], X.shape[0],
                                          W.shape[0], W.shape[1], 1)
    return status
