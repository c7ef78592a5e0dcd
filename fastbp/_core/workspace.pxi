# The memory of a batch: what every layer keeps of it, its losses, and what is looked at of its gradients.

cdef class Workspace(Parameters):
    """Room for a batch, made when the first comes and anew when a larger one does."""
    cdef Health health
    cdef Memory workspace, steepest
    cdef Room room
    cdef Py_ssize_t panel               # reals in a panel of the last batch
    cdef double* norms

    def __dealloc__(self):
        free(self.room.losses)
        free(self.room.scores)
        free(self.norms)
        free(self.health.layers)

    cdef void prepare(self, Py_ssize_t batch_size) except *:
        """Room for a batch: x, what every layer keeps of it, and the transposed weights of every layer but the first."""
        cdef Py_ssize_t panel = (batch_size | 1) * LINE, total
        cdef real* at
        if self.transposed is None:
            self.make_transposed()
        if batch_size <= self.room.capacity:
            return
        self.workspace, self.room.capacity = None, 0
        free(self.room.losses)
        free(self.room.scores)
        self.room.losses = <double*>malloc(batch_size * sizeof(double))
        self.room.scores = <double*>malloc(batch_size * sizeof(double))
        if self.room.losses == NULL or self.room.scores == NULL:
            raise MemoryError(f"cannot allocate the losses of {batch_size:,} samples")
        total = n_panels(self.layers[0].n_in) * panel
        for l in range(self.net.n_layers):
            total += place_batch(&self.layers[l], panel, NULL)
        self.workspace = Memory(total)
        self.room.x = self.workspace.data
        at = self.room.x + n_panels(self.layers[0].n_in) * panel
        for l in range(self.net.n_layers):
            at += place_batch(&self.layers[l], panel, at)
        self.room.capacity = batch_size

    def not_finite(self, Py_ssize_t batch_size):
        """First layer with a number that is not finite in the last batch; -1 for its X, n_layers for the loss alone."""
        if not finite(self.workspace.data, self.panel, batch_size, self.layers[0].n_in):
            return -1
        for l in range(self.net.n_layers):
            if not finite(self.layers[l].out, self.panel, batch_size, self.layers[l].n_out):
                return l
        return self.net.n_layers

    cdef void need_norms(self) except *:
        """Room for the sums of squares of all blocks of dW."""
        cdef Py_ssize_t total = 0
        if self.norms != NULL:
            return
        for l in range(self.net.n_layers):
            total += n_blocks_of(&self.layers[l])
        self.norms = <double*>calloc(total, sizeof(double))
        if self.norms == NULL:
            raise MemoryError()
        total = 0
        for l in range(self.net.n_layers):
            self.layers[l].norms = self.norms + total
            total += n_blocks_of(&self.layers[l])

    def watch(self, Py_ssize_t every):
        """From now on looks at every `every`-th step of an epoch; at none for 0."""
        cdef Py_ssize_t total = 0
        if every and self.health.layers == NULL:
            self.health.layers = <LayerHealth*>calloc(self.net.n_layers, sizeof(LayerHealth))
            if self.health.layers == NULL:
                raise MemoryError()
            self.steepest = Memory(sum([n_panels(self.layers[l].n_out) * LINE for l in range(self.net.n_layers)]))
            for l in range(self.net.n_layers):
                self.health.layers[l].steepest = self.steepest.data + total
                total += n_panels(self.layers[l].n_out) * LINE
        self.health.every = every
        if every:
            self.need_norms()
            self.take_health()

    def take_health(self):
        """Means over the watched steps since the last call, (n_layers, 6): norms of dz, of dW and of dW / W, share of saturated
        entries; then the norm of W now and the share of units that were dead in all of them."""
        cdef LayerHealth* it
        cdef long long n = self.health.n_watched
        report = numpy.full((self.net.n_layers, 6), numpy.nan)
        if self.health.layers == NULL:
            return report
        for l in range(self.net.n_layers):
            it = &self.health.layers[l]
            if n:
                report[l] = (it.total_dz / n, it.total_dw / n, it.total_ratio / n, it.total_saturated / n,
                             sqrt(weights_squared(&self.layers[l])), dead_share(&self.layers[l], it))
            it.total_dz = it.total_dw = it.total_ratio = it.total_saturated = 0
        memset(self.steepest.data, 0, self.steepest.n * sizeof(real))
        self.health.n_watched = 0
        return report


cdef Py_ssize_t place_batch(Layer* layer, Py_ssize_t panel, real* at) noexcept:
    """Puts what a layer keeps of a batch at `at`, unless that is NULL; returns how many reals it takes."""
    cdef Py_ssize_t n = n_panels(layer.n_out) * panel, used = 2 * n
    cdef bint measuring = at == NULL
    if measuring: at = layer.w          # addresses that nobody keeps
    cdef Layer it = layer[0]
    it.a, it.dz = at, at + n
    it.out = it.z = it.a
    it.dy, it.dout = it.dz, NULL
    if saves_z(it.activation):
        it.z = at + used
        used += n
    it.u = it.z
    if it.dropout > 0 or it.residual:
        it.out = at + used
        used += n
    if it.residual:
        it.dout = at + used
        used += n
    if it.norm != NO_NORM:
        it.u, it.dy, it.spread = at + used, at + used + n, at + used + 2 * n
        used += 2 * n + max(panel, n_panels(it.n_out) * LINE)
    if it.norm == BATCH_NORM:
        it.statistics = at + used
        used += 2 * n_panels(it.n_out) * LINE
    if not measuring:
        layer[0] = it
    return used
