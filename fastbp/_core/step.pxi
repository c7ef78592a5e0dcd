# One step and many steps of training, and the threads: with infer.pxi the only floor that has them.
#
# When every thread has taken its slice of the batch forward and backward (batch.pxi), a barrier; then the threads share
# out the blocks of dW, each summed over the whole batch in order, and update them. A second barrier ends the step. No sum
# is split, so the bits do not depend on the threads.

cdef void update_share(Training* job, const Share* mine, const Update* rule, int stage) noexcept nogil:
    """This thread's share of every layer's blocks."""
    cdef const real* x = job.room.x
    cdef Work work = Work(stage, rule, mine.size, mine.how.panel, 1, mine.how.mode != TRAINING)
    cdef double clipped = 1
    cdef int l
    if stage == APPLY and rule.clip_norm > 0:
        clipped = global_scale(job.net, rule)
    for l in range(job.net.n_layers):
        if stage == APPLY:
            work.scale = clipped * layer_scale(&job.net.layers[l], rule)
        update_layer(&job.net.layers[l], x, &work, mine.thread, mine.n_threads)
        x = job.net.layers[l].out


cdef double layer_scale(const Layer* layer, const Update* rule) noexcept nogil:
    """What takes a layer's gradient down to a norm of clip_layer."""
    cdef double norm
    if rule.clip_layer == 0 or not layer.trainable:
        return 1
    norm = sqrt(norm_squared(layer))
    return rule.clip_layer / norm if norm > rule.clip_layer else 1


cdef double global_scale(const Net* net, const Update* rule) noexcept nogil:
    """What takes the gradient of all layers, each clipped already, down to a norm of clip_norm (Pascanu et al. 2013)."""
    cdef double total = 0, scale
    cdef int l
    for l in range(net.n_layers):
        if net.layers[l].trainable:
            scale = layer_scale(&net.layers[l], rule)
            total += norm_squared(&net.layers[l]) * scale * scale
    total = sqrt(total)
    return rule.clip_norm / total if total > rule.clip_norm else 1


cdef void limit_share(Training* job, const Share* mine) noexcept nogil:
    """Max-norm of this thread's panels."""
    cdef const Layer* layer
    cdef Py_ssize_t q, panels
    cdef int l
    for l in range(job.net.n_layers):
        layer = &job.net.layers[l]
        panels = n_panels(layer.n_out)
        if layer.max_norm > 0 and layer.trainable:
            for q in range(part(panels, mine.n_threads, mine.thread), part(panels, mine.n_threads, mine.thread + 1)):
                limit_norms(layer, q)


cdef void update_all(Training* job, const Share* mine, const Update* rule) noexcept nogil:
    """dW and the update: in one round, or in two where the norm of the gradient is needed in between."""
    if mine.how.mode != TRAINING:
        update_share(job, mine, rule, KEEP)
        return
    if rule.clip_layer == 0 and rule.clip_norm == 0:
        update_share(job, mine, rule, FUSED)
    else:
        update_share(job, mine, rule, KEEP)
        barrier_wait(&job.barrier, mine.n_threads)
        update_share(job, mine, rule, APPLY)
    if job.net.limits:
        barrier_wait(&job.barrier, mine.n_threads)
        limit_share(job, mine)


cdef int lowest_of(const Net* net) noexcept nogil:
    """The layer that a training's backward pass ends at: below the first that is trained, nobody asks for dz."""
    cdef int l = 0
    while l < net.n_layers - 1 and not net.layers[l].trainable:
        l += 1
    return l


cdef inline Share share_of(const Training* job, Py_ssize_t step, int thread, int n_threads) noexcept nogil:
    cdef Share mine
    mine.how = job.how
    mine.how.key = subkey(job.key, step)
    mine.order = job.order + step * job.batch_size if job.order != NULL else NULL
    mine.size = min(job.batch_size, job.n_samples - step * job.batch_size)
    mine.first, mine.last = part(mine.size, n_threads, thread), part(mine.size, n_threads, thread + 1)
    mine.thread, mine.n_threads = thread, n_threads
    return mine


