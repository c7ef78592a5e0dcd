/* fastbp's kernels for C, C++ and whoever reads a table of function pointers. From Cython rather
 * `from fastbp.kernels cimport ...`, which needs no header. docs/embedding.md has the meaning of every argument.
 *
 *     #include "fastbp.h"                                    -I$(python -c "import fastbp; print(fastbp.get_include())")
 *     const fastbp_api *fastbp = fastbp_import();            once, with the GIL; NULL with a Python error
 *     fastbp->f32->dense_forward(X, ldx, W, b, FASTBP_RELU, z, a, n_samples, n_in, n_out, 1);     without it
 *
 * Nothing here is ever changed or removed. What is new comes at the end of a struct, with `struct_size` larger.
 */
#ifndef FASTBP_H
#define FASTBP_H
#include <Python.h>

#define FASTBP_API_VERSION 1

/* What every function returns. */
enum {
    FASTBP_OK = 0,
    FASTBP_NO_MEMORY = -1,
    FASTBP_BAD_ARGUMENT = -2,   /* a size, code, label or pointer that cannot be */
    FASTBP_NO_ROOM = -3,        /* more samples than the network's handle has room for */
    FASTBP_NOT_TRAINABLE = -4,  /* a handle without an optimizer, or another one has trained the network since */
    FASTBP_DIVERGED = -5        /* the loss is not finite; the step was not taken */
};

/* Activations; see fastbp.activations. */
enum {
    FASTBP_IDENTITY, FASTBP_RELU, FASTBP_LEAKY_RELU, FASTBP_ELU, FASTBP_SELU, FASTBP_GELU, FASTBP_GELU_TANH, FASTBP_SILU,
    FASTBP_MISH, FASTBP_SOFTPLUS, FASTBP_SIGMOID, FASTBP_HARD_SIGMOID, FASTBP_TANH, FASTBP_HARD_TANH
};

#define FASTBP_KERNELS(type, real)                                                                                      \
    typedef struct {                                                                                                    \
        size_t struct_size;                                                                                             \
        int (*dense_forward)(const real *X, Py_ssize_t ldx, const real *W, const real *b, int activation, real *z,      \
                             real *a, Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out, int n_threads);          \
        int (*dense_backward)(const real *X, Py_ssize_t ldx, const real *W, const real *z, const real *a,               \
                              const real *da, int activation, real *dX, real *dW, real *db, Py_ssize_t n_samples,       \
                              Py_ssize_t n_in, Py_ssize_t n_out, int n_threads);                                        \
        int (*sgd_update)(real *w, const real *dw, real *velocity, Py_ssize_t n, double learning_rate, double momentum, \
                          int nesterov, double weight_decay, double l2);                                                \
        int (*adam_update)(real *w, const real *dw, real *m, real *v, Py_ssize_t n, long long t, double learning_rate,  \
                           double beta1, double beta2, double eps, double weight_decay, double l2);                     \
        int (*step)(void *network, const real *X, Py_ssize_t ldx, const long long *labels, const real *y,               \
                    Py_ssize_t n_samples, double learning_rate, int n_threads, double *loss);                           \
        int (*predict)(void *network, const real *X, Py_ssize_t ldx, real *raw, Py_ssize_t n_samples, int n_threads);   \
    } type

FASTBP_KERNELS(fastbp_kernels_f32, float);
FASTBP_KERNELS(fastbp_kernels_f64, double);

typedef struct {
    unsigned version;           /* FASTBP_API_VERSION of the library */
    unsigned struct_size;
    const fastbp_kernels_f32 *f32;
    const fastbp_kernels_f64 *f64;
} fastbp_api;

static inline const fastbp_api *fastbp_import(void)
{
    const fastbp_api *api = (const fastbp_api *)PyCapsule_Import("fastbp._capi.api", 0);
    if (api != NULL && (api->version != FASTBP_API_VERSION || api->struct_size < sizeof(fastbp_api))) {
        PyErr_Format(PyExc_ImportError, "fastbp's C interface has version %u; this module was compiled for version %d",
                     api->version, FASTBP_API_VERSION);
        return NULL;
    }
    return api;
}

#endif
