# Across lanes: a sum or a maximum of what lies within vectors, and LINE x LINE numbers transposed.

cdef inline double lane_sum(vec* lanes) noexcept nogil:
    """Sum of a line's lanes, halves onto halves: the same order on every ISA."""
    cdef Line line
    cdef double[16] x
    cdef int i, half = LINE // 2
    for i in range(VECTORS):
        store(line.x + i * VL, lanes[i])
    for i in range(LINE):
        x[i] = line.x[i]
    while half > 0:
        for i in range(half):
            x[i] += x[i + half]
        half //= 2
    return x[0]


cdef void transpose_line(const real* source, real* target) noexcept nogil:
    """target[j, i] = source[i, j] for LINE x LINE numbers.

    A block of VL x VL is log2(VL) perfect shuffles: each moves one bit of the row number into the column number.
    """
    cdef vec x[16]
    cdef vec y[16]
    cdef int i, j, r, width
    for i in range(VECTORS):
        for j in range(VECTORS):
            for r in range(VL):
                x[r] = load(source + (i * VL + r) * LINE + j * VL)
            width = 1
            while width < VL:
                for r in range(VL // 2):
                    y[2 * r] = zip_low(x[r], x[r + VL // 2])
                    y[2 * r + 1] = zip_high(x[r], x[r + VL // 2])
                for r in range(VL):
                    x[r] = y[r]
                width *= 2
            for r in range(VL):
                store(target + (j * VL + r) * LINE + i * VL, x[r])


cdef void lane_sums(const real* lines, double* sums) noexcept nogil:
    """Sum of each of LINE lines, its halves one onto the other: the same order on every ISA."""
    cdef Block turned
    cdef double[256] x
    cdef int i, half = LINE // 2
    transpose_line(lines, turned.x)
    for i in range(LINE * LINE):
        x[i] = turned.x[i]
    while half > 0:
        for i in range(half * LINE):
            x[i] += x[i + half * LINE]
        half //= 2
    memcpy(sums, x, LINE * sizeof(double))


cdef void lane_maxima(const real* lines, real* maxima) noexcept nogil:
    """Largest lane of each of LINE lines."""
    cdef Block turned
    cdef vec x, y
    cdef int i, v
    transpose_line(lines, turned.x)
    for v in range(VECTORS):
        x = load(turned.x + v * VL)
        for i in range(1, LINE):
            y = load(turned.x + i * LINE + v * VL)
            x = where_less(x, y, y, x)
        store(maxima + v * VL, x)
