"""What the start of the program waited for: `python -m benchmarks.startup`.

Document 001 names three suspects: the lattice cache, a pool of three threads, and 5,120,000 floats to load. Each is done
here in Python, the cache one entry at a time as the program did it, and all at once. Then the time until a first, small
piece of work is answered, with the cache built at once, in the background, and on first touch. Under a minute; writes
evidence/measured/startup.json.
"""

import functools
import json
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.lattice import entries_one_by_one
from benchmarks.run import describe_machine, say
from cllm_lib.defects import faulty_primes_below
from cllm_lib.files import shipped, write_atomically
from cllm_lib.lattice.entries import build_lattice

COMMAND = "python -m benchmarks.startup"
LIMIT, THREADS, FLOATS = 200_000, 3, 5_120_000
ROUNDS = 15


def milliseconds(action):
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def thread_pool():
    """Create the pool, hand each thread something to do, and give it back."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(abs, range(THREADS)))


def one_at_a_time(limit=LIMIT):
    """The cache in a loop over its entries."""
    return entries_one_by_one(faulty_primes_below(limit).tolist())


def suspects(file, limit=LIMIT):
    """Each suspect as something to call; `file` holds the floats."""
    return {
        "lattice cache, one entry at a time": lambda: one_at_a_time(limit),
        "lattice cache, all at once": lambda: build_lattice(faulty_primes_below(limit)),
        f"pool of {THREADS} threads": thread_pool,
        f"{FLOATS:,} floats from a file": lambda: (file.seek(0), np.load(file)),
    }


def small_work():
    """What the first cell asks for."""
    return sum(range(100_000))


def first_answer(build):
    """Milliseconds until the first answer, for each way to have the cache; the background is waited for, untimed."""
    times, thread = {}, threading.Thread(target=build)
    for name, start in (("at once", build), ("in the background", thread.start), ("on first touch", lambda: None)):
        times[name] = milliseconds(lambda start=start: (start(), small_work()))
        if name == "in the background":
            thread.join()
    return times


def medians(rounds):
    """From one dictionary of times a round to the median of each, two digits after the point."""
    return {name: round(statistics.median(times[name] for times in rounds), 2) for name in rounds[0]}


def measure(rounds=ROUNDS, limit=LIMIT):
    """All suspects in turn, round after round, and the time until the first answer.

    Returns
    -------
    dict
        Median milliseconds of each.
    """
    with tempfile.TemporaryFile() as file:
        np.save(file, np.random.default_rng(0).standard_normal(FLOATS, dtype=np.float32))
        known = suspects(file, limit)
        alone = [{name: milliseconds(start) for name, start in known.items()} for _ in range(rounds)]
    answers = [first_answer(functools.partial(one_at_a_time, limit)) for _ in range(rounds)]
    return {"alone": medians(alone), "until the first answer": medians(answers)}


def main():
    """Measure, say it, and write it down."""
    found = measure()
    path = shipped("evidence", "measured/startup.json")
    path.parent.mkdir(exist_ok=True)
    conditions = {"command": COMMAND, "machine": describe_machine(), "rounds": ROUNDS, "unit": "milliseconds, median"}
    write_atomically(path, (json.dumps(conditions | found, indent=1) + "\n").encode("utf-8"))
    say(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
