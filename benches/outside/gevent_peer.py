"""gevent's greenlets."""

import time

import gevent
from gevent.queue import Queue

ROUNDS = 5


def report(name, count, measure):
    """Prints the median of what `measure` takes for one of `count` things, in nanoseconds."""
    times = sorted(measure() for _ in range(ROUNDS))
    print(f"{name} {times[ROUNDS // 2] / count * 1e9:.1f}", flush=True)


def yields(n, count):
    def turn():
        for _ in range(count // n):
            gevent.sleep(0)

    threads = [gevent.spawn(turn) for _ in range(n)]
    start = time.perf_counter()
    gevent.joinall(threads)
    return time.perf_counter() - start


def spawn(count):
    start = time.perf_counter()
    for _ in range(count):
        gevent.spawn(lambda: 1).join()
    return time.perf_counter() - start


def batch(count):
    start = time.perf_counter()
    for _ in range(0, count, 1000):
        gevent.joinall([gevent.spawn(lambda: 1) for _ in range(1000)])
    return time.perf_counter() - start


def round_trips(count):
    ask, answer = Queue(), Queue()

    def serve():
        for _ in range(count):
            answer.put(ask.get())

    server = gevent.spawn(serve)
    gevent.sleep(0)
    start = time.perf_counter()
    for value in range(count):
        ask.put(value)
        answer.get()
    elapsed = time.perf_counter() - start
    server.join()
    return elapsed


for size in (2, 100, 10_000):
    report(f"switch/gevent/{size}", 30_000, lambda: yields(size, 30_000))
report("spawn/gevent", 10_000, lambda: spawn(10_000))
report("spawn/gevent-batch", 10_000, lambda: batch(10_000))
report("channel/gevent", 10_000, lambda: round_trips(10_000))
