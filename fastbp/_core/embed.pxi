# What C calls: the kernels on the caller's arrays, and steps and predictions of a network by a handle on it. No function
# here needs the GIL or raises; each looks at its sizes, codes and labels, and says by its result what was wrong.
# fastbp/include/fastbp.h has the prototypes, which never change; docs/embedding.md says what they mean.

from cpython.pycapsule cimport PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from *:
    """
    #include "fastbp.h"
    #if FASTBP_F64
    typedef fastbp_kernels_f64 fastbp_table;
    #define FASTBP_TABLE_NAME "fastbp.kernels_f64"
    #define FASTBP_NETWORK_NAME "fastbp.network_f64"
    #else
    typedef fastbp_kernels_f32 fastbp_table;
    #define FASTBP_TABLE_NAME "fastbp.kernels_f32"
    #define FASTBP_NETWORK_NAME "fastbp.network_f32"
    #endif
    """
    ctypedef struct Table "fastbp_table":
        size_t struct_size
        int (*dense_forward)(const real*, Py_ssize_t, const real*, const real*, int, real*, real*, Py_ssize_t, Py_ssize_t,
                             Py_ssize_t, int) noexcept nogil
        int (*dense_backward)(const real*, Py_ssize_t, const real*, const real*, const real*, const real*, int, real*, real*,
                              real*, Py_ssize_t, Py_ssize_t, Py_ssize_t, int) noexcept nogil
        int (*sgd_update)(real*, const real*, real*, Py_ssize_t, double, double, int, double, double) noexcept nogil
        int (*adam_update)(real*, const real*, real*, real*, Py_ssize_t, long long, double, double, double, double, double,
                           double) noexcept nogil
        int (*step)(void*, const real*, Py_ssize_t, const long long*, const real*, Py_ssize_t, double, int,
                    double*) noexcept nogil
        int (*predict)(void*, const real*, Py_ssize_t, real*, Py_ssize_t, int) noexcept nogil
    const char* TABLE_NAME "FASTBP_TABLE_NAME"
    const char* NETWORK_NAME "FASTBP_NETWORK_NAME"
    enum:
        BAD_ARGUMENT "FASTBP_BAD_ARGUMENT"
        NO_ROOM "FASTBP_NO_ROOM"
        NOT_TRAINABLE "FASTBP_NOT_TRAINABLE"
        DIVERGED "FASTBP_DIVERGED"


# A dense layer, and an update ----------------------------------------------------------------------------------------

cdef bint is_sound(const Shape* shape, Py_ssize_t ldx) noexcept nogil:
    return (shape.n_samples >= 0 and shape.n_in >= 1 and shape.n_out >= 1 and ldx >= shape.n_in and shape.n_threads >= 1
            and IDENTITY <= shape.activation <= HARD_TANH)


cdef int c_dense_forward(const real* X, Py_ssize_t ldx, const real* W, const real* b, int activation, real* z, real* a,
                         Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out, int n_threads) noexcept nogil:
    cdef Shape shape = Shape(n_samples, n_in, n_out, activation, n_threads)
    cdef Rows rows = contiguous(X, ldx)
    if not is_sound(&shape, ldx) or X == NULL or W == NULL or a == NULL:
        return BAD_ARGUMENT
    return forward_arrays(&shape, &rows, W, b, z, a)


cdef int c_dense_backward(const real* X, Py_ssize_t ldx, const real* W, const real* z, const real* a, const real* da,
                          int activation, real* dX, real* dW, real* db, Py_ssize_t n_samples, Py_ssize_t n_in,
                          Py_ssize_t n_out, int n_threads) noexcept nogil:
    cdef Shape shape = Shape(n_samples, n_in, n_out, activation, n_threads)
    cdef Rows rows = contiguous(X, ldx)
    if not is_sound(&shape, ldx) or X == NULL or W == NULL or z == NULL or a == NULL or da == NULL:
        return BAD_ARGUMENT
    if dX == NULL or dW == NULL or db == NULL:
        return BAD_ARGUMENT
    return backward_arrays(&shape, &rows, W, z, a, da, dX, dW, db)


cdef int c_sgd_update(real* w, const real* dw, real* velocity, Py_ssize_t n, double learning_rate, double momentum,
                      int nesterov, double weight_decay, double l2) noexcept nogil:
    cdef Update u
    if n < 0 or w == NULL or dw == NULL or momentum != 0 and velocity == NULL:
        return BAD_ARGUMENT
    memset(&u, 0, sizeof(Update))
    u.rule = SGD if momentum == 0 else NESTEROV if nesterov else MOMENTUM
    u.learning_rate, u.momentum, u.weight_decay, u.l2 = learning_rate, momentum, weight_decay, l2
    update_array(&u, w, dw, &velocity, n)
    return 0


