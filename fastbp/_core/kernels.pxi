# The kernels one by one on NumPy arrays of this core's dtype: what the tests hold against reference.py, what benchmarks
# time, and what `fastbp.dense_forward` and its siblings call. Arrays are C-contiguous; outputs are the last arguments.

def elementary(Elementary function, const real[::1] x not None, real[::1] out not None):
    """out = function(x), elementwise."""
    cdef Py_ssize_t q, i, n
    cdef Line line = ZERO_LINE
    with nogil:
        for q in range(n_panels(x.shape[0])):
            i, n = q * LINE, min(<Py_ssize_t>LINE, x.shape[0] - q * LINE)
            memcpy(line.x, &x[i], n * sizeof(real))
            elementary_line(function, line.x)
            memcpy(&out[i], line.x, n * sizeof(real))


def activation_forward(Activation activation, const real[::1] z not None, real[::1] a not None):
    """a = f(z)."""
    cdef Py_ssize_t q, i, n
    cdef Line line = ZERO_LINE
    for q in range(n_panels(z.shape[0])):
        i, n = q * LINE, min(<Py_ssize_t>LINE, z.shape[0] - q * LINE)
        memcpy(line.x, &z[i], n * sizeof(real))
        forward_span(activation, line.x, line.x, LINE)
        memcpy(&a[i], line.x, n * sizeof(real))


def activation_backward(Activation activation, const real[::1] z not None, const real[::1] a not None,
                        const real[::1] da not None, real[::1] dz not None):
    """dz = da * f'(z), where a = f(z)."""
    cdef Py_ssize_t q, i, n
    cdef Line z_line = ZERO_LINE, a_line = ZERO_LINE, dz_line = ZERO_LINE
    for q in range(n_panels(z.shape[0])):
        i, n = q * LINE, min(<Py_ssize_t>LINE, z.shape[0] - q * LINE)
        memcpy(z_line.x, &z[i], n * sizeof(real))
        memcpy(a_line.x, &a[i], n * sizeof(real))
        memcpy(dz_line.x, &da[i], n * sizeof(real))
        backward_span(activation, z_line.x, a_line.x, dz_line.x, LINE)
        memcpy(&dz[i], dz_line.x, n * sizeof(real))


def loss_forward_backward(loss not None, raw not None, y not None, double[::1] losses not None,
                          double[::1] scores not None, real[:, ::1] draw not None):
    """Loss and score of each sample, and draw = d(sum of losses)/d(raw), for a loss given as `Stack` takes it. y is int64
    labels or (n_samples, n_out) values."""
    cdef Py_ssize_t n_rows = raw.shape[0], n_out = raw.shape[1], height = n_rows | 1
    cdef Memory panels = packed(raw, height), gradient = Memory(n_panels(n_out) * height * LINE)
    cdef Criterion criterion = Criterion(loss, n_out)
    cdef Target target = Target(criterion, y, None)
    cdef Memory scratch
    if criterion.spec.code == CUSTOM:
        scratch = Memory(n_rows * (2 * n_out + target.targets.n_values), True)
        if custom_rows(&criterion.spec, panels.data, gradient.data, height * LINE, n_out, &target.targets, NULL, 0, n_rows, 1,
                       scratch.data, &losses[0], &scores[0]):
            criterion.reraise()
    else:
        loss_rows(&criterion.spec, panels.data, gradient.data, height * LINE, n_out, &target.targets, NULL, 0, n_rows, 1,
                  &losses[0], &scores[0])
    unpack_rows(gradient.data, height * LINE, n_rows, n_out, &draw[0, 0], n_out)


def link(Loss loss, real[:, ::1] raw not None):
    """The loss's inverse link, in place: probabilities for the cross entropies."""
    cdef Py_ssize_t r
    with nogil:
        for r in range(raw.shape[0]):
            link_row(loss, &raw[r, 0], raw.shape[1])


def update(Update rule, long long t, real[::1] w not None, const real[::1] dw not None, real[:, ::1] slots not None):
    """Update number t = 1, 2, ... of w, and of the slots (3, n), of which a rule uses as many as it has."""
    cdef Update u = at_step(&rule, rule.learning_rate, t)
    cdef real* rows[3]
    cdef int s
    if w.shape[0]:
        for s in range(3):
            rows[s] = &slots[s, 0]
        update_array(&u, &w[0], &dw[0], rows, w.shape[0])


