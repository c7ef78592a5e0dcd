# One batch, forward and backward: a thread's share of it. A thread takes its slice of the samples through gather, forward,
# loss and backward without waiting, since these need only the weights. Three things wait for all samples: products that are
# shared out by features (region.pxi), batch norm, for its statistics, and a user's loss in Python.

cdef struct Net:
    int n_layers
    Layer* layers
    LossSpec loss
    double input_dropout, input_noise
    bint limits                     # whether a layer has a max_norm
    Py_ssize_t widest               # of the layers and the input
    int n_slots                     # numbers that there is room for beside each parameter

cdef struct Room:
    # The memory of a batch, but for what the layers keep of it.
    Py_ssize_t capacity             # samples
    real* x                         # the batch, gathered
    double* losses                  # of each sample
    double* scores

cdef struct Training:
    Net* net
    Rows x
    Targets y
    const long long* order          # samples in the order of the epoch; NULL for one batch as it stands
    Py_ssize_t n_samples, batch_size
    Py_ssize_t step, last           # next step, and the one to stop before
    Pass how
    Update rule                     # not looked at unless `how` is TRAINING
    const double* rates             # learning rate of each step of the epoch
    unsigned long long key          # of the epoch's random numbers
    long long n_updates             # since the slots were zero
    Room room
    real* custom                    # rows for a user's loss
    double total_loss, total_score, total_weight    # over the samples of the steps done
    double deadline                 # stop after the step that passes it
    bint late, diverged, failed
    Health* health                  # or NULL
    barrier_t barrier

cdef struct Share:
    # What one thread does of one batch.
    Pass how
    const long long* order
    Py_ssize_t size, first, last    # samples of the batch, and this thread's of them
    int thread, n_threads


cdef Training training_of(Net* net, const Room* room, const Rows* x, Py_ssize_t batch_size) noexcept nogil:
    """One batch, or the first of several, as it stands; callers say what is to be done with it."""
    cdef Training job
    memset(&job, 0, sizeof(Training))
    job.net, job.room, job.x, job.batch_size, job.last = net, room[0], x[0], batch_size, 1
    job.n_samples, job.how.panel, job.deadline = batch_size, (batch_size | 1) * LINE, INFINITY
    return job


cdef void load_batch(Training* job, const Share* mine) noexcept nogil:
    """Gathers this thread's samples; in training, without what is dropped and with noise."""
    cdef Net* net = job.net
    cdef Py_ssize_t n = mine.last - mine.first, panel = mine.how.panel, q
    cdef real* x
    pack_rows(&job.x, mine.order, mine.first, mine.last, net.layers[0].n_in, job.room.x, panel)
    if mine.how.mode != TRAINING or net.input_dropout == 0 and net.input_noise == 0:
        return
    for q in range(n_panels(net.layers[0].n_in)):
        x = job.room.x + q * panel + mine.first * LINE
        if net.input_dropout > 0:
            drop_rows(subkey(mine.how.key, INPUT_DROPOUT), net.input_dropout, q, mine.first, n, x, x)
        if net.input_noise > 0:
            noise_rows(subkey(mine.how.key, INPUT_NOISE), net.input_noise, q, mine.first, n, x)


cdef void forward_batch(Training* job, const Share* mine) noexcept nogil:
    """This thread's part of all layers; a barrier where a product takes what other threads made of the one before."""
    cdef const Layer* layer
    cdef const real* x = job.room.x
    cdef Region region
    cdef bint split, was_split = False
    cdef int l
    for l in range(job.net.n_layers):
        layer = &job.net.layers[l]
        split = forward_by_features(layer, mine.n_threads)
        if split or was_split:
            barrier_wait(&job.barrier, mine.n_threads)
        region = region_of(mine.size, layer.n_out, split, mine.thread, mine.n_threads)
        forward_region(layer, x, &mine.how, &region)
        if layer.norm == LAYER_NORM:
            layer_norm_rows(layer, x, &mine.how, mine.first, mine.last)
        elif layer.norm == BATCH_NORM:
            barrier_wait(&job.barrier, mine.n_threads)
            batch_norm_panels(layer, x, mine)
            barrier_wait(&job.barrier, mine.n_threads)
        x, was_split = layer.out, split
    if was_split:
        barrier_wait(&job.barrier, mine.n_threads)