cdef int c_adam_update(real* w, const real* dw, real* m, real* v, Py_ssize_t n, long long t, double learning_rate,
                       double beta1, double beta2, double eps, double weight_decay, double l2) noexcept nogil:
    cdef Update u
    cdef real* slots[2]
    if n < 0 or t < 1 or w == NULL or dw == NULL or m == NULL or v == NULL:
        return BAD_ARGUMENT
    memset(&u, 0, sizeof(Update))
    u.rule, u.average = ADAM, -1
    u.beta1, u.beta2, u.eps, u.weight_decay, u.l2 = beta1, beta2, eps, weight_decay, l2
    u = at_step(&u, learning_rate, t)
    slots[0], slots[1] = m, v
    update_array(&u, w, dw, slots, n)
    return 0


# A network -----------------------------------------------------------------------------------------------------------

cdef struct Handle:
    # Points into a Stack, whose memory may move; so what moves is looked up at every call.
    Net* net
    const Room* room
    long long* n_updates
    bint trains
    Update rule
    unsigned long long key


cdef class Embedded:
    """A Stack, kept alive with the handle on it."""
    cdef Stack stack
    cdef Handle handle


cdef void release(object capsule) noexcept:
    Py_DECREF(<object>PyCapsule_GetContext(capsule))


def handle(Stack stack not None, rule, Py_ssize_t batch_size, unsigned long long key):
    """A capsule with a handle for `step` and `predict`; it keeps the stack alive. With a rule, an `Update` whose slots the
    stack has, there is room for steps of `batch_size` samples."""
    cdef Embedded it = Embedded()
    it.stack = stack
    it.handle = Handle(&stack.net, &stack.room, &stack.n_updates, rule is not None)
    it.handle.key = key
    if rule is not None:
        it.handle.rule = rule
        stack.prepare(batch_size)
        if it.handle.rule.clip_layer > 0 or it.handle.rule.clip_norm > 0:
            stack.need_gradients()
            stack.need_norms()
    capsule = PyCapsule_New(&it.handle, NETWORK_NAME, release)
    PyCapsule_SetContext(capsule, <void*>it)
    Py_INCREF(it)
    return capsule


cdef bint are_labels(const long long* labels, Py_ssize_t n, Py_ssize_t n_classes) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= labels[i] < n_classes:
            return False
    return True


cdef bint set_targets(const Net* net, const long long* labels, const real* y, Py_ssize_t n, Targets* targets) noexcept nogil:
    """Whether the loss takes what there is."""
    cdef Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
    memset(targets, 0, sizeof(Targets))
    if net.loss.code == SOFTMAX_CROSS_ENTROPY:
        targets.labels = labels
        return labels != NULL and y == NULL and are_labels(labels, n, n_out)
    targets.values, targets.n_values = contiguous(y, n_out), n_out
    return labels == NULL and y != NULL


cdef int c_step(void* network, const real* X, Py_ssize_t ldx, const long long* labels, const real* y, Py_ssize_t n_samples,
                double learning_rate, int n_threads, double* loss) noexcept nogil:
    cdef Handle* it = <Handle*>network
    cdef Training job
    cdef Targets targets
    cdef Rows rows = contiguous(X, ldx)
    if it == NULL or X == NULL or loss == NULL or n_samples < 1 or n_threads < 1 or ldx < it.net.layers[0].n_in:
        return BAD_ARGUMENT
    if not learning_rate > 0 or not set_targets(it.net, labels, y, n_samples, &targets):
        return BAD_ARGUMENT
    if not it.trains or it.net.n_slots != n_slots(it.rule.rule) or it.net.layers[0].average != NULL:
        return NOT_TRAINABLE
    if n_samples > it.room.capacity:
        return NO_ROOM
    job = training_of(it.net, it.room, &rows, n_samples)
    job.y, job.rule, job.rates, job.n_updates = targets, it.rule, &learning_rate, it.n_updates[0]
    job.key = subkey(it.key, <unsigned long long>job.n_updates)
    train(&job, n_threads)
    it.n_updates[0] = job.n_updates
    loss[0] = job.total_loss / job.total_weight if not job.diverged else NAN
    return DIVERGED if job.diverged else 0


cdef int c_predict(void* network, const real* X, Py_ssize_t ldx, real* raw, Py_ssize_t n_samples,
                   int n_threads) noexcept nogil:
    cdef Handle* it = <Handle*>network
    cdef Inference job
    if it == NULL or X == NULL or raw == NULL or n_samples < 0 or n_threads < 1 or ldx < it.net.layers[0].n_in:
        return BAD_ARGUMENT
    if n_samples == 0:
        return 0
    memset(&job, 0, sizeof(Inference))
    job.net, job.x, job.n_samples, job.out = it.net, contiguous(X, ldx), n_samples, raw
    return infer(&job, n_threads)


cdef Table TABLE = Table(sizeof(Table), c_dense_forward, c_dense_backward, c_sgd_update, c_adam_update, c_step, c_predict)

def table():
    """A capsule with this core's functions, for `_capi`."""
    return PyCapsule_New(&TABLE, TABLE_NAME, NULL)
