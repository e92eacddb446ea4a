"""`make bench`: prints a table of ratios and writes it to benchmarks/RESULTS.md."""

import importlib.util
import os
import platform
import sys
import time
from pathlib import Path

THREADS = 2
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = str(THREADS)  # before anyone imports NumPy; the workers inherit it
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])  # JAX takes as many threads as it sees processors

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from benchmarks import growth, memory, peers  # noqa: E402
from benchmarks.compare import Missing, Ratio, Worker, alternate, ratio  # noqa: E402
from benchmarks.peers import LARGE, SMALL  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")
ALLOWED_LOSS, ALLOWED_STEP = 1e-6, 1e-3  # relative; float32 rounds to 6e-8, and Adam makes much of small gradients

# Work, peer, and the ratio to reach.
PAIRS = {
    "large": [
        ("forward + backward + Adam", "PyTorch, fused Adam", 1.0),
        ("forward + backward + Adam", "PyTorch, default Adam", 0.55),
        ("forward + backward + Adam", "JAX, compiled", 1.15),
        ("forward + backward", "matrix products alone", 1.25),
    ],
    "small": [("forward + backward + Adam", "PyTorch, fused Adam", 0.35), ("forward + backward + Adam", "JAX, compiled", 0.75)],
}
BUILDERS = {
    "forward + backward + Adam": peers.Ours,
    "forward + backward": peers.forward_backward_only,
    "matrix products alone": peers.Products,
    "PyTorch, fused Adam": peers.pytorch_fused,
    "PyTorch, default Adam": peers.pytorch_default,
    "JAX, compiled": peers.jax_compiled,
}
SIZES = {"large": LARGE, "small": SMALL}
TURNS = {"large": dict(rounds=20, steps=3), "small": dict(rounds=40, steps=15)}
MEMORY_TO_REACH, SLOPE_TO_REACH = 0.6, 0.15


def say(text):
    print(text, flush=True)


def check_same_work(config, workers):
    """Stop unless every peer computes our loss and makes our step; return what was found, in words."""
    start, ours = peers.initial_weights(config), workers["forward + backward + Adam"]
    loss, parameters = ours.call("step"), ours.call("parameters")
    found = []
    for name, worker in workers.items():
        if worker.missing or name not in ("PyTorch, fused Adam", "PyTorch, default Adam", "JAX, compiled"):
            continue
        apart = abs(worker.call("step") / loss - 1.0), peers.agreement(parameters, worker.call("parameters"), start)
        if not (apart[0] <= ALLOWED_LOSS and apart[1] <= ALLOWED_STEP):
            raise SystemExit(f"{name} computes something else: loss apart by {apart[0]:.1e}, step by {apart[1]:.1e}. Nothing was timed.")
        found.append(f"{name}: loss {apart[0]:.0e}, step {apart[1]:.0e}")
    return found


def compare_speed(label):
    """Rows of one size: (work, peer, ratio or why it is missing, what to reach); and how closely the peers agree."""
    config, pairs = SIZES[label], PAIRS[label]
    names = dict.fromkeys(name for work, peer, _ in pairs for name in (work, peer))
    say(f"{label} size: {', '.join(names)}")
    workers = {name: Worker(BUILDERS[name], config) for name in names}
    found = check_same_work(config, workers)
    times = alternate(workers, **TURNS[label], report=lambda done: print(f"\r  round {done} of {TURNS[label]['rounds']}", end="", flush=True))
    print()
    for worker in workers.values():
        worker.close()
    return [(work, peer, ratio(times[work], times[peer]), target) for work, peer, target in pairs], found
