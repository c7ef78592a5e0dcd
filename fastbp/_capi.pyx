"""The kernels for C and Cython: functions that pass on to the core that this machine runs. Compiled for the baseline.

`_capi.pxd` has the prototypes for Cython, which `fastbp.kernels` hands on; `api` is the table for C (fastbp.h).
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New

from fastbp import _dispatch

cdef extern from "fastbp.h" nogil:
    ctypedef struct fastbp_kernels_f32:
        int (*dense_forward)(const float*, Py_ssize_t, const float*, const float*, int, float*, float*, Py_ssize_t,
                             Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*dense_backward)(const float*, Py_ssize_t, const float*, const float*, const float*, const float*, int, float*,
                              float*, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*sgd_update)(float*, const float*, float*, Py_ssize_t, double, double, int, double, double) noexcept nogil
        int (*adam_update)(float*, const float*, float*, float*, Py_ssize_t, long long, double, double, double, double,
                           double, double) noexcept nogil
        int (*step)(void*, const float*, Py_ssize_t, const long long*, const float*, Py_ssize_t, double, int,
                    double*) noexcept nogil
        int (*predict)(void*, const float*, Py_ssize_t, float*, Py_ssize_t, int) noexcept nogil
    ctypedef struct fastbp_kernels_f64:
        int (*dense_forward)(const double*, Py_ssize_t, const double*, const double*, int, double*, double*, Py_ssize_t,
                             Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*dense_backward)(const double*, Py_ssize_t, const double*, const double*, const double*, const double*, int,
                              double*, double*, double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*sgd_update)(double*, const double*, double*, Py_ssize_t, double, double, int, double, double) noexcept nogil
        int (*adam_update)(double*, const double*, double*, double*, Py_ssize_t, long long, double, double, double, double,
                           double, double) noexcept nogil
        int (*step)(void*, const double*, Py_ssize_t, const long long*, const double*, Py_ssize_t, double, int,
                    double*) noexcept nogil
        int (*predict)(void*, const double*, Py_ssize_t, double*, Py_ssize_t, int) noexcept nogil
    ctypedef struct fastbp_api:
        unsigned version, struct_size
        const fastbp_kernels_f32* f32
        const fastbp_kernels_f64* f64
    const unsigned FASTBP_API_VERSION

cdef const fastbp_kernels_f32* F32 = <const fastbp_kernels_f32*>PyCapsule_GetPointer(
    _dispatch.core("float32").table(), "fastbp.kernels_f32")
cdef const fastbp_kernels_f64* F64 = <const fastbp_kernels_f64*>PyCapsule_GetPointer(
    _dispatch.core("float64").table(), "fastbp.kernels_f64")
cdef fastbp_api API = fastbp_api(FASTBP_API_VERSION, sizeof(fastbp_api), F32, F64)

#: What `fastbp_import` of fastbp.h takes.
api = PyCapsule_New(&API, "fastbp._capi.api", NULL)


cdef int fastbp_dense_forward_f32(const float* X, Py_ssize_t ldx, const float* W, const float* b, int activation, float* z,
                                  float* a, Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out,
                                  int n_threads) noexcept nogil:
    return F32.dense_forward(X, ldx, W, b, activation, z, a, n_samples, n_in, n_out, n_threads)

cdef int fastbp_dense_backward_f32(const float* X, Py_ssize_t ldx, const float* W, const float* z, const float* a,
                                   const float* da, int activation, float* dX, float* dW, float* db, Py_ssize_t n_samples,
                                   Py_ssize_t n_in, Py_ssize_t n_out, int n_threads) noexcept nogil:
    return F32.dense_backward(X, ldx, W, z, a, da, activation, dX, dW, db, n_samples, n_in, n_out, n_threads)

cdef int fastbp_sgd_update_f32(float* w, const float* dw, float* velocity, Py_ssize_t n, double learning_rate,
                               double momentum, int nesterov, double weight_decay, double l2) noexcept nogil:
    return F32.sgd_update(w, dw, velocity, n, learning_rate, momentum, nesterov, weight_decay, l2)

cdef int fastbp_adam_update_f32(float* w, const float* dw, float* m, float* v, Py_ssize_t n, long long t,
                                double learning_rate, double beta1, double beta2, double eps, double weight_decay,
                                double l2) noexcept nogil:
    return F32.adam_update(w, dw, m, v, n, t, learning_rate, beta1, beta2, eps, weight_decay, l2)

cdef int fastbp_step_f32(void* network, const float* X, Py_ssize_t ldx, const long long* labels, const float* y,
                         Py_ssize_t n_samples, double learning_rate, int n_threads, double* loss) noexcept nogil:
    return F32.step(network, X, ldx, labels, y, n_samples, learning_rate, n_threads, loss)

cdef int fastbp_predict_f32(void* network, const float* X, Py_ssize_t ldx, float* raw, Py_ssize_t n_samples,
                            int n_threads) noexcept nogil:
    return F32.predict(network, X, ldx, raw, n_samples, n_threads)

cdef int fastbp_dense_forward_f64(const double* X, Py_ssize_t ldx, const double* W, const double* b, int activation,
                                  double* z, double* a, Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out,
                                  int n_threads) noexcept nogil:
    return F64.dense_forward(X, ldx, W, b, activation, z, a, n_samples, n_in, n_out, n_threads)

cdef int fastbp_dense_backward_f64(const double* X, Py_ssize_t ldx, const double* W, const double* z, const double* a,
                                   const double* da, int activation, double* dX, double* dW, double* db,
                                   Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out, int n_threads) noexcept nogil:
    return F64.dense_backward(X, ldx, W, z, a, da, activation, dX, dW, db, n_samples, n_in, n_out, n_threads)

cdef int fastbp_sgd_update_f64(double* w, const double* dw, double* velocity, Py_ssize_t n, double learning_rate,
                               double momentum, int nesterov, double weight_decay, double l2) noexcept nogil:
    return F64.sgd_update(w, dw, velocity, n, learning_rate, momentum, nesterov, weight_decay, l2)

cdef int fastbp_adam_update_f64(double* w, const double* dw, double* m, double* v, Py_ssize_t n, long long t,
                                double learning_rate, double beta1, double beta2, double eps, double weight_decay,
                                double l2) noexcept nogil:
    return F64.adam_update(w, dw, m, v, n, t, learning_rate, beta1, beta2, eps, weight_decay, l2)

cdef int fastbp_step_f64(void* network, const double* X, Py_ssize_t ldx, const long long* labels, const double* y,
                         Py_ssize_t n_samples, double learning_rate, int n_threads, double* loss) noexcept nogil:
    return F64.step(network, X, ldx, labels, y, n_samples, learning_rate, n_threads, loss)

cdef int fastbp_predict_f64(void* network, const double* X, Py_ssize_t ldx, double* raw, Py_ssize_t n_samples,
                            int n_threads) noexcept nogil:
    return F64.predict(network, X, ldx, raw, n_samples, n_threads)
