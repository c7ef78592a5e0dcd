# A layer: what it has, and what becomes of its tiles. Everything is in panels (types.pxi).
#
#     u = x W,   z = u + b   or, normalised, z = gain norm(u) + b;   a = f(z);   out = a mask + x
#
# where the mask is dropout's and x is added by a residual connection; a plain layer has out = a and z = x W + b. A layer
# of kind SCALE has an elementwise product with one weight a feature in the place of x W.

cdef enum:
    DENSE = 0
    SCALE = 1

cdef enum:
    NO_NORM = 0
    LAYER_NORM = 1
    BATCH_NORM = 2

cdef struct Layer:
    Py_ssize_t n_in, n_out
    int kind, activation, norm
    bint residual, trainable
    double dropout, rate, bias_rate, decay, max_norm
    int stream          # of its dropout's random numbers
    Py_ssize_t distance # between the blocks of slots: slot k of w[i] is slots[k * distance + i]
    real* w             # (panels out, height, LINE): weights, bias; with a norm gain; with batch norm mean and variance
    real* wt            # (panels in, n_out | 1, LINE), or NULL: nothing goes through to an input
    real* slots         # what the rule keeps, like w
    real* average       # moving average of w, or NULL
    real* grad          # dW and db where they are kept, or NULL
    double* norms       # sums of squares of the blocks of dW, or NULL
    real* u             # (panels out, height, LINE) like all below: the normalised x W; z where there is no norm
    real* z             # a where the derivative does not need it
    real* a
    real* out           # a where there is neither dropout nor residual
    real* dz            # d(loss)/d(out), then d(loss)/d(x W)
    real* dy            # d(loss)/d(gain u + b); dz where there is no norm
    real* dout          # d(loss)/d(out), kept for the residual connection, or NULL
    real* spread        # 1 / standard deviation: of each sample (layer norm) or each feature (batch norm); NULL in inference
    real* statistics    # batch norm: mean and variance of the batch, in lines


# How a batch goes through: whose statistics batch norm takes, and whether anything is dropped.
cdef enum:
    TRAINING = 0
    GRADIENT = 1        # statistics of the batch, no dropout and no noise
    INFERENCE = 2       # running statistics

cdef struct Pass:
    int mode
    unsigned long long key          # of this step's random numbers
    Py_ssize_t panel                # reals in a panel of the batch


cdef inline Py_ssize_t weight_rows(const Layer* layer) noexcept nogil:
    return layer.n_in if layer.kind == DENSE else 1

cdef inline Py_ssize_t vector_rows(const Layer* layer) noexcept nogil:
    """Rows after the weights: bias, gain, mean, variance."""
    return 1 if layer.norm == NO_NORM else 2 if layer.norm == LAYER_NORM else 4

cdef inline Py_ssize_t weights_panel(const Layer* layer) noexcept nogil:
    return ((weight_rows(layer) + vector_rows(layer)) | 1) * LINE

cdef inline real* vector_of(const Layer* layer, int number) noexcept nogil:
    """Row of the first panel that holds the bias (0), gain (1), mean (2), variance (3)."""
    return layer.w + (weight_rows(layer) + number) * LINE

cdef inline Py_ssize_t transposed_panel(const Layer* layer) noexcept nogil:
    return (layer.n_out | 1) * LINE


cdef Layer plain_layer(Py_ssize_t n_in, Py_ssize_t n_out, int activation) noexcept nogil:
    """A dense layer without options and without memory."""
    cdef Layer layer
    memset(&layer, 0, sizeof(Layer))
    layer.n_in, layer.n_out, layer.activation = n_in, n_out, activation
    layer.trainable, layer.rate, layer.bias_rate, layer.decay = True, 1, 1, 1
    return layer


cdef struct Epilogue:
    # What becomes of a finished tile while it is in cache.
    bint backward
    const Layer* layer              # whose z, or whose da, is finished
    const real* x                   # input of that layer
    const Pass* how

cdef inline void finish(const Epilogue* e, Py_ssize_t q, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """n samples from r on, of panel q."""
    if e.backward:
        finish_backward(e.layer, e.how, q, r, n)
    elif e.layer.norm == NO_NORM:
        finish_forward(e.layer, e.x, e.how, q, r, n)


cdef void finish_forward(const Layer* layer, const real* x, const Pass* how, Py_ssize_t q, Py_ssize_t r,
                         Py_ssize_t n) noexcept nogil:
    """From z to out."""
    cdef Py_ssize_t at = q * how.panel + r * LINE
    cdef bint drops = layer.dropout > 0 and how.mode == TRAINING
    forward_span(layer.activation, layer.z + at, layer.a + at, n * LINE)
    if drops:
        drop_rows(subkey(how.key, layer.stream), layer.dropout, q, r, n, layer.a + at, layer.out + at)
    elif layer.out != layer.a:
        memcpy(layer.out + at, layer.a + at, n * LINE * sizeof(real))
    if layer.residual:
        add_span(x + at, layer.out + at, n * LINE)


cdef void finish_backward(const Layer* layer, const Pass* how, Py_ssize_t q, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """From d(loss)/d(out) to d(loss)/dz, in place."""
    cdef Py_ssize_t at = q * how.panel + r * LINE
    if layer.dout != NULL:
        memcpy(layer.dout + at, layer.dz + at, n * LINE * sizeof(real))
    if layer.dropout > 0 and how.mode == TRAINING:
        drop_rows(subkey(how.key, layer.stream), layer.dropout, q, r, n, layer.dz + at, layer.dz + at)
    backward_span(layer.activation, layer.z + at, layer.a + at, layer.dz + at, n * LINE)


cdef void add_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(out + i * VL, load(out + i * VL) + load(x + i * VL))
