"""What threads cost and bring while a model is trained: `python -m benchmarks.threads`.

Document 001 has "threading overhead without benefit": a pool of three threads that nothing was given to. Here a forward and
a backward pass is timed with one thread of BLAS, with such a pool beside it, and with two threads, each in a process of
its own, in paired rounds. A minute; writes evidence/measured/threads.json.
"""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks.compare import Worker, alternate, ratio
from benchmarks.peers import LARGE, SMALL, Ours
from benchmarks.run import describe_machine, say
from cllm_lib.files import shipped, write_atomically

COMMAND = "python -m benchmarks.threads"
SIZES = {"16.6 million parameters": LARGE, "0.2 million parameters": SMALL}
ROUNDS, STEPS, POOL = 15, 5, 3
ALONE, IDLE, TWO = "one thread", "an idle pool of 3", "two threads"


def alone(config):
    """A forward and a backward pass."""
    return Ours(config, adam=False)


def beside_an_idle_pool(config):
    """The same, in a process whose pool of threads waits for work that does not come."""
    ours, all_there = Ours(config, adam=False), threading.Barrier(POOL)
    ours.pool = ThreadPoolExecutor(POOL)
    list(ours.pool.map(lambda _: all_there.wait(), range(POOL)))  # else one thread would do for all three
    return ours


CONTESTANTS = {ALONE: (alone, 1), IDLE: (beside_an_idle_pool, 1), TWO: (alone, 2)}


def worker(build, threads, config):
    """A process whose BLAS has so many threads: it reads the setting as it starts."""
    kept = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    try:
        return Worker(build, config)
    finally:
        os.environ.pop("OPENBLAS_NUM_THREADS")
        if kept is not None:
            os.environ["OPENBLAS_NUM_THREADS"] = kept


def measure(sizes=SIZES, rounds=ROUNDS, steps=STEPS):
    """Every size, each contestant against one thread alone.

    Returns
    -------
    list of dict
    """
    found = []
    for size, config in sizes.items():
        workers = {name: worker(build, threads, config) for name, (build, threads) in CONTESTANTS.items()}
        times = alternate(workers, rounds, steps)
        for one in workers.values():
            one.close()
        for name in (IDLE, TWO):
            against = ratio(times[name], times[ALONE])
            found.append({"size": size, "with": name, "ratio": against.value, "low": against.low, "high": against.high})
    return found


def numbers():
    """Everything that is kept."""
    return {"command": COMMAND, "machine": describe_machine(), "rounds": ROUNDS, "measurements": measure()}


def main():
    """Measure, say it, and write it down."""
    found = numbers()
    write_atomically(shipped("evidence", "measured/threads.json"), (json.dumps(found, indent=1) + "\n").encode("utf-8"))
    say(json.dumps(found["measurements"], indent=1))


if __name__ == "__main__":
    main()
