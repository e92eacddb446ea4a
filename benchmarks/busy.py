"""A training step beside a busy program: `python -m benchmarks.busy` writes evidence/pages/BUSY.md in a minute.

The program is one loop of Python that never rests, as a forgotten script or another notebook would be. Turns beside it and turns
without it alternate, of one training in one process.
"""

import argparse
import contextlib
import subprocess
import sys
import time

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from benchmarks import peers
from benchmarks.compare import Worker, ratio
from benchmarks.run import describe_machine, describe_settings, say, table, two_digits
from cllm_lib import CLLM, Trainer
from cllm_lib.files import shipped, write_atomically
from cllm_lib.model import threads as model_threads
from cllm_lib.text import Corpus

COMMAND = "python -m benchmarks.busy"
PAGE = shipped("evidence", "pages/BUSY.md")
CHOSEN, ONE, TWO = "as the library chooses", "one", "two"
CASES = {  # size, threads of BLAS: steps in a turn, and the ratio to reach
    ("small", CHOSEN): (150, 2.0),
    ("large", CHOSEN): (8, 3.0),
    ("small", TWO): (150, None),
    ("large", ONE): (8, None),
}
CONFIGS = {"small": peers.SMALL, "large": peers.LARGE}
ROUNDS = 8


class Training:
    """A trainer that goes on and on; `threads` overrules what it would choose."""

    def __init__(self, size, threads):
        config = CONFIGS[size]
        self.batch = peers.batch_of(config)
        corpus = Corpus("random", np.tile(self.batch[0].ravel(), 2), [str(i) for i in range(config.vocab_size)])
        self.trainer = Trainer(CLLM(config, seed=0), corpus, learning_rate=peers.RATE, batch_size=peers.BATCH)
        if threads != CHOSEN:
            model_threads.MANY = 0  # never one of its own accord
            threadpool_limits(limits={ONE: 1, TWO: 2}[threads], user_api="blas")

    def step(self):
        """One step of training on one batch."""
        return self.trainer.step(*self.batch)


@contextlib.contextmanager
def busy_program():
    """A program that keeps one processor busy."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)  # until it runs
        yield
    finally:
        program.kill()
        program.wait()


def measure(size, threads, rounds, steps):
    """Seconds of steps, turn by turn: beside the program, and without it."""
    worker, busy, idle = Worker(Training, size, threads), [], []
    try:
        for _ in range(rounds):
            idle.append(worker.times(steps))
            with busy_program():
                busy.append(worker.times(steps))
    finally:
        worker.close()
    return ratio(busy, idle)


def row(size, threads, result, goal):
    """One line of the table."""
    times = [f"{1e3 * seconds:.1f}" for seconds in (result.peer, result.ours)]
    spread = f"{two_digits(result.low)} to {two_digits(result.high)}"
    reached = ["", ""] if goal is None else [f"{goal:g}", "reached" if result.value <= goal else "not reached"]
    return [size, threads, *times, two_digits(result.value), spread, *reached]


def page(conditions, rows):
    """The whole of BUSY.md."""
    how = (
        f"Written by `{COMMAND}`, a part of `make bench`. A step of `Trainer`, 4 x 32 tokens, 2 layers, float32; small: "
        f"V = {peers.SMALL.vocab_size}, d = {peers.SMALL.d_model}; large: V = {peers.LARGE.vocab_size:,}, d = {peers.LARGE.d_model}. "
        f"Below {model_threads.MANY:,} parameters the library computes in one thread, above that in as many as there are; the other lines "
        "show what that decides. Beside the steps one program keeps one processor busy. Turns with and without it alternate; a ratio is "
        "the median over the rounds, with its quartiles."
    )
    header = ["size", "threads", "idle, ms a step", "busy, ms", "ratio", "quartiles", "to reach", ""]
    return "\n\n".join(["# A step beside a busy program", how, *conditions, "\n".join(table(header, rows))]) + "\n"


def main(arguments=None):
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two rounds of two steps of the small size; print the page, write nothing")
    options = parser.parse_args(arguments)
    found = f"Before the run other programs kept the processors {psutil.cpu_percent(interval=3):.0f} % busy."
    conditions, rows = [describe_machine(), describe_settings({}), found], []
    for (size, threads), (steps, goal) in list(CASES.items())[: 1 if options.tiny else None]:
        say(f"{size}, threads: {threads}")
        rows.append(row(size, threads, measure(size, threads, *((2, 2) if options.tiny else (ROUNDS, steps))), goal))
    written = page(conditions, rows)
    say(written)
    if not options.tiny:
        write_atomically(PAGE, written.encode("utf-8"))


if __name__ == "__main__":
    from benchmarks import busy  # under this name the other process finds its functions

    busy.main()
