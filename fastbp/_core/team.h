/* What a team of threads needs of the platform: a barrier, a clock, aligned memory. */
#ifndef FASTBP_TEAM_H
#define FASTBP_TEAM_H
#include <stdlib.h>
#include <time.h>
#ifdef _WIN32
#include <malloc.h>
#include <windows.h>
#define yield_cpu() SwitchToThread()
#else
#include <sched.h>
#define yield_cpu() sched_yield()
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("isb")
#else
#define relax() ((void)0)
#endif

/* Arrivals and releases on lines of their own, so that waiting threads read a line that nobody writes until the end. */
typedef struct {
    int arrived __attribute__((aligned(128)));
    int phase __attribute__((aligned(128)));
} barrier_t;

/* Spins 2,000 relaxes (some 50 us), then lets other threads of the machine run: a spinning thread that owns the only
 * core would wait for its whole time slice. */
static inline void barrier_wait(barrier_t *barrier, int n_threads)
{
    if (n_threads == 1) return;
    int phase = __atomic_load_n(&barrier->phase, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == n_threads) {
        barrier->arrived = 0;
        __atomic_store_n(&barrier->phase, phase + 1, __ATOMIC_RELEASE);
        return;
    }
    int spins = 0;
    while (__atomic_load_n(&barrier->phase, __ATOMIC_ACQUIRE) == phase)
        if (spins < 2000) { spins++; relax(); } else yield_cpu();
}

static inline double now(void)
{
    struct timespec t;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* On a page where that costs nothing; on a line where a page's alignment would cost more than the work of one sample. */
static inline void *aligned_malloc(size_t n_bytes)
{
    size_t alignment = n_bytes < 65536 ? 64 : 4096;
#ifdef _WIN32
    return _aligned_malloc(n_bytes, alignment);
#else
    void *p = NULL;
    return posix_memalign(&p, alignment, n_bytes) ? NULL : p;
#endif
}

static inline void aligned_release(void *p)
{
#ifdef _WIN32
    _aligned_free(p);
#else
    free(p);
#endif
}

#endif
