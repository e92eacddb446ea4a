"""Ways to tell a model where a token stands, ranked: `python -m benchmarks.positions` writes POSITIONS.md.

Every way is trained with ten seeds on two tasks made of random letters and on a text, always on sequences of 16, and judged
at 16 and at 64. A few minutes on two processors. `--tiny` tries the whole path in seconds and writes nothing.
"""

import argparse
import functools
import json
import time

import numpy as np

from benchmarks.run import describe_machine, say, table
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.experiments.intervals import interval
from cllm_lib.experiments.runs import run
from cllm_lib.files import shipped, write_atomically
from cllm_lib.lattice.biases import ulam_distances
from cllm_lib.model.attention import DistanceBiasAttention
from cllm_lib.model.positions import POSITIONS
from cllm_lib.text.corpora import Corpus, windows
from cllm_lib.text.tasks import LastFollower, StepsBack
from cllm_lib.training.schedules import cosine

COMMAND = "python -m benchmarks.positions"
PAGE = shipped("evidence", "pages/POSITIONS.md")
RESULTS = shipped("evidence", "measured/positions.json")
SEEDS = tuple(range(10))
SHORT, LONG = 16, 64
FIXED, ULAM = "distance_bias, slopes fixed", "distance_bias, Ulam distance"
VARIANTS = (*POSITIONS, FIXED, ULAM)
MODEL = dict(d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=LONG)
TRAINING = dict(learning_rate=5e-3, batch_size=16)
STEPS = {"steps back": 300, "last follower": 600, "prose": 200}
MEASURES = tuple(STEPS)
QUESTIONS = dict(count=500)  # sequences that a trained model is asked about
ASKED_SEED = 1


class ShortText(Corpus):
    """A corpus cut into sequences of 16, however many the model could read."""

    def batches(self, batch_size, seq_len, generator):
        """As :meth:`cllm_lib.text.corpora.Corpus.batches`."""
        return super().batches(batch_size, SHORT, generator)

    def batches_per_epoch(self, batch_size, seq_len):
        """As :meth:`cllm_lib.text.corpora.Corpus.batches_per_epoch`."""
        return super().batches_per_epoch(batch_size, SHORT)


def build(variant, vocab_size, seed, **sizes):
    """The model of one variant: a name of positions, or distance bias with other slopes or distances."""
    attention = {FIXED: {"learned": False}, ULAM: {"distances": ulam_distances(LONG)}}.get(variant)
    config = CLLMConfig(vocab_size, **(MODEL | sizes), positions="none" if attention else variant)
    return CLLM(config, seed=seed, attention=DistanceBiasAttention(**attention) if attention else None)


def train(model, corpus, steps, seed):
    """The same for every variant: Adam, down a cosine."""
    Trainer(model, corpus, **TRAINING, seed=seed, schedule=cosine(steps)).fit(steps=steps)


def measure_task(task, steps, variant, seed):
    """Accuracy at the length of training and at four times that.

    Returns
    -------
    list of two float
    """
    model = build(variant, len(task.vocabulary), seed, tie_embeddings=False)
    train(model, task, steps, seed)
    return [task.accuracy(model, np.random.default_rng(ASKED_SEED), **QUESTIONS, length=length) for length in (SHORT, LONG)]


