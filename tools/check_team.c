/* The team, the barrier, the clock and the memory of team.h by themselves, where there is no Python to test them: a barrier is
 * one if between two of them nobody sees another's step differ from its own. Run by compile_windows.sh. */
#include <stdio.h>
#include "team.h"

enum { TEAM = 3, STEPS = 2000 };

static barrier_t barrier;
static volatile int step[TEAM];
static int wrong[TEAM], team[TEAM];

static void member(void *steps, int me, int size)
{
    team[me] = size;
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
    run_team(member, &steps, TEAM);
    for (int i = 0; i < TEAM; i++) {
        mistakes += wrong[i];
        if (team[i] != TEAM) size = team[i];
    }
    int aligned = p != NULL && (size_t)p % 4096 == 0, runs = now() > start;
    printf("team.h, OpenMP %s: %d threads, %d steps seen wrong, aligned: %d, clock runs: %d\n", FASTBP_OPENMP ? "on" : "off", size,
           mistakes, aligned, runs);
    aligned_release(p);
    return mistakes != 0 || size != TEAM || !aligned || !runs;
}