cdef void train_thread(void* work, int thread, int n_threads) noexcept nogil:
    """Steps until `last`, the deadline, or a loss that is not finite: that step is then not taken."""
    cdef Training* job = <Training*>work
    cdef Py_ssize_t step = job.step, r
    cdef double total, weight
    cdef bint stop = False, updates = job.how.mode == TRAINING, watched
    cdef Share mine
    cdef Update rule = job.rule
    cdef long long t = job.n_updates
    cdef int lowest = lowest_of(job.net) if updates else 0
    while step < job.last and not stop:
        mine = share_of(job, step, thread, n_threads)
        watched = job.health != NULL and step % job.health.every == 0
        if watched:
            weigh_layers(job, &mine)
        weight = batch_weight(&job.y, &mine)
        load_batch(job, &mine)
        forward_batch(job, &mine)
        score_batch(job, &mine, weight)
        backward_batch(job, &mine, lowest)
        if thread == 0:
            job.late = now() > job.deadline
        barrier_wait(&job.barrier, n_threads)
        stop = job.late
        total = 0
        for r in range(mine.size):
            total += job.room.losses[r]
        if job.failed or updates and not isfinite(total):
            if thread == 0:
                job.diverged = not job.failed
            return
        if updates:
            t += 1
            rule = at_step(&job.rule, job.rates[step], t)
        step += 1
        if watched:
            inspect_layers(job, &mine)
        update_all(job, &mine, &rule)
        if thread == 0:
            job.total_loss += total
            job.total_weight += weight
            for r in range(mine.size):
                job.total_score += job.room.scores[r]
            job.step, job.n_updates = step, t
        barrier_wait(&job.barrier, n_threads)
        if watched:
            tally_layers(job, &mine)


cdef void train(Training* job, int n_threads) noexcept nogil:
    run_team(train_thread, job, n_threads)


# Health, at the watched steps: the weights before the update, dz and the slopes before it too, dW after.

cdef void weigh_layers(Training* job, const Share* mine) noexcept nogil:
    cdef int l
    for l in range(job.net.n_layers):
        if l % mine.n_threads == mine.thread:
            job.health.layers[l].w = weights_squared(&job.net.layers[l])

cdef void inspect_layers(Training* job, const Share* mine) noexcept nogil:
    cdef int l, lowest = lowest_of(job.net)
    for l in range(job.net.n_layers):
        if l % mine.n_threads == mine.thread:
            inspect_layer(&job.net.layers[l], &job.health.layers[l], mine.how.panel, mine.size)
            if l < lowest:
                job.health.layers[l].dz = 0         # the backward pass ended above

cdef void tally_layers(Training* job, const Share* mine) noexcept nogil:
    """After the step's last barrier: by the thread that weighs the same layers for the next step."""
    cdef int l
    for l in range(job.net.n_layers):
        if l % mine.n_threads == mine.thread:
            tally_layer(&job.net.layers[l], &job.health.layers[l])
    if mine.thread == 0:
        job.health.n_watched += 1


# d(raw)/d(X) applied to what the caller gives as d(loss)/d(raw), the running statistics held.

cdef struct InputGradient:
    Training* job
    Rows draw                       # (n_samples, n_out)
    Layer input                     # an identity under the first layer, whose dz is dX

cdef void input_gradient_thread(void* work, int thread, int n_threads) noexcept nogil:
    cdef InputGradient* it = <InputGradient*>work
    cdef Training* job = it.job
    cdef const Layer* top = &job.net.layers[job.net.n_layers - 1]
    cdef Share mine = share_of(job, 0, thread, n_threads)
    cdef Region rows = samples_of(mine.first, mine.last, job.net.layers[0].n_in)
    load_batch(job, &mine)
    forward_batch(job, &mine)
    pack_rows(&it.draw, NULL, mine.first, mine.last, top.n_out, top.dz, mine.how.panel)
    backward_batch(job, &mine, 0)
    backward_region(&job.net.layers[0], &it.input, &mine.how, &rows)


cdef void input_gradient(InputGradient* it, int n_threads) noexcept nogil:
    run_team(input_gradient_thread, it, n_threads)
