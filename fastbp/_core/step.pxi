# One step, many steps, and inference: the only floor with threads.
#
# Training. Every thread takes a slice of the batch through gather, forward, loss and backward without waiting: these
# need only the weights. A barrier; then the threads share out the blocks of dW, each summed over the whole batch in
# order, and update them. A second barrier ends the step. No sum is split, so the bits do not depend on the threads.

cdef struct Net:
    int n_layers
    Layer* layers
    int loss

cdef struct Training:
    Net* net
    Rows x
    Targets y
    const long long* order          # samples in the order of the epoch; NULL for one batch as it stands
    Py_ssize_t n_samples, batch_size
    Py_ssize_t step, last           # next step, and the one to stop before
    Update rule
    long long n_updates             # since the slots were zero
    real* x_panels                  # the batch, gathered
    Py_ssize_t panel                # reals in a panel of the batch
    double* losses                  # of each sample of the batch
    unsigned char* hits
    double total_loss               # over the samples of the steps done
    long long total_hits
    double deadline                 # stop after the step that passes it
    bint late, diverged
    barrier_t barrier


cdef void run_batch(Training* job, const long long* order, Py_ssize_t size, Py_ssize_t first,
                    Py_ssize_t last) noexcept nogil:
    """Samples first..last of the batch: gather, forward, loss, backward."""
    cdef Net* net = job.net
    cdef Layer* top = &net.layers[net.n_layers - 1]
    cdef const real* x = job.x_panels
    cdef int l
    cdef Py_ssize_t i
    pack_rows(&job.x, order, first, last, net.layers[0].n_in, job.x_panels, job.panel)
    for l in range(net.n_layers):
        forward_rows(&net.layers[l], x, job.panel, first, last)
        x = net.layers[l].a
    loss_rows(net.loss, top.a, top.dz, job.panel, top.n_out, &job.y, order, first, last, <real>(1.0 / size), job.losses,
              job.hits)
    for i in range(n_panels(top.n_out)):
        backward_span(top.activation, top.z + i * job.panel + first * LINE, top.a + i * job.panel + first * LINE,
                      top.dz + i * job.panel + first * LINE, (last - first) * LINE)
    for l in range(net.n_layers - 1, 0, -1):
        backward_rows(&net.layers[l], &net.layers[l - 1], job.panel, first, last)


cdef void update_share(Training* job, const Update* rule, Py_ssize_t size, int thread, int n_threads) noexcept nogil:
    """This thread's share of every layer's blocks of dW."""
    cdef const real* x = job.x_panels
    cdef int l
    for l in range(job.net.n_layers):
        update_weights(&job.net.layers[l], x, job.panel, size, rule, thread, n_threads)
        x = job.net.layers[l].a


cdef void train_thread(Training* job, int thread, int n_threads) noexcept nogil:
    """Steps until `last`, the deadline, or a loss that is not finite: that step is then not taken."""
    cdef Py_ssize_t step, start, size, r
    cdef const long long* order
    cdef double total
    cdef bint stop = False
    cdef Update rule
    cdef long long t = job.n_updates
    step = job.step
    while step < job.last and not stop:
        start = step * job.batch_size
        size = min(job.batch_size, job.n_samples - start)
        order = job.order + start if job.order != NULL else NULL
        run_batch(job, order, size, part(size, n_threads, thread), part(size, n_threads, thread + 1))
        if thread == 0:
            job.late = now() > job.deadline
        barrier_wait(&job.barrier, n_threads)
        stop = job.late
        total = 0
        for r in range(size):
            total += job.losses[r]
        if not isfinite(total) and job.rule.rule != GRADIENT:
            if thread == 0:
                job.diverged = True
            return
        step += 1
        t += 1
        rule = at_step(&job.rule, t)
        update_share(job, &rule, size, thread, n_threads)
        if thread == 0:
            job.total_loss += total
            for r in range(size):
                job.total_hits += job.hits[r]
            job.step, job.n_updates = step, t
        barrier_wait(&job.barrier, n_threads)


