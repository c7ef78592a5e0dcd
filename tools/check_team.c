/* The team, its arithmetic, the barrier, the clock and the memory of team.h by themselves, where there is no Python to test
 * them: a barrier is one if between two of them nobody sees another's step differ from its own. Run by compile_windows.sh. */
#include <float.h>
#include <stdio.h>
#include "team.h"

enum { TEAM = 3, STEPS = 2000 };

static barrier_t barrier;
static volatile int step[TEAM];
static int wrong[TEAM], team[TEAM];
static double fading[TEAM];

/* A subnormal number, or zero; volatile, or the compiler would multiply. To be compared with zero under C's settings: under
 * the core's both are equal. */
static double subnormal(void)
{
    volatile double smallest = DBL_MIN;
    return 0.5 * smallest;
}

static arithmetic_t settings(void)
{
    arithmetic_t found;
    get_arithmetic(found);
    return found;
}

static void member(void *steps, int me, int size)
{
    team[me] = size;
    fading[me] = subnormal();
    for (int i = 1; i <= *(int *)steps; i++) {
        step[me] = i;
        barrier_wait(&barrier, size);
        for (int other = 0; other < size; other++) wrong[me] += step[other] != i;
        barrier_wait(&barrier, size);
    }
}

int main(void)
{
    int steps = STEPS, size = TEAM, mistakes = 0;
    double start = now();
    void *p = aligned_malloc(100000);
    double here = subnormal();
    arithmetic_t before = settings();
    run_team(member, &steps, TEAM);
    int kept = settings() == before && here > 0 && subnormal() == here, faded = 0;
    for (int i = 0; i < TEAM; i++) {
        mistakes += wrong[i];
        faded += fading[i] == 0;
        if (team[i] != TEAM) size = team[i];
    }
    int aligned = p != NULL && (size_t)p % 4096 == 0, runs = now() > start;
    printf("team.h, OpenMP %s: %d threads, %d steps seen wrong, subnormals zero in %d, settings kept: %d, aligned: %d, "
           "clock runs: %d\n", FASTBP_OPENMP ? "on" : "off", size, mistakes, faded, kept, aligned, runs);
    aligned_release(p);
    return mistakes != 0 || size != TEAM || faded != TEAM || !kept || !aligned || !runs;
}
