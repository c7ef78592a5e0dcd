# Inference. Samples go through in chunks that stay in cache, each chunk in one thread; no thread waits for another.

cdef enum:
    CHUNK = 126                     # samples: a multiple of every tile's height

cdef struct Inference:
    Net* net
    Rows x
    Targets y
    Py_ssize_t n_samples
    real* out                       # raw outputs (n_samples, n_out), or NULL
    double* losses                  # sum of each chunk, or NULL: then y is not looked at
    double* scores
    real* scratch                   # three buffers a thread, for x or a, a or x, and draw; `infer` makes them
    Py_ssize_t panel, buffer        # reals in a panel of a chunk, and in a buffer


cdef void infer_chunk(Inference* job, Py_ssize_t chunk, real* scratch) noexcept nogil:
    """Forward through two buffers in turn; the third takes draw, which nobody reads."""
    cdef Net* net = job.net
    cdef Pass how = Pass(INFERENCE, 0, job.panel)
    cdef Py_ssize_t size = min(<Py_ssize_t>CHUNK, job.n_samples - chunk * CHUNK)
    cdef Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
    cdef real* x = scratch
    cdef real* a = scratch + job.buffer
    cdef Rows rows = job.x
    cdef int l
    rows.data += chunk * CHUNK * rows.stride
    pack_rows(&rows, NULL, 0, size, net.layers[0].n_in, x, job.panel)
    for l in range(net.n_layers):
        infer_layer(&net.layers[l], x, a, &how, size)
        x, a = a, x
    if job.out != NULL:
        unpack_rows(x, job.panel, size, n_out, job.out + chunk * CHUNK * n_out, n_out)
    if job.losses != NULL:
        score_chunk(job, chunk, x, scratch + 2 * job.buffer, size, n_out)


cdef void infer_layer(const Layer* trained, const real* x, real* out, const Pass* how, Py_ssize_t size) noexcept nogil:
    """One layer whose every intermediate result stands where its output will."""
    cdef Layer layer = trained[0]
    cdef Region whole = samples_of(0, size, layer.n_out)
    cdef Py_ssize_t q
    layer.u = layer.z = layer.a = layer.out = out
    layer.spread = NULL
    forward_region(&layer, x, how, &whole)
    if layer.norm == LAYER_NORM:
        layer_norm_rows(&layer, x, how, 0, size)
    elif layer.norm == BATCH_NORM:
        for q in range(n_panels(layer.n_out)):
            batch_norm_forward(&layer, how, q, 0, size)
            finish_forward(&layer, x, how, q, 0, size)


cdef void score_chunk(Inference* job, Py_ssize_t chunk, const real* raw, real* draw, Py_ssize_t size,
                      Py_ssize_t n_out) noexcept nogil:
    cdef double[CHUNK] losses
    cdef double[CHUNK] scores
    cdef Targets y = job.y
    cdef Py_ssize_t r
    if y.labels != NULL:
        y.labels += chunk * CHUNK
    else:
        y.values.data += chunk * CHUNK * y.values.stride
    if y.weights != NULL:
        y.weights += chunk * CHUNK
    loss_rows(&job.net.loss, raw, draw, job.panel, n_out, &y, NULL, 0, size, 1, losses, scores)
    job.losses[chunk] = 0
    job.scores[chunk] = 0
    for r in range(size):
        job.losses[chunk] += losses[r]
        job.scores[chunk] += scores[r]


cdef void infer_thread(void* work, int thread, int n_threads) noexcept nogil:
    cdef Inference* job = <Inference*>work
    cdef Py_ssize_t n_chunks = (job.n_samples + CHUNK - 1) // CHUNK, chunk
    cdef real* scratch = job.scratch + thread * 3 * job.buffer
    for chunk in range(part(n_chunks, n_threads, thread), part(n_chunks, n_threads, thread + 1)):
        infer_chunk(job, chunk, scratch)


cdef int infer(Inference* job, int n_threads) noexcept nogil:
    """0, or NO_MEMORY."""
    n_threads = <int>max(<Py_ssize_t>1, min(<Py_ssize_t>n_threads, (job.n_samples + CHUNK - 1) // CHUNK))
    job.panel = (min(job.n_samples, <Py_ssize_t>CHUNK) | 1) * LINE
    job.buffer = n_panels(job.net.widest) * job.panel
    job.scratch = <real*>aligned_malloc(n_threads * 3 * job.buffer * sizeof(real))
    if job.scratch == NULL:
        return NO_MEMORY
    run_team(infer_thread, job, n_threads)
    aligned_release(job.scratch)
    return 0


# One layer by itself, for `dense_forward` and `dense_backward`.

cdef struct Single:
    const Layer* layer
    const Layer* below              # whose dz is dX; not looked at by forward
    const real* x
    const Pass* how
    Py_ssize_t n_rows
    Update rule                     # none


cdef void single_forward(void* work, int thread, int n_threads) noexcept nogil:
    cdef Single* it = <Single*>work
    cdef Region mine = samples_of(part(it.n_rows, n_threads, thread), part(it.n_rows, n_threads, thread + 1), it.layer.n_out)
    forward_region(it.layer, it.x, it.how, &mine)


cdef void single_backward(void* work, int thread, int n_threads) noexcept nogil:
    """dX by rows and dW by blocks; neither needs the other."""
    cdef Single* it = <Single*>work
    cdef Work keep = Work(KEEP, &it.rule, it.n_rows, it.how.panel, 1, True)
    cdef Region mine = samples_of(part(it.n_rows, n_threads, thread), part(it.n_rows, n_threads, thread + 1), it.layer.n_in)
    backward_region(it.layer, it.below, it.how, &mine)
    update_layer(it.layer, it.below.a, &keep, thread, n_threads)


cdef void dense_forward_panels(const Layer* layer, const real* x, const Pass* how, Py_ssize_t n_rows,
                               int n_threads) noexcept nogil:
    cdef Single it = Single(layer, NULL, x, how, n_rows)
    run_team(single_forward, &it, n_threads)


cdef void dense_backward_panels(const Layer* layer, const Layer* below, const Pass* how, Py_ssize_t n_rows,
                                int n_threads) noexcept nogil:
    cdef Single it = Single(layer, below, NULL, how, n_rows)
    memset(&it.rule, 0, sizeof(Update))
    run_team(single_backward, &it, n_threads)
