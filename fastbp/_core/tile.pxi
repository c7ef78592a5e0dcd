# The micro-kernel: one register tile of a product, `mr` rows by `np` panels, summed over k in order.
#
#     c[p, r, :] = init[p, r, :] + sum_k A[r, k] * b[p, k, :]         p < np, r < mr
#
# The three products of a dense layer differ in what A is, and so in two strides alone:
#
#     z  = a W       A[r, k] = a[k // LINE, r, k % LINE]      row stride LINE, k stride 1, panel after LINE terms
#     da = dz W^T    the same, with dz and wt
#     dW = a^T dz    A[r, k] = a[panel, k, r]                 row stride 1, k stride LINE   (`transposed`)
#
# A term is a broadcast of A times a vector of b, added by FMA; every element is one chain in the order of k, so its
# bits do not depend on the tile it falls in, nor on the thread that computes it.

cdef struct Product:
    Py_ssize_t k                    # terms
    const real* a
    Py_ssize_t a_panel              # distance between panels of a
    const real* b
    Py_ssize_t b_panel
    const real* init                # start of the sums: a bias row, zeros, or c itself
    Py_ssize_t init_row, init_panel
    real* c
    Py_ssize_t c_panel


cdef inline void tile(const int mr, const int np, const bint transposed, const Product* p) noexcept nogil:
    """mr, np and transposed are constants at every call: the loops over them unroll, `acc` lives in registers."""
    cdef vec acc[32]
    cdef vec w[16]
    cdef vec x
    cdef const real* a = p.a
    cdef const real* b = p.b
    cdef Py_ssize_t k = p.k
    cdef int nv = np * VECTORS
    cdef int row = 1 if transposed else LINE, term = LINE if transposed else 1
    cdef Py_ssize_t a_step = LINE * LINE if transposed else p.a_panel
    cdef int r, v, i, n
    for r in range(mr):
        for v in range(nv):
            acc[r * nv + v] = load(p.init + r * p.init_row + (v // VECTORS) * p.init_panel + (v % VECTORS) * VL)
    while k > 0:
        n = LINE if k >= LINE else <int>k
        for i in range(n):
            for v in range(nv):
                w[v] = load(b + (v // VECTORS) * p.b_panel + i * LINE + (v % VECTORS) * VL)
            for r in range(mr):
                x = splat(a[r * row + i * term])
                for v in range(nv):
                    acc[r * nv + v] = x * w[v] + acc[r * nv + v]
        a += a_step
        b += LINE * LINE
        k -= LINE
    for r in range(mr):
        for v in range(nv):
            store(p.c + (v // VECTORS) * p.c_panel + r * LINE + (v % VECTORS) * VL, acc[r * nv + v])


cdef inline void tile_of(int mr, const int np, const bint transposed, const Product* p) noexcept nogil:
    """Turns the height of a strip, known at run time, into the constant that the tile needs."""
    cdef int highest = MR_DW if transposed else MR
    if mr == 1: tile(1, np, transposed, p)
    elif mr == 2: tile(2, np, transposed, p)
    elif highest >= 3 and mr == 3: tile(3, np, transposed, p)
    elif highest >= 4 and mr == 4: tile(4, np, transposed, p)
    elif highest >= 5 and mr == 5: tile(5, np, transposed, p)
    elif highest >= 6 and mr == 6: tile(6, np, transposed, p)
    elif highest >= 7 and mr == 7: tile(7, np, transposed, p)
    elif highest >= 8 and mr == 8: tile(8, np, transposed, p)
    elif highest >= 9 and mr == 9: tile(9, np, transposed, p)
    elif highest >= 10 and mr == 10: tile(10, np, transposed, p)
    elif highest >= 11 and mr == 11: tile(11, np, transposed, p)
    elif highest >= 12 and mr == 12: tile(12, np, transposed, p)
    elif highest >= 13 and mr == 13: tile(13, np, transposed, p)
    elif highest >= 14 and mr == 14: tile(14, np, transposed, p)


cdef void tile_rows(int mr, int np, const Product* p) noexcept nogil:
    """Rows are samples: z and da."""
    if np == NP: tile_of(mr, NP, False, p)
    else: tile_of(mr, 1, False, p)


cdef void tile_features(int mr, int np, const Product* p) noexcept nogil:
    """Rows are features: dW."""
    if np == NP_DW: tile_of(mr, NP_DW, True, p)
    elif NP_DW > 2 and np == 2: tile_of(mr, 2, True, p)
    else: tile_of(mr, 1, True, p)
