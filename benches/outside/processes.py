"""Python's multiprocessing: two processes that ask and answer, four that put and four that get;
pools of two."""

import multiprocessing as mp
import time
from concurrent.futures import ProcessPoolExecutor

ROUNDS = 5
MESSAGES = 40_000
PROCESSES = 4


def report(name, count, measure):
    """Prints the median of what `measure` takes for one of `count` things, in nanoseconds."""
    times = sorted(measure() for _ in range(ROUNDS))
    print(f"{name} {times[ROUNDS // 2] / count * 1e9:.1f}", flush=True)


def answer_pipe(pipe):
    while (message := pipe.recv()) is not None:
        pipe.send(message)


def answer_queue(asked, answers):
    while (message := asked.get()) is not None:
        answers.put(message)


def round_trips(count, serve, ends, ask, hear):
    other = mp.Process(target=serve, args=ends)
    other.start()
    message = [1] * 8
    ask(message)
    hear()
    start = time.perf_counter()
    for _ in range(count):
        ask(message)
        hear()
    elapsed = time.perf_counter() - start
    ask(None)
    other.join()
    return elapsed


def pipe(count):
    here, there = mp.Pipe()
    return round_trips(count, answer_pipe, (there,), here.send, here.recv)


def queues(kind, count):
    asked, answers = kind(), kind()
    return round_trips(count, answer_queue, (asked, answers), asked.put, answers.get)


def put(queue, begin, count):
    begin.wait()
    for number in range(count):
        queue.put(number)


def get(queue):
    while queue.get() is not None:
        pass


def through(kind):
    queue, begin = kind(), mp.Event()
    consumers = [mp.Process(target=get, args=(queue,)) for _ in range(PROCESSES)]
    share = MESSAGES // PROCESSES
    producers = [mp.Process(target=put, args=(queue, begin, share)) for _ in range(PROCESSES)]
    for process in consumers + producers:
        process.start()
    time.sleep(0.1)
    start = time.perf_counter()
    begin.set()
    for process in producers:
        process.join()
    for _ in consumers:
        queue.put(None)
    for process in consumers:
        process.join()
    return time.perf_counter() - start


def square(n):
    return n * n


def apply(pool, count):
    start = time.perf_counter()
    for n in range(count):
        pool.apply(square, (n,))
    return time.perf_counter() - start


def submit(pool, count):
    start = time.perf_counter()
    for n in range(count):
        pool.submit(square, n).result()
    return time.perf_counter() - start


def map_all(pool, count):
    start = time.perf_counter()
    assert len(pool.map(square, range(count))) == count
    return time.perf_counter() - start


if __name__ == "__main__":
    mp.set_start_method("fork")
    report("ipc/python-pipe", 10_000, lambda: pipe(10_000))
    report("ipc/python-simple-queue", 10_000, lambda: queues(mp.SimpleQueue, 10_000))
    report("ipc/python-queue", 5_000, lambda: queues(mp.Queue, 5_000))
    report("ipc-queue/python-simple-queue", MESSAGES, lambda: through(mp.SimpleQueue))
    report("ipc-queue/python-queue", MESSAGES, lambda: through(mp.Queue))
    with mp.Pool(2) as pool:
        map_all(pool, 1000)
        report("process-apply/python-pool", 5_000, lambda: apply(pool, 5_000))
        report("process-map/python-pool", 1_000_000, lambda: map_all(pool, 1_000_000))
    with ProcessPoolExecutor(2) as pool:
        report("process-apply/python-executor", 5_000, lambda: submit(pool, 5_000))