cdef void batch_norm_panels(const Layer* layer, const real* x, const Share* mine) noexcept nogil:
    """This thread's panels of the whole batch."""
    cdef Py_ssize_t q, panels = n_panels(layer.n_out)
    for q in range(part(panels, mine.n_threads, mine.thread), part(panels, mine.n_threads, mine.thread + 1)):
        if mine.how.mode != INFERENCE:
            batch_statistics(layer, mine.how.panel, q, mine.size)
        batch_norm_forward(layer, &mine.how, q, 0, mine.size)
        finish_forward(layer, x, &mine.how, q, 0, mine.size)


cdef void score_batch(Training* job, const Share* mine, double weight) noexcept nogil:
    """Losses of the samples, and d(mean loss)/d(raw) in dz of the top layer."""
    cdef const Layer* top = &job.net.layers[job.net.n_layers - 1]
    cdef const LossSpec* loss = &job.net.loss
    cdef double scale = 1 / weight if weight > 0 else 0
    cdef Py_ssize_t first = mine.first, last = mine.last
    if loss.code != CUSTOM:
        loss_rows(loss, top.out, top.dz, mine.how.panel, top.n_out, &job.y, mine.order, first, last, scale, job.room.losses,
                  job.room.scores)
        return
    if loss.whole:
        barrier_wait(&job.barrier, mine.n_threads)
        first, last = 0, (mine.size if mine.thread == 0 else 0)
    if custom_rows(loss, top.out, top.dz, mine.how.panel, top.n_out, &job.y, mine.order, first, last, scale, job.custom,
                   job.room.losses, job.room.scores):
        job.failed = True
    if loss.whole:
        barrier_wait(&job.barrier, mine.n_threads)


cdef void backward_batch(Training* job, const Share* mine, int lowest) noexcept nogil:
    """From d(loss)/d(out) of the top to dz of every layer from `lowest` on."""
    cdef const Layer* layer = &job.net.layers[job.net.n_layers - 1]
    cdef Region region
    cdef bint split, was_split = False
    cdef Py_ssize_t q
    cdef int l
    for q in range(n_panels(layer.n_out)):
        finish_backward(layer, &mine.how, q, mine.first, mine.last - mine.first)
    norm_backward(job, layer, mine)
    for l in range(job.net.n_layers - 1, lowest, -1):
        split = backward_by_features(layer, mine.size, mine.n_threads)
        if split or was_split:
            barrier_wait(&job.barrier, mine.n_threads)
        region = region_of(mine.size, layer.n_in, split, mine.thread, mine.n_threads)
        backward_region(layer, &job.net.layers[l - 1], &mine.how, &region)
        layer, was_split = &job.net.layers[l - 1], split
        if was_split and (layer.norm != NO_NORM or l == lowest + 1):
            barrier_wait(&job.barrier, mine.n_threads)
            was_split = False
        norm_backward(job, layer, mine)


cdef void norm_backward(Training* job, const Layer* layer, const Share* mine) noexcept nogil:
    """Through the normalisation: from dy, which stands in dz so far, to dz."""
    cdef Py_ssize_t q, panel = mine.how.panel, panels = n_panels(layer.n_out), first = mine.first * LINE
    if layer.norm == NO_NORM:
        return
    for q in range(panels):
        memcpy(layer.dy + q * panel + first, layer.dz + q * panel + first, (mine.last - mine.first) * LINE * sizeof(real))
    if layer.norm == LAYER_NORM:
        for q in range(mine.first, mine.last):
            layer_norm_backward(layer, panel, q)
        return
    barrier_wait(&job.barrier, mine.n_threads)
    for q in range(part(panels, mine.n_threads, mine.thread), part(panels, mine.n_threads, mine.thread + 1)):
        batch_norm_backward(layer, &mine.how, q, mine.size)
    barrier_wait(&job.barrier, mine.n_threads)


cdef double batch_weight(const Targets* y, const Share* mine) noexcept nogil:
    """Sum of the weights of the samples, what a mean divides by."""
    cdef double total = 0
    cdef Py_ssize_t r
    if y.weights == NULL:
        return mine.size
    for r in range(mine.size):
        total += y.weights[mine.order[r] if mine.order != NULL else r]
    return total