cdef void train(Training* job, int n_threads) noexcept nogil:
    """One thread never enters OpenMP, so that it works in a forked child (GCC's libgomp hangs there)."""
    if n_threads == 1:
        train_thread(job, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            train_thread(job, threadid(), omp_get_num_threads())


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
    long long* hits
    real* scratch                   # three buffers a thread, for x or a, a or x, and draw
    Py_ssize_t panel, buffer        # reals in a panel of a chunk, and in a buffer


cdef void infer_chunk(Inference* job, Py_ssize_t chunk, real* scratch) noexcept nogil:
    """Forward through two buffers in turn; the third takes draw, which nobody reads."""
    cdef Layer layer
    cdef Net* net = job.net
    cdef Py_ssize_t size = min(<Py_ssize_t>CHUNK, job.n_samples - chunk * CHUNK), panel = job.panel
    cdef Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
    cdef real* x = scratch
    cdef real* a = scratch + job.buffer
    cdef Rows rows = job.x
    cdef int l
    rows.data += chunk * CHUNK * rows.stride
    pack_rows(&rows, NULL, 0, size, net.layers[0].n_in, x, panel)
    for l in range(net.n_layers):
        layer = net.layers[l]
        layer.z = layer.a = a
        forward_rows(&layer, x, panel, 0, size)
        x, a = a, x
    if job.out != NULL:
        unpack_rows(x, panel, size, n_out, job.out + chunk * CHUNK * n_out, n_out)
    if job.losses != NULL:
        score_chunk(job, chunk, x, scratch + 2 * job.buffer, panel, size, n_out)


cdef void score_chunk(Inference* job, Py_ssize_t chunk, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t size,
                      Py_ssize_t n_out) noexcept nogil:
    cdef double[CHUNK] losses
    cdef unsigned char[CHUNK] hits
    cdef Targets y = job.y
    cdef Py_ssize_t r
    if y.labels != NULL:
        y.labels += chunk * CHUNK
    else:
        y.values.data += chunk * CHUNK * y.values.stride
    loss_rows(job.net.loss, raw, draw, panel, n_out, &y, NULL, 0, size, 1, losses, hits)
    job.losses[chunk] = 0
    job.hits[chunk] = 0
    for r in range(size):
        job.losses[chunk] += losses[r]
        job.hits[chunk] += hits[r]


cdef void infer_thread(Inference* job, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t n_chunks = (job.n_samples + CHUNK - 1) // CHUNK, chunk
    cdef real* scratch = job.scratch + thread * 3 * job.buffer
    for chunk in range(part(n_chunks, n_threads, thread), part(n_chunks, n_threads, thread + 1)):
        infer_chunk(job, chunk, scratch)


cdef void infer(Inference* job, int n_threads) noexcept nogil:
    if n_threads == 1:
        infer_thread(job, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            infer_thread(job, threadid(), omp_get_num_threads())


# One layer by itself, for `dense_forward` and `dense_backward`.

cdef void dense_forward_panels(const Layer* layer, const real* x, Py_ssize_t panel, Py_ssize_t n_rows,
                               int n_threads) noexcept nogil:
    cdef int t, team
    if n_threads == 1:
        forward_rows(layer, x, panel, 0, n_rows)
        return
    with parallel(num_threads=n_threads):
        t, team = threadid(), omp_get_num_threads()
        forward_rows(layer, x, panel, part(n_rows, team, t), part(n_rows, team, t + 1))


cdef void dense_backward_panels(const Layer* layer, const Layer* below, Py_ssize_t panel, Py_ssize_t n_rows,
                                int n_threads) noexcept nogil:
    """dX by rows and dW by blocks; neither needs the other."""
    cdef Update rule = Update(GRADIENT, 0, 0, 0, 0, 0, 0, 0)
    cdef int t, team
    if n_threads == 1:
        backward_rows(layer, below, panel, 0, n_rows)
        update_weights(layer, below.a, panel, n_rows, &rule, 0, 1)
        return
    with parallel(num_threads=n_threads):
        t, team = threadid(), omp_get_num_threads()
        backward_rows(layer, below, panel, part(n_rows, team, t), part(n_rows, team, t + 1))
        update_weights(layer, below.a, panel, n_rows, &rule, t, team)
