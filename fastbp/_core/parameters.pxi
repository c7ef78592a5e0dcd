# The parameters of a network and what is laid out like them: the optimizer's slots, an average, a gradient, a snapshot.

cdef struct LayerSpec:
    # A layer as Python gives it, a dict with these keys.
    int kind
    Py_ssize_t n_out
    int activation, norm
    bint residual, trainable
    double dropout, rate, bias_rate, decay, max_norm


cdef class Parameters:
    """Blocks of one number, or several, for each parameter of some layers, and the layers themselves.

    `layers` is a list of `LayerSpec` dicts. Parameters start at zero, but for gains and running variances: these start at
    one.
    """
    cdef Net net
    cdef Layer* layers
    cdef Memory params, slots, average, gradients, transposed
    cdef Memory saved_params, saved_slots, saved_average
    cdef public long long n_updates
    cdef long long saved_updates

    def __cinit__(self, Py_ssize_t n_in, layers, *others, **named):
        cdef LayerSpec spec
        cdef Py_ssize_t n_reals = 0
        self.net.n_layers = len(layers)
        self.net.layers = self.layers = <Layer*>calloc(self.net.n_layers, sizeof(Layer))
        if self.layers == NULL:
            raise MemoryError()
        for l in range(self.net.n_layers):
            spec = layers[l]
            self.layers[l] = layer_of(&spec, n_in, l)
            n_reals += self.size_of(l)
            self.net.limits = self.net.limits or spec.max_norm > 0
            n_in = spec.n_out
        self.params = Memory(n_reals)
        self.place()
        for l in range(self.net.n_layers):
            start_norm(&self.layers[l])

    def __dealloc__(self):
        free(self.layers)

    cdef Py_ssize_t size_of(self, int l):
        return n_panels(self.layers[l].n_out) * weights_panel(&self.layers[l])

    cdef void place(self):
        """Points every layer into the blocks that are laid out like the parameters. A rule does not look at slots that it
        does not have."""
        cdef Py_ssize_t at = 0
        cdef Layer* layer
        for l in range(self.net.n_layers):
            layer = &self.layers[l]
            layer.w, layer.distance = self.params.data + at, self.params.n
            layer.slots = (self.params if self.slots is None else self.slots).data + at
            layer.average = NULL if self.average is None else self.average.data + at
            layer.grad = NULL if self.gradients is None else self.gradients.data + at
            at += self.size_of(l)

    @property
    def dtype(self):
        """Of the parameters and of all arithmetic."""
        return "float64" if FASTBP_F64 else "float32"

    @property
    def n_layers(self):
        """Layers, each with parameters."""
        return self.net.n_layers

    @property
    def block_size(self):
        """Numbers in a block laid out like the parameters."""
        return self.params.n

    def n_rows(self, int layer):
        """Rows of a layer's parameters: weights, bias, and with a norm gain (and mean and variance)."""
        return weight_rows(&self.layers[layer]) + vector_rows(&self.layers[layer])

    def set_rows(self, int layer, const real[:, ::1] rows not None):
        """All parameters of one layer, (n_rows, n_out)."""
        cdef Layer* it = &self.layers[layer]
        cdef Rows source = rows_of(rows)
        pack_rows(&source, NULL, 0, self.n_rows(layer), it.n_out, it.w, weights_panel(it))
        if it.wt != NULL:
            transpose_weights(it)

    def get_rows(self, int layer, real[:, ::1] rows not None):
        """Writes all parameters of one layer."""
        cdef Layer* it = &self.layers[layer]
        unpack_rows(it.w, weights_panel(it), self.n_rows(layer), it.n_out, &rows[0, 0], it.n_out)

    def weights_squared(self):
        """|W|^2 over all layers."""
        return sum([weights_squared(&self.layers[l]) for l in range(self.net.n_layers)])

    def get_gradient(self, int layer, real[:, ::1] rows not None):
        """Writes what `gradient` found for one layer; nothing stands for mean and variance."""
        cdef Layer* it = &self.layers[layer]
        unpack_rows(it.grad, weights_panel(it), self.n_rows(layer), it.n_out, &rows[0, 0], it.n_out)

    cdef Memory block(self, name):
        blocks = {"params": self.params, "slots": self.slots, "average": self.average, "gradient": self.gradients}
        return blocks[name]

    def n_blocks(self, name):
        """How many numbers for each parameter stand under a name: "params", "slots", "average" or "gradient"."""
        cdef Memory block = self.block(name)
        return 0 if block is None else block.n // self.params.n

    def get_block(self, name, real[::1] out not None):
        """Copies a block out, in the core's own order, which is the same on every ISA."""
        cdef Memory block = self.block(name)
        if block is None or out.shape[0] != block.n:
            raise ValueError(f"{name} has {0 if block is None else block.n} numbers, out {out.shape[0]}")
        memcpy(&out[0], block.data, block.n * sizeof(real))

    def set_block(self, name, const real[::1] source not None):
        """Copies a block in."""
        cdef Memory block = self.block(name)
        if block is None or source.shape[0] != block.n:
            raise ValueError(f"{name} has {0 if block is None else block.n} numbers, the source {source.shape[0]}")
        memcpy(block.data, &source[0], block.n * sizeof(real))
        if block is self.params:
            self.transpose()

    cdef void transpose(self):
        for l in range(self.net.n_layers):
            if self.layers[l].wt != NULL:
                transpose_weights(&self.layers[l])

    def swap_average(self):
        """Exchanges the parameters and their average."""
        if self.average is None:
            raise ValueError("there is no average; reset_slots with a rule that keeps one")
        self.params, self.average = self.average, self.params
        self.place()
        self.transpose()

    def reset_slots(self, Update rule):
        """Forgets the optimizer's state and makes room for a rule's; an average starts at the parameters."""
        self.saved_slots = self.saved_average = None
        self.slots = Memory(n_slots(rule.rule) * self.params.n) if n_slots(rule.rule) else None
        self.average = copied(self.params, None) if rule.average >= 0 else None
        self.n_updates, self.net.n_slots = 0, n_slots(rule.rule)
        self.place()

    def save_state(self):
        """Keeps a copy of the parameters, slots and average for `restore_state`."""
        self.saved_params = copied(self.params, self.saved_params)
        self.saved_slots = copied(self.slots, self.saved_slots)
        self.saved_average = copied(self.average, self.saved_average)
        self.saved_updates = self.n_updates

    def restore_state(self):
        """Goes back to what `save_state` kept."""
        copied(self.saved_params, self.params)
        copied(self.saved_slots, self.slots)
        copied(self.saved_average, self.average)
        self.n_updates = self.saved_updates
        self.transpose()

    def finite(self):
        """Whether every parameter is, and all that the optimizer keeps."""
        return all([block is None or all_finite((<Memory>block).data, (<Memory>block).n)
                    for block in (self.params, self.slots, self.average)])

    def overflowed(self):
        """First layer with a parameter that is not finite; n_layers if it is only what the optimizer keeps."""
        for l in range(self.net.n_layers):
            if not all_finite(self.layers[l].w, self.size_of(l)):
                return l
        return self.net.n_layers

    cdef void need_gradients(self) except *:
        if self.gradients is None:
            self.gradients = Memory(self.params.n)
            self.place()

    cdef void make_transposed(self) except *:
        cdef Py_ssize_t total = 0
        cdef real* at
        for l in range(1, self.net.n_layers):
            if self.layers[l].kind == DENSE:
                total += n_panels(self.layers[l].n_in) * transposed_panel(&self.layers[l])
        self.transposed = Memory(total)
        at = self.transposed.data
        for l in range(1, self.net.n_layers):
            if self.layers[l].kind == DENSE:
                self.layers[l].wt = at
                at += n_panels(self.layers[l].n_in) * transposed_panel(&self.layers[l])
        self.transpose()


cdef Layer layer_of(const LayerSpec* spec, Py_ssize_t n_in, int number) noexcept:
    cdef Layer layer = plain_layer(n_in, spec.n_out, spec.activation)
    layer.kind, layer.norm, layer.residual, layer.trainable = spec.kind, spec.norm, spec.residual, spec.trainable
    layer.dropout, layer.rate, layer.bias_rate, layer.decay = spec.dropout, spec.rate, spec.bias_rate, spec.decay
    layer.max_norm, layer.stream = spec.max_norm, OUTPUT_DROPOUT + number
    return layer
