"""Derive the polynomials of erf and print them as C arrays (needs mpmath, takes seconds).

With a = |x|, and every coefficient rounded to the target precision:

    a <  SPLIT:  erf(x) = x + x * SMALL(x * x)
    a >= SPLIT:  erf(x) = copysign(1 - exp(LARGE(min(a, LIMIT))), x)

The leading x of the first form is exact, so rounding touches only the correction, at most 0.16 x. LARGE is
log(erfc(a)): an error d in it, or in exp, costs erfc(a) * d, so it is fitted under that weight and needs
neither a division nor a change of variable. At LIMIT erf has rounded to 1. NaN fails a >= SPLIT, and so
passes through the first form.

                                                fitting error      largest error seen, in ULP, by Horner's
         SPLIT  LIMIT  SMALL      LARGE         SMALL    LARGE     rule, exp within 1.5 ULP (with FMA)
float32  27/32  4       6 coeffs   7 coeffs     2**-27.2 2**-28.6  1.54 (1.36), every float in 2**-12 ... 4
float64  1      6      12 coeffs  18 coeffs     2**-56.0 2**-56.9  1.40 (1.35), 1e7 random points

Fitting errors are relative to erf. Run: python tools/fit_erf.py > erf.h
"""

from mpmath import mp, mpf

mp.dps = 80

# name, C type, literal suffix, significand bits, SPLIT, LIMIT, coefficients of SMALL and of LARGE
PRECISIONS = (
    ("F32", "float", "f", 24, mpf("0.84375"), mpf(4), 6, 7),
    ("F64", "double", "", 53, mpf(1), mpf(6), 12, 18),
)


def small(s):
    """Value at s = x * x of the correction erf(x) / x - 1, and its weight in the relative error of erf."""
    x = mp.sqrt(s)
    return mp.erf(x) / x - 1, x / mp.erf(x)


def large(a):
    """Value at a = |x| of log(erfc(a)), and its weight in the relative error of erf."""
    return mp.log(mp.erfc(a)), mp.erfc(a) / mp.erf(a)


def chebyshev_nodes(low, high, n_nodes):
    angles = [mp.pi * (i + mpf(1) / 2) / n_nodes for i in range(n_nodes)]
    return [(low + high) / 2 - (high - low) / 2 * mp.cos(angle) for angle in angles]


def least_squares(points, first, n_coeffs):
    """Coefficients of degrees first ... n_coeffs - 1 that fit points (node, value, weight)."""
    rows = [[weight * node**k for k in range(first, n_coeffs)] for node, _, weight in points]
    size = n_coeffs - first
    gram = mp.matrix(size, size)
    moments = mp.matrix(size, 1)
    for row, (_, value, weight) in zip(rows, points):
        for i in range(size):
            moments[i] += row[i] * weight * value
            for j in range(size):
                gram[i, j] += row[i] * row[j]
    return mp.lu_solve(gram, moments)


def fit(function, low, high, n_coeffs, bits):
    """Rounded coefficients, and the largest weighted error at the nodes.

    Each coefficient is rounded in turn and the later ones are fitted again to what is left, so that they
    make up for its rounding.
    """
    points = [(node, *function(node)) for node in chebyshev_nodes(low, high, 5 * n_coeffs)]
    rounded, left = [], points
    for k in range(n_coeffs):
        exact = least_squares(left, k, n_coeffs)[0]
        with mp.workprec(bits):
            rounded.append(+exact)
        left = [(node, value - rounded[k] * node**k, weight) for node, value, weight in left]
    return rounded, max(abs(value) * weight for _, value, weight in left)


def print_array(name, c_type, suffix, coeffs):
    digits = 9 if c_type == "float" else 17  # enough to read back the same number
    print(f"static const {c_type} {name}[] = {{")
    for coeff in coeffs:
        print(f"    {float(coeff): .{digits - 1}e}{suffix},")
    print("};")


def main():
    print("/* Written by tools/fit_erf.py, which states the form; lowest degree first. */")
    for name, c_type, suffix, bits, split, limit, n_small, n_large in PRECISIONS:
        print(f"static const {c_type} ERF_SPLIT_{name} = {float(split)}{suffix};")
        print(f"static const {c_type} ERF_LIMIT_{name} = {float(limit)}{suffix};")
        pieces = (("SMALL", small, 0, split**2, n_small), ("LARGE", large, split, limit, n_large))
        for piece, function, low, high, n_coeffs in pieces:
            coeffs, error = fit(function, mpf(low), high, n_coeffs, bits)
            print(f"/* relative error at the nodes {float(error):.1e} = 2**{float(mp.log(error, 2)):.1f} */")
            print_array(f"ERF_{piece}_{name}", c_type, suffix, coeffs)


if __name__ == "__main__":
    main()
