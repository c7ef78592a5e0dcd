/* What a team of threads needs of the platform: the threads and their arithmetic, a barrier, a clock, aligned memory. */
#ifndef FASTBP_TEAM_H
#define FASTBP_TEAM_H
#include <limits.h>
#include <stdlib.h>
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN                               /* macros such as small and interface stay out */
#define NOMINMAX
#include <malloc.h>
#include <windows.h>
#define yield_cpu() SwitchToThread()
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
#define yield_cpu() sched_yield()
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#define relax() __builtin_ia32_pause()
#define get_arithmetic(x) ((x) = _mm_getcsr())
#define set_arithmetic(x) _mm_setcsr((unsigned)(x))
#define C_ARITHMETIC 0x1F80u                              /* MXCSR as C programs find it: nothing raised, round to nearest */
#define CORE_ARITHMETIC 0x9FC0u                           /* and FTZ, DAZ */
#elif defined(__aarch64__)
#define relax() __asm__ volatile("isb")
#define get_arithmetic(x) __asm__ volatile("mrs %0, fpcr" : "=r"(x))
#define set_arithmetic(x) __asm__ volatile("msr fpcr, %0" : : "r"(x))
#define C_ARITHMETIC 0ull
#define CORE_ARITHMETIC (1ull << 24)                      /* FPCR: FZ */
#else
#define relax() ((void)0)
#define get_arithmetic(x) ((x) = 0)
#define set_arithmetic(x) ((void)(x))
#define C_ARITHMETIC 0u
#define CORE_ARITHMETIC 0u
#endif

/* The core computes with settings of its own, whatever the caller's are, and takes subnormal numbers for zero. Gradients fade
 * into these (a probability of 1e-40, the momentum of a dead unit), for which an Intel core leaves its fast path: without
 * this a fit of 8-128-32-1 by Adam took 3.9 times as long. A thread that leaves the core has its own settings back. */
typedef unsigned long long arithmetic_t;
static inline arithmetic_t use_arithmetic(arithmetic_t settings)
{
    arithmetic_t before;
    get_arithmetic(before);
    set_arithmetic(settings);
    return before;
}

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

static inline void run_member(void (*member)(void *, int, int), void *work, int thread, int n_threads)
{
    arithmetic_t host = use_arithmetic(CORE_ARITHMETIC);
    member(work, thread, n_threads);
    use_arithmetic(host);
}

/* Runs member(work, thread, n) in a team of n <= n_threads, of which the caller is thread 0. Members may wait for one
 * another. One thread never enters OpenMP, so that it works in a forked child, where GCC's libgomp hangs. */
#ifdef _OPENMP
#include <omp.h>
#define FASTBP_OPENMP 1
#define most_threads() omp_get_max_threads()

static inline void run_team(void (*member)(void *, int, int), void *work, int n_threads)
{
    if (n_threads == 1) { run_member(member, work, 0, 1); return; }
    #pragma omp parallel num_threads(n_threads)
    run_member(member, work, omp_get_thread_num(), omp_get_num_threads());
}

#else
/* Threads of our own, made for the call and joined at its end: some 20 us a thread, and nothing that outlives it. For where
 * the compiler brings no OpenMP, or one that does not bear a second copy of itself in the process (LLVM's). */
#define FASTBP_OPENMP 0
#define most_threads() INT_MAX

typedef struct {
    void (*member)(void *, int, int);
    void *work;
    int size;                       /* 0 until it is known how many there are: a machine may refuse the next thread */
} team_t;

typedef struct {
    team_t *team;
    int thread;
} member_t;

static inline void join_team(const member_t *it)
{
    int size;
    while ((size = __atomic_load_n(&it->team->size, __ATOMIC_ACQUIRE)) == 0) yield_cpu();
    run_member(it->team->member, it->team->work, it->thread, size);
}

#ifdef _WIN32
typedef HANDLE thread_t;
static DWORD WINAPI thread_main(void *it) { join_team((const member_t *)it); return 0; }
static inline int thread_start(thread_t *thread, member_t *it)
{
    *thread = CreateThread(NULL, 0, thread_main, it, 0, NULL);
    return *thread != NULL;
}
static inline void thread_join(thread_t thread) { WaitForSingleObject(thread, INFINITE); CloseHandle(thread); }
#else
typedef pthread_t thread_t;
static void *thread_main(void *it) { join_team((const member_t *)it); return NULL; }
static inline int thread_start(thread_t *thread, member_t *it) { return !pthread_create(thread, NULL, thread_main, it); }
static inline void thread_join(thread_t thread) { pthread_join(thread, NULL); }
#endif

static inline void run_team(void (*member)(void *, int, int), void *work, int n_threads)
{
    team_t team = {member, work, 0};
    thread_t *threads = n_threads > 1 ? (thread_t *)malloc((size_t)n_threads * (sizeof(thread_t) + sizeof(member_t))) : NULL;
    member_t *members = (member_t *)(threads + n_threads);
    int size = 1, i;
    while (threads != NULL && size < n_threads) {
        members[size].team = &team;
        members[size].thread = size;
        if (!thread_start(&threads[size], &members[size])) break;
        size++;
    }
    __atomic_store_n(&team.size, size, __ATOMIC_RELEASE);
    run_member(member, work, 0, size);
    for (i = 1; i < size; i++) thread_join(threads[i]);
    free(threads);
}
#endif

/* Seconds, by a clock that nobody sets. */
static inline double now(void)
{
#ifdef _WIN32
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (double)ticks.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#endif
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
