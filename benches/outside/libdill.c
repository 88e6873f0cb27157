/* libdill's coroutines. */

#include <assert.h>
#include <libdill.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7 };

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int less(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints the median of what `measure` takes for one of `count` things, in nanoseconds. */
static void report(const char *name, int n, int count, double (*measure)(int n, int count)) {
    double times[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) times[i] = measure(n, count);
    qsort(times, ROUNDS, sizeof times[0], less);
    printf(n ? "%s/%d" : "%s", name, n);
    printf(" %.1f\n", times[ROUNDS / 2] / count * 1e9);
    fflush(stdout);
}

static coroutine void turn(int turns) {
    for (int i = 0; i < turns; i++) yield();
}

static double yields(int n, int count) {
    int all = bundle();
    for (int i = 1; i < n; i++) bundle_go(all, turn(count / n));
    double start = seconds();
    turn(count / n);
    bundle_wait(all, -1);
    double elapsed = seconds() - start;
    hclose(all);
    return elapsed;
}

static coroutine void nothing(void) {}

static double spawn(int n, int count) {
    (void)n;
    double start = seconds();
    for (int i = 0; i < count; i++) hclose(go(nothing()));
    return seconds() - start;
}

static coroutine void serve(int ask, int answer, int count) {
    int value;
    for (int i = 0; i < count; i++) {
        chrecv(ask, &value, sizeof value, -1);
        chsend(answer, &value, sizeof value, -1);
    }
}

static double round_trips(int n, int count) {
    (void)n;
    int ask[2], answer[2], value = 0;
    assert(chmake(ask) == 0 && chmake(answer) == 0);
    int server = go(serve(ask[0], answer[0], count));
    double start = seconds();
    for (int i = 0; i < count; i++) {
        chsend(ask[1], &value, sizeof value, -1);
        chrecv(answer[1], &value, sizeof value, -1);
    }
    double elapsed = seconds() - start;
    hclose(server);
    for (int end = 0; end < 2; end++) {
        hclose(ask[end]);
        hclose(answer[end]);
    }
    return elapsed;
}

int main(void) {
    report("switch/libdill", 2, 1000000, yields);
    report("switch/libdill", 100, 1000000, yields);
    report("switch/libdill", 10000, 1000000, yields);
    report("spawn/libdill", 0, 300000, spawn);
    report("channel/libdill", 0, 300000, round_trips);
}
