# A network: its parameters in panels, its training state, and the calls that Python makes.

cdef class Stack:
    """A stack of dense layers under a loss.

    `sizes` are the widths from input to output, `activations` one `Activation` for each layer. Parameters start at
    zero. One thread at a time may train a Stack; any number may call `forward` and `evaluate` while nobody does.
    """
    cdef Net net
    cdef Layer* layers
    cdef Memory params, slots, saved_params, saved_slots, gradients, transposed, workspace
    cdef Py_ssize_t capacity            # samples that the workspace holds
    cdef Py_ssize_t panel               # reals in a panel of the last batch
    cdef Py_ssize_t widest              # of the layers and the input
    cdef long long n_updates, saved_updates
    cdef double* losses
    cdef unsigned char* hits

    def __cinit__(self, sizes, activations, Loss loss):
        cdef Py_ssize_t n_reals = 0
        cdef Layer* layer
        self.net.n_layers = len(activations)
        self.net.layers = self.layers = <Layer*>calloc(self.net.n_layers, sizeof(Layer))
        self.net.loss = loss
        if self.layers == NULL:
            raise MemoryError()
        for l in range(self.net.n_layers):
            layer = &self.layers[l]
            layer.n_in, layer.n_out, layer.activation = sizes[l], sizes[l + 1], activations[l]
            n_reals += n_panels(layer.n_out) * weights_panel(layer)
        self.widest = max(sizes)
        self.params = Memory(n_reals)
        self.layers[0].w = self.params.data
        for l in range(1, self.net.n_layers):
            layer = &self.layers[l - 1]
            self.layers[l].w = layer.w + n_panels(layer.n_out) * weights_panel(layer)
        self.place_slots(None)

    def __dealloc__(self):
        free(self.layers)
        free(self.losses)
        free(self.hits)

    cdef void place_slots(self, Memory block):
        """Points every layer's slots into a block of one or two slots, each laid out like the parameters; without one,
        at the parameters: a rule does not look at slots that it does not have."""
        cdef Memory at = block if block is not None else self.params
        for l in range(self.net.n_layers):
            self.layers[l].slot = at.data + (self.layers[l].w - self.params.data)
            self.layers[l].slot2 = self.layers[l].slot + (at.n - self.params.n)

    @property
    def dtype(self):
        """Of the parameters and of all arithmetic."""
        return "float64" if FASTBP_F64 else "float32"

    @property
    def n_layers(self):
        """Dense layers."""
        return self.net.n_layers

    @property
    def chunk_size(self):
        """Samples of a chunk of `evaluate`."""
        return CHUNK

    def set_parameters(self, int layer, const real[:, ::1] W not None, const real[::1] b not None):
        """Weights (n_in, n_out) and bias (n_out,) of one layer."""
        cdef Layer* it = &self.layers[layer]
        cdef Rows weights = rows_of(W), bias = row_of(b)
        pack_rows(&weights, NULL, 0, it.n_in, it.n_out, it.w, weights_panel(it))
        pack_rows(&bias, NULL, 0, 1, it.n_out, it.w + it.n_in * LINE, weights_panel(it))
        if it.wt != NULL:
            transpose_weights(it)

    def get_parameters(self, int layer, real[:, ::1] W not None, real[::1] b not None):
        """Writes one layer's weights (n_in, n_out) and bias (n_out,) into W and b."""
        self.unpack(layer, self.layers[layer].w, W, b)

    def get_gradient(self, int layer, real[:, ::1] dW not None, real[::1] db not None):
        """Writes what `gradient` found for one layer into dW and db."""
        self.unpack(layer, self.gradients.data + (self.layers[layer].w - self.params.data), dW, db)

    cdef void unpack(self, int layer, const real* panels, real[:, ::1] W, real[::1] b):
        cdef Layer* it = &self.layers[layer]
        unpack_rows(panels, weights_panel(it), it.n_in, it.n_out, &W[0, 0], it.n_out)
        unpack_rows(panels + it.n_in * LINE, weights_panel(it), 1, it.n_out, &b[0], it.n_out)

    def reset_slots(self, Rule rule):
        """Forgets the optimizer's state and makes room for a rule's."""
        self.saved_slots = None
        self.slots = Memory(n_slots(rule) * self.params.n) if n_slots(rule) else None
        self.n_updates = 0
        self.place_slots(self.slots)

    def save_state(self):
        """Keeps a copy of parameters and slots for `restore_state`."""
        self.saved_params = copied(self.params, self.saved_params)
        self.saved_slots = copied(self.slots, self.saved_slots)
        self.saved_updates = self.n_updates

    def restore_state(self):
        """Goes back to what `save_state` kept."""
        copied(self.saved_params, self.params)
        copied(self.saved_slots, self.slots)
        self.n_updates = self.saved_updates
        for l in range(1, self.net.n_layers):
            if self.layers[l].wt != NULL:
                transpose_weights(&self.layers[l])

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

    def evaluate(self, X not None, y not None, double[::1] losses not None, long long[::1] hits not None,
                 int n_threads):
        """Sums of the loss and of the hits over each chunk of `chunk_size` samples."""
        cdef Source source = Source(X)
        cdef Target target = Target(self.net.loss, y)
        cdef Inference job
        memset(&job, 0, sizeof(Inference))
        job.x, job.y, job.n_samples = source.rows, target.targets, len(X)
        job.losses, job.hits = &losses[0], &hits[0]
        self.infer(&job, n_threads)

    cdef void infer(self, Inference* job, int n_threads) except *:
        cdef Memory scratch
        n_threads = <int>min(<Py_ssize_t>n_threads, (job.n_samples + CHUNK - 1) // CHUNK)
        job.net, job.panel = &self.net, (min(job.n_samples, <Py_ssize_t>CHUNK) | 1) * LINE
        job.buffer = n_panels(self.widest) * job.panel
        scratch = Memory(n_threads * 3 * job.buffer, True)
        job.scratch = scratch.data
        with nogil:
            infer(job, n_threads)

    cdef void prepare(self, Py_ssize_t batch_size) except *:
        """Room for a batch: x, and a, z and dz of every layer; and wt of every layer but the first."""
        cdef Py_ssize_t panel = (batch_size | 1) * LINE, total = n_panels(self.layers[0].n_in) * panel
        cdef Layer* layer
        cdef real* at
        if self.transposed is None:
            self.make_transposed()
        if batch_size <= self.capacity:
            return
        for l in range(self.net.n_layers):
            total += n_panels(self.layers[l].n_out) * panel * (3 if saves_z(self.layers[l].activation) else 2)
        self.workspace, self.capacity = None, 0
        free(self.losses)
        free(self.hits)
        self.losses = <double*>malloc(batch_size * sizeof(double))
        self.hits = <unsigned char*>malloc(batch_size)
        if self.losses == NULL or self.hits == NULL:
            raise MemoryError(f"cannot allocate the losses of {batch_size:,} samples")
        self.workspace = Memory(total)
        at = self.workspace.data + n_panels(self.layers[0].n_in) * panel
        for l in range(self.net.n_layers):
            layer = &self.layers[l]
            layer.a, layer.dz = at, at + n_panels(layer.n_out) * panel
            layer.z = layer.a
            at = layer.dz + n_panels(layer.n_out) * panel
            if saves_z(layer.activation):
                layer.z = at
                at += n_panels(layer.n_out) * panel
        self.capacity = batch_size

    cdef void make_transposed(self) except *:
        cdef Py_ssize_t total = 0
        cdef real* at
        for l in range(1, self.net.n_layers):
            total += n_panels(self.layers[l].n_in) * transposed_panel(&self.layers[l])
        self.transposed = Memory(total)
        at = self.transposed.data
        for l in range(1, self.net.n_layers):
            self.layers[l].wt = at
            transpose_weights(&self.layers[l])
            at += n_panels(self.layers[l].n_in) * transposed_panel(&self.layers[l])

    cdef void start(self, Training* job, Py_ssize_t batch_size) except *:
        self.prepare(batch_size)
        job.net, job.batch_size = &self.net, batch_size
        job.x_panels, job.panel = self.workspace.data, (batch_size | 1) * LINE
        self.panel = job.panel
        job.losses, job.hits, job.n_updates = self.losses, self.hits, self.n_updates
        job.total_loss, job.total_hits, job.late, job.diverged = 0, 0, False, False
        memset(&job.barrier, 0, sizeof(barrier_t))

    def train(self, X not None, y not None, const long long[::1] order not None, Py_ssize_t batch_size,
              Py_ssize_t step, Py_ssize_t last, Update rule, double seconds, double[::1] totals not None,
              int n_threads):
        """Steps `step` to `last` of the epoch in which sample order[i] comes i-th.

        Stops before a step whose loss is not finite, and after the one that passes `seconds`. Adds the losses and the
        hits of the samples to `totals`. Returns the next step and whether it diverged.
        """
        cdef Source source = Source(X)
        cdef Target target = Target(self.net.loss, y)
        cdef Training job
        if n_slots(rule.rule) * self.params.n != (0 if self.slots is None else self.slots.n):
            raise ValueError("the slots are those of another rule; call reset_slots first")
        self.start(&job, min(batch_size, order.shape[0]))
        job.x, job.y, job.order, job.n_samples = source.rows, target.targets, &order[0], order.shape[0]
        job.step, job.last, job.rule = step, last, rule
        job.deadline = now() + seconds
        job.total_loss, job.total_hits = totals[0], <long long>totals[1]
        with nogil:
            train(&job, n_threads)
        totals[0], totals[1] = job.total_loss, job.total_hits
        self.n_updates = job.n_updates
        return job.step, job.diverged

    def gradient(self, X not None, y not None, int n_threads):
        """Mean loss over the samples, as one batch; `get_gradient` then gives dW and db. Parameters stay."""
        cdef Source source = Source(X)
        cdef Target target = Target(self.net.loss, y)
        cdef Training job
        self.start(&job, len(X))
        job.x, job.y, job.order, job.n_samples = source.rows, target.targets, NULL, job.batch_size
        job.step, job.last, job.deadline = 0, 1, INFINITY
        job.rule = Update(GRADIENT, 0, 0, 0, 0, 0, 0, 0)
        if self.gradients is None:
            self.gradients = Memory(self.params.n)
        self.place_slots(self.gradients)
        with nogil:
            train(&job, n_threads)
        self.place_slots(self.slots)
        return job.total_loss / job.n_samples

    def finite(self):
        """Whether every parameter is, and all that the optimizer keeps."""
        return (all_finite(self.params.data, self.params.n)
                and (self.slots is None or all_finite(self.slots.data, self.slots.n)))

    def overflowed(self):
        """First layer with a parameter that is not finite; n_layers if it is only what the optimizer keeps."""
        for l in range(self.net.n_layers):
            if not all_finite(self.layers[l].w, n_panels(self.layers[l].n_out) * weights_panel(&self.layers[l])):
                return l
        return self.net.n_layers

    def not_finite(self, Py_ssize_t batch_size):
        """First layer with a number that is not finite in the last batch; -1 for its X, n_layers for the loss alone."""
        cdef Py_ssize_t panel = self.panel
        if not finite(self.workspace.data, panel, batch_size, self.layers[0].n_in):
            return -1
        for l in range(self.net.n_layers):
            if not finite(self.layers[l].a, panel, batch_size, self.layers[l].n_out):
                return l
        return self.net.n_layers
