"""What this CPU and this operating system can run. Compiled for the baseline: it must load everywhere."""

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(_M_X64)
    #include <cpuid.h>
    static int fastbp_cpuid(unsigned leaf, unsigned sub, unsigned *r)
    {
        return __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]);
    }
    /* Register state the OS saves on a context switch; asked of only where OSXSAVE says that the instruction exists. */
    static unsigned fastbp_xcr0(void)
    {
        unsigned low, high;
        __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
        return low;
    }
    #else
    static int fastbp_cpuid(unsigned leaf, unsigned sub, unsigned *r) { return 0; }
    static unsigned fastbp_xcr0(void) { return 0; }
    #endif
    """
    int fastbp_cpuid(unsigned leaf, unsigned sub, unsigned* registers)
    unsigned fastbp_xcr0()

# name: leaf, register (eax ebx ecx edx), bit, the XCR0 bits it needs. AVX state is bits 1-2, AVX-512 adds 5-7.
_AVX, _AVX512 = 0x06, 0xE6
_BITS = {
    "avx": (1, 2, 28, _AVX), "f16c": (1, 2, 29, _AVX), "fma": (1, 2, 12, _AVX), "movbe": (1, 2, 22, 0),
    "avx2": (7, 1, 5, _AVX), "bmi1": (7, 1, 3, 0), "bmi2": (7, 1, 8, 0), "lzcnt": (0x80000001, 2, 5, 0),
    "avx512f": (7, 1, 16, _AVX512), "avx512dq": (7, 1, 17, _AVX512), "avx512cd": (7, 1, 28, _AVX512),
    "avx512bw": (7, 1, 30, _AVX512), "avx512vl": (7, 1, 31, _AVX512),
}


def features():
    """Names of the features that both the CPU (CPUID) and the operating system (XGETBV) support."""
    cdef unsigned registers[4]
    found = set()
    if not fastbp_cpuid(1, 0, registers):
        return frozenset()
    state = fastbp_xcr0() if registers[2] >> 27 & 1 else 0
    for name, (leaf, register, bit, needed) in _BITS.items():
        if fastbp_cpuid(leaf, 0, registers) and registers[<int>register] >> <int>bit & 1 and state & needed == needed:
            found.add(name)
    return frozenset(found)