def dense_forward(X not None, const real[:, ::1] W not None, const real[::1] b not None, Activation activation,
                  real[:, ::1] z not None, real[:, ::1] a not None, int n_threads):
    """z = X W + b, a = f(z)."""
    cdef Source source = Source(X)
    cdef Shape shape = Shape(a.shape[0], W.shape[0], W.shape[1], activation, n_threads)
    cdef int status
    with nogil:
        status = forward_arrays(&shape, &source.rows, &W[0, 0], &b[0], &z[0, 0], &a[0, 0])
    if status:
        raise MemoryError(f"cannot allocate the panels of {a.shape[0]:,} samples")


def dense_backward(X not None, const real[:, ::1] W not None, const real[:, ::1] z not None, const real[:, ::1] a not None,
                   const real[:, ::1] da not None, Activation activation, real[:, ::1] dX not None,
                   real[:, ::1] dW not None, real[::1] db not None, int n_threads):
    """dz = da * f'(z); dX = dz W^T, dW = X^T dz, db = sum of dz over the samples."""
    cdef Source source = Source(X)
    cdef Shape shape = Shape(dX.shape[0], W.shape[0], W.shape[1], activation, n_threads)
    cdef int status
    with nogil:
        status = backward_arrays(&shape, &source.rows, &W[0, 0], &z[0, 0], &a[0, 0], &da[0, 0], &dX[0, 0], &dW[0, 0],
                                 &db[0])
    if status:
        raise MemoryError(f"cannot allocate the panels of {dX.shape[0]:,} samples")


def gemm(A not None, B not None, bint transposed, real[:, ::1] C not None):
    """C = A B, or A^T B when `transposed`, by the tiles of forward or of dW."""
    cdef Py_ssize_t m = C.shape[0], n = C.shape[1], k = B.shape[0], i, j, rows, panels
    cdef Py_ssize_t a_panel = (<Py_ssize_t>A.shape[0] | 1) * LINE, b_panel = (k | 1) * LINE, c_panel = (m | 1) * LINE
    cdef Memory a = packed(A, a_panel // LINE), b = packed(B, b_panel // LINE), c = Memory(n_panels(n) * c_panel)
    cdef Layer plain = plain_layer(m, n, IDENTITY)
    cdef Pass how = Pass(INFERENCE, 0, c_panel)
    cdef Epilogue epilogue = Epilogue(False, &plain, NULL, &how)
    cdef Region whole = samples_of(0, m, n)
    cdef Block block
    cdef Product p = Product(k, a.data, a_panel, b.data, b_panel, ZEROS, 0, 0, c.data, c_panel)
    plain.z = plain.a = plain.out = c.data
    if k == 0:
        C[:, :] = 0
    elif not transposed:
        product_rows(&p, &whole, &epilogue)
        unpack_rows(c.data, c_panel, m, n, &C[0, 0], n)
    else:
        p.c, p.c_panel = block.x, LINE * LINE
        for j in range((n_panels(n) + NP_DW - 1) // NP_DW):
            panels = min(<Py_ssize_t>NP_DW, n_panels(n) - j * NP_DW)
            for i in range(n_panels(m)):
                rows = min(<Py_ssize_t>LINE, m - i * LINE)
                p.a, p.b = a.data + i * a_panel, b.data + j * NP_DW * b_panel
                product_features(&p, rows, panels)
                unpack_rows(block.x, LINE * LINE, rows, min(panels * LINE, n - j * NP_DW * LINE),
                            &C[i * LINE, j * NP_DW * LINE], n)


def fma_chain(Py_ssize_t n):
    """12 independent chains of n vector multiply-adds: n * 12 * 2 * VL flops, the most that this ISA's FMA can do."""
    cdef vec acc[12]
    cdef Line line
    cdef Py_ssize_t i
    cdef int j
    with nogil:
        for j in range(12):
            acc[j] = splat(<real>j)
        for i in range(n):
            for j in range(12):
                acc[j] = acc[j] * splat(<real>0.999) + splat(<real>1e-9)
        for j in range(1, 12):
            acc[0] = acc[0] + acc[j]
        store(line.x, acc[0])
    return line.x[0], 24 * VL * n


def openmp():
    """Whether the core was built with OpenMP, and the most threads that its runtime would give."""
    return bool(FASTBP_OPENMP), most_threads()
