# Cache blocking round the micro-kernel, and the way between row-major arrays and panels.
#
# Strips of rows and groups of panels are equalised (32 rows are 11 + 11 + 10, not 14 + 14 + 4). Sums are cut into
# blocks of KC terms: a block of b (KC lines a panel) stays in L1 while the strips of a stream past it from L2. The
# sums wait in c between blocks; a store and a load change no bits.

cdef void product_rows(const Product* whole, const Region* mine, const Epilogue* epilogue) noexcept nogil:
    """c = init + a b in a region of c, each tile finished by the epilogue (of layer.pxi) while it is in cache."""
    cdef Product p = whole[0]
    cdef Py_ssize_t rows = mine.last - mine.first, panels = mine.right - mine.left
    cdef Py_ssize_t strips = (rows + MR - 1) // MR, groups = (panels + NP - 1) // NP
    cdef Py_ssize_t blocks = (whole.k + KC - 1) // KC
    cdef Py_ssize_t block, k0, g, s, q, q1, r, r1, i
    for block in range(blocks):
        k0 = block * KC
        p.k = min(<Py_ssize_t>KC, whole.k - k0)
        for g in range(groups):
            q, q1 = mine.left + part(panels, groups, g), mine.left + part(panels, groups, g + 1)
            p.b = whole.b + q * whole.b_panel + k0 * LINE
            for s in range(strips):
                r, r1 = mine.first + part(rows, strips, s), mine.first + part(rows, strips, s + 1)
                p.a = whole.a + (k0 // LINE) * whole.a_panel + r * LINE
                p.c = whole.c + q * whole.c_panel + r * LINE
                if block == 0:
                    p.init = whole.init + q * whole.init_panel + r * whole.init_row
                    p.init_row, p.init_panel = whole.init_row, whole.init_panel
                else:
                    p.init, p.init_row, p.init_panel = p.c, LINE, whole.c_panel
                tile_rows(<int>(r1 - r), <int>(q1 - q), &p)
                if block == blocks - 1:
                    for i in range(q, q1):
                        finish(epilogue, i, r, r1 - r)


cdef void product_features(const Product* whole, Py_ssize_t rows, Py_ssize_t panels) noexcept nogil:
    """c = a^T b for the `rows` features of one panel of a and the `panels` of b; c is (panels, LINE, LINE)."""
    cdef Product p = whole[0]
    cdef Py_ssize_t strips = (rows + MR_DW - 1) // MR_DW
    cdef Py_ssize_t block, k0, s, r, r1
    for block in range((whole.k + KC - 1) // KC):
        k0 = block * KC
        p.k = min(<Py_ssize_t>KC, whole.k - k0)
        p.b = whole.b + k0 * LINE
        for s in range(strips):
            r, r1 = part(rows, strips, s), part(rows, strips, s + 1)
            p.a = whole.a + k0 * LINE + r
            p.c = whole.c + r * LINE
            if block == 0:
                p.init, p.init_row, p.init_panel = ZEROS, 0, 0
            else:
                p.init, p.init_row, p.init_panel = p.c, LINE, p.c_panel
            tile_features(<int>(r1 - r), <int>panels, &p)


cdef struct Rows:
    # Rows of a user's row-major array, read where they stand: float32 or float64, any distance between rows.
    const char* data
    Py_ssize_t stride               # bytes
    bint is_double


cdef inline void read_line(const char* source, bint is_double, int n, real* line) noexcept nogil:
    """n numbers of a row into a line, the rest zero."""
    cdef int i
    if is_double:
        for i in range(n): line[i] = <real>(<const double*>source)[i]
    else:
        for i in range(n): line[i] = <real>(<const float*>source)[i]
    for i in range(n, LINE): line[i] = 0


cdef enum:
    AHEAD = 2       # rows: a row of a shuffled X comes from far, two rows of 49 lines take about as long


cdef void pack_rows(const Rows* source, const long long* order, Py_ssize_t first, Py_ssize_t last, Py_ssize_t n,
                    real* panels, Py_ssize_t panel) noexcept nogil:
    """Rows first..last of `source`, or the rows that `order` names, into panels of `panel` reals."""
    cdef Py_ssize_t r, q, ahead, full = n // LINE, line_bytes = LINE * (8 if source.is_double else 4)
    cdef const char* row
    cdef const char* later
    for r in range(first, last):
        row = source.data + source.stride * (order[r] if order != NULL else r)
        ahead = min(r + AHEAD, last - 1)
        later = source.data + source.stride * (order[ahead] if order != NULL else ahead)
        for q in range(full):
            prefetch(later + q * line_bytes)        # one by one: a burst of them stalls
            if line_bytes > 64: prefetch(later + q * line_bytes + 64)
            read_line(row + q * line_bytes, source.is_double, LINE, panels + q * panel + r * LINE)
        if full * LINE < n:
            read_line(row + full * line_bytes, source.is_double, <int>(n % LINE), panels + full * panel + r * LINE)


cdef inline void read_row(const Rows* rows, Py_ssize_t row, Py_ssize_t first, Py_ssize_t n, real* out) noexcept nogil:
    """Numbers first..first + n of a row, n at most LINE."""
    cdef Line line
    read_line(rows.data + row * rows.stride + first * (8 if rows.is_double else 4), rows.is_double, <int>n, line.x)
    memcpy(out, line.x, n * sizeof(real))


cdef void unpack_rows(const real* panels, Py_ssize_t panel, Py_ssize_t n_rows, Py_ssize_t n, real* rows,
                      Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t r, i
    for r in range(n_rows):
        for i in range(n):
            rows[r * row + i] = panels[(i // LINE) * panel + r * LINE + i % LINE]