def measure_text(steps, variant, seed):
    """Held-out loss in nats, the same words cut into sequences of 16 and of 64.

    Returns
    -------
    list of two float
    """
    corpus = text()
    model = build(variant, len(corpus.vocabulary), seed)
    train(model, corpus, steps, seed)
    held_out = corpus.validation_tokens[: (corpus.n_validation - 1) // LONG * LONG + 1]
    return [model.loss(*windows(held_out, length)) for length in (SHORT, LONG)]


@functools.cache
def text():
    """The text, a fifth of it held out."""
    corpus = load_corpus("prose", validation_fraction=0.2)
    return ShortText(corpus.name, corpus.tokens, corpus.vocabulary, n_validation=corpus.n_validation)


def tasks():
    """The two tasks by name."""
    return {task.name: task for task in (StepsBack(seq_len=SHORT), LastFollower(seq_len=SHORT))}


def measure(measure_name, steps, variants=VARIANTS, seeds=SEEDS, n_jobs=2, cache=None):
    """One table: for each variant, two numbers a seed; with a cache as in :func:`cllm_lib.experiments.runs.run`."""
    if measure_name == "prose":
        one = functools.partial(measure_text, steps)
    else:
        one = functools.partial(measure_task, tasks()[measure_name], steps)
    return run(one, variants, seeds, n_jobs=n_jobs, cache=cache, progress=True)


def levels():
    """What can be counted before any training."""
    counted = {}
    for name, task in tasks().items():
        heap = [task.accuracy_without_order(np.random.default_rng(ASKED_SEED), 20_000, length) for length in (SHORT, LONG)]
        counted[name] = {"chance": 1 / task.n_letters, "without order": heap, "best": 1.0}
    return counted


def ranking(rows, lower_is_better=False):
    """Variants from best to worst by the mean at the longer length, with both intervals.

    Returns
    -------
    list of (str, Interval, Interval)
    """
    found = [(variant, *(interval(column) for column in zip(*pairs, strict=True))) for variant, pairs in rows.items()]
    return sorted(found, key=lambda row: row[2].mean * (1 if lower_is_better else -1))


def section(name, rows, steps, counted):
    """One table of the page."""
    is_text = name == "prose"
    digits = ".3f" if is_text else ".2f"
    cells = [[variant, format(short, digits), format(long, digits)] for variant, short, long in ranking(rows, is_text)]
    what = "held-out loss in nats" if is_text else "accuracy"
    lines = table([f"{name}: {what}", f"length {SHORT}, as trained", f"length {LONG}"], cells)
    known = counted.get(name)
    heap = (
        f" Chance {known['chance']:.2f}; whoever knows what came before, but not in what order, reaches "
        f"{known['without order'][0]:.2f} at length {SHORT} and {known['without order'][1]:.2f} at {LONG}; every question has its answer."
        if known
        else ""
    )
    return "\n".join([f"After {steps} steps.{heap}", "", *lines])


def page(rows, steps, counted, seeds, minutes):
    """The whole of POSITIONS.md."""
    sizes = ", ".join(f"{name} {value}" for name, value in MODEL.items())
    how = (
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name}. "
        f"Mean over {len(seeds)} seeds and its 95 % interval, best at length "
        f"{LONG} first. Model: {sizes}, float64, output matrix of its own on the tasks and tied on the text; Adam at "
        f"{TRAINING['learning_rate']:g} down a cosine, batches of {TRAINING['batch_size']} sequences of {SHORT}. Fixed tables are added in "
        f"rows of one length. Learned rows beyond {SHORT} are as they were drawn. Each interval is for itself: what one reads out of many "
        "of them is exploration; the comparisons that a verdict rests on are corrected, in evidence/table.csv."
    )
    sections = [section(name, rows[name], steps[name], counted) for name in rows]
    return "\n\n".join(["# Ways to tell a model where a token stands", how, *sections, f"{describe_machine()} {minutes}"]) + "\n"


def main(arguments=None):
    """Measure everything and write page and numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="two seeds, a few steps; print the page, write nothing")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    options = parser.parse_args(arguments)
    seeds, steps = (SEEDS[:2], dict.fromkeys(STEPS, 3)) if options.tiny else (SEEDS, STEPS)
    started = time.monotonic()
    rows = {name: measure(name, steps[name], seeds=seeds, n_jobs=options.jobs) for name in MEASURES}
    counted = levels()
    written = page(rows, steps, counted, seeds, f"The run took {(time.monotonic() - started) / 60:.0f} minutes.")
    if options.tiny:
        say(written)
        return
    conditions = {
        "command": COMMAND,
        "machine": describe_machine(),
        "model": MODEL,
        "training": TRAINING | {"optimizer": "adam", "schedule": "cosine"},
        "steps": steps,
        "seeds": seeds,
        "lengths": [SHORT, LONG],
        "asked": QUESTIONS | {"seed": ASKED_SEED},
        "tasks": {name: repr(task) for name, task in tasks().items()},
        "levels": counted,
    }
    write_atomically(RESULTS, (json.dumps(conditions | {"rows": rows}, indent=1) + "\n").encode("utf-8"))
    write_atomically(PAGE, written.encode("utf-8"))
    say(f"\nWritten to evidence/pages/{PAGE.name} and evidence/measured/{RESULTS.name}.")


if __name__ == "__main__":
    from benchmarks import positions  # under this name the other processes find its functions

    positions.main()
