# A network: layers under a loss, and the calls that Python makes.

cdef class Stack(Workspace):
    """A stack of layers under a loss.

    `layers` is a list of `LayerSpec` dicts, `loss` the dict of a `Criterion`. One thread at a time may train a Stack; any
    number may call `forward` and `evaluate` while nobody does.
    """
    cdef Criterion criterion

    def __cinit__(self, Py_ssize_t n_in, layers, loss, double input_dropout=0, double input_noise=0):
        self.net.input_dropout, self.net.input_noise, self.net.widest = input_dropout, input_noise, n_in
        for l in range(self.net.n_layers):
            self.net.widest = max(self.net.widest, self.layers[l].n_out)
        self.criterion = Criterion(loss, self.layers[self.net.n_layers - 1].n_out)
        self.net.loss = self.criterion.spec

    @property
    def chunk_size(self):
        """Samples of a chunk of `evaluate`."""
        return CHUNK

    # Inference ------------------------------------------------------------------------------------------------------

    def forward(self, X not None, real[:, ::1] out not None, int n_threads):
        """Raw outputs (n_samples, n_out) for rows of float32 or float64."""
        cdef Source source = Source(X)
        cdef Inference job
        memset(&job, 0, sizeof(Inference))
        job.x, job.n_samples = source.rows, out.shape[0]
        if job.n_samples:
            job.out = &out[0, 0]
            self.infer(&job, n_threads)

    def forward_small(self, X, out, Py_ssize_t most):
        """`forward` in one thread for at most `most` samples, checked here in C so that one sample takes a microsecond.

        None if X is not plain (float32 or float64, native, aligned, rows contiguous, n_in columns) or out, if given, not
        a matching array that lies apart from X: the boundary in Python then converts or explains.
        """
        cdef Py_buffer x, y
        cdef Inference job
        cdef Py_ssize_t n_in = self.layers[0].n_in, n_out = self.layers[self.net.n_layers - 1].n_out
        memset(&x, 0, sizeof(Py_buffer))
        memset(&y, 0, sizeof(Py_buffer))
        memset(&job, 0, sizeof(Inference))
        try:
            if not (lent(X, &x) and is_plain(&x, n_in) and 0 < x.shape[0] <= most):
                return None
            if out is None:
                out = numpy.empty((x.shape[0], n_out), self.dtype)
            if not (lent(out, &y) and is_plain(&y, n_out) and y.shape[0] == x.shape[0] and not y.readonly
                    and y.itemsize == sizeof(real) and y.strides[0] == n_out * y.itemsize and apart(&x, &y)):
                return None
            job.n_samples, job.out = x.shape[0], <real*>y.buf
            job.x = Rows(<const char*>x.buf, x.strides[0], x.format[0] == c"d")
            self.infer(&job, 1)
            return out
        finally:
            PyBuffer_Release(&x)        # of what was not lent there is nothing to release
            PyBuffer_Release(&y)

    def evaluate(self, X not None, y not None, weights, double[::1] losses not None, double[::1] scores not None,
                 int n_threads):
        """Weighted sums of the loss, and sums of the score, over each chunk of `chunk_size` samples. A user's own loss is
        asked once, for all of them."""
        cdef Source source = Source(X)
        cdef Target target = Target(self.criterion, y, weights)
        cdef Inference job
        if self.net.loss.code == CUSTOM:
            self.evaluate_custom(X, y, weights, losses, n_threads)
            scores[:] = 0
            return
        memset(&job, 0, sizeof(Inference))
        job.x, job.y, job.n_samples = source.rows, target.targets, len(X)
        job.losses, job.scores = &losses[0], &scores[0]
        self.infer(&job, n_threads)

    cdef void evaluate_custom(self, X, y, weights, double[::1] losses, int n_threads) except *:
        cdef Py_ssize_t n = len(X), n_out = self.layers[self.net.n_layers - 1].n_out, n_y = y.shape[1]
        # Of this call alone, with the error that the function may raise: others may be evaluating too.
        cdef Criterion own = Criterion({"code": CUSTOM, "parameter": 0.0, "function": self.criterion.function}, n_out)
        raw, rows = numpy.empty((n, n_out), self.dtype), numpy.ascontiguousarray(y, self.dtype)
        draw, each = numpy.empty_like(raw), numpy.empty(n)
        cdef const real[:, ::1] raw_rows, y_rows = rows
        cdef real[:, ::1] draw_rows = draw
        cdef double[::1] each_row = each
        self.forward(X, raw, n_threads)
        raw_rows = raw
        if own.spec.function(own.spec.context, n, n_out, n_y, &raw_rows[0, 0], &y_rows[0, 0], &each_row[0],
                             &draw_rows[0, 0]):
            own.reraise()
        if weights is not None:
            each *= weights
        for chunk in range(losses.shape[0]):
            losses[chunk] = each[chunk * CHUNK:(chunk + 1) * CHUNK].sum()

    cdef void infer(self, Inference* job, int n_threads) except *:
        cdef int status
        job.net = &self.net
        with nogil:
            status = infer(job, n_threads)
        if status:
            raise MemoryError(f"cannot allocate the layers of {job.n_samples:,} samples")

    # Training -------------------------------------------------------------------------------------------------------

    cdef Training start(self, Source source, Target target, Py_ssize_t batch_size) except *:
        """The parts of a job that every kind of pass has."""
        cdef Training job
        self.prepare(batch_size)
        job = training_of(&self.net, &self.room, &source.rows, batch_size)
        self.panel, job.n_updates = job.how.panel, self.n_updates
        if target is not None:
            job.y = target.targets
        return job

    def train(self, X not None, y not None, weights, const long long[::1] order not None, Py_ssize_t batch_size,
              Py_ssize_t step, Py_ssize_t last, Update rule, const double[::1] rates not None, unsigned long long key,
              double seconds, double[::1] totals not None, int n_threads):
        """Steps `step` to `last` of the epoch in which sample order[i] comes i-th, at the learning rates `rates`.

        Stops before a step whose loss is not finite, and after the one that passes `seconds`. Adds the losses, the scores
        and the weights of the samples to `totals`. Returns the next step and whether it diverged.
        """
        cdef Source source = Source(X)
        cdef Target target = Target(self.criterion, y, weights)
        cdef Training job
        cdef Memory custom = None
        batch_size = min(batch_size, order.shape[0])
        if n_slots(rule.rule) != self.net.n_slots or (rule.average >= 0) != (self.average is not None):
            raise ValueError("the slots are those of another rule; call reset_slots first")
        if rates.shape[0] < last or totals.shape[0] < 3:
            raise ValueError(f"rates must have at least {last} numbers, one a step, and totals 3")
        if rule.clip_layer > 0 or rule.clip_norm > 0:
            self.need_gradients()
            self.need_norms()
        job = self.start(source, target, batch_size)
        if self.net.loss.code == CUSTOM:
            custom = self.custom_rows(target, batch_size)
            job.custom = custom.data
        job.order, job.n_samples, job.how.mode = &order[0], order.shape[0], TRAINING
        job.step, job.last, job.rule, job.rates, job.key = step, last, rule, &rates[0], key
        job.deadline = now() + seconds
        job.total_loss, job.total_score, job.total_weight = totals[0], totals[1], totals[2]
        job.health = &self.health if self.health.every > 0 else NULL
        with nogil:
            train(&job, n_threads)
        totals[0], totals[1], totals[2] = job.total_loss, job.total_score, job.total_weight
        self.n_updates = job.n_updates
        if job.failed:
            self.criterion.reraise()
        return job.step, job.diverged

    def gradient(self, X not None, y not None, weights, int n_threads):
        """Mean loss over the samples, as one batch; `get_gradient` then gives dW and db. Nothing is changed."""
        cdef Source source = Source(X)
        cdef Target target = Target(self.criterion, y, weights)
        cdef Training job
        cdef Memory custom = None
        self.need_gradients()
        job = self.start(source, target, len(X))
        if self.net.loss.code == CUSTOM:
            custom = self.custom_rows(target, job.batch_size)
            job.custom = custom.data
        job.how.mode = GRADIENT
        with nogil:
            train(&job, n_threads)
        if job.failed:
            self.criterion.reraise()
        return job.total_loss / job.total_weight if job.total_weight > 0 else 0.0

    def vjp(self, X not None, draw not None, real[:, ::1] dX not None, int n_threads):
        """dX = draw (n_samples, n_out) times the derivative of the raw outputs in X, in inference mode."""
        cdef Source source = Source(X), gradient = Source(draw)
        cdef Py_ssize_t n = len(X), n_in = self.layers[0].n_in
        cdef Layer* bottom = &self.layers[0]
        cdef Memory wt = Memory(n_panels(n_in) * transposed_panel(bottom)), dx
        cdef Training job
        cdef InputGradient it
        job = self.start(source, None, n)
        job.how.mode = INFERENCE
        dx = Memory(n_panels(n_in) * self.panel)
        it.job, it.draw, it.input = &job, gradient.rows, plain_layer(0, n_in, IDENTITY)
        it.input.dz = dx.data
        it.input.z = it.input.a = dx.data
        if bottom.kind == DENSE:
            bottom.wt = wt.data
            transpose_weights(bottom)
        with nogil:
            input_gradient(&it, n_threads)
        bottom.wt = NULL
        unpack_rows(dx.data, self.panel, n, n_in, &dX[0, 0], n_in)

    cdef Memory custom_rows(self, Target target, Py_ssize_t n):
        """Scratch for a user's loss: raw, y and draw of a batch."""
        return Memory(n * (2 * self.layers[self.net.n_layers - 1].n_out + target.targets.n_values), True)
