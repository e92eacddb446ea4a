"""Every way to judge "fewer epochs" for the pull by features: `python -m benchmarks.multiverse`.

Writes MULTIVERSE.md and evidence/measured/multiverse.json. Some 3,500 runs, an hour on two processors; finished ones are kept
in .cache/multiverse: stop it as you like, it goes on where it was. `--tiny` tries the whole path in seconds and writes nothing.
"""

import argparse
import functools
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.run import describe_machine, say, table
from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.claims import multiverse
from cllm_lib.claims.epochs import BATCH, HELD_OUT, MODEL, RATES, SIDES, epochs_to
from cllm_lib.claims.multiverse import CONTROLS, OURS, RULES, arm
from cllm_lib.experiments.runs import run
from cllm_lib.files import shipped, write_atomically
from cllm_lib.training.regularizers import LaplacianRegularizer

COMMAND = "python -m benchmarks.multiverse"
PAGE = shipped("evidence", "pages/MULTIVERSE.md")
RESULTS = shipped("evidence", "measured/multiverse.json")
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "multiverse"


@dataclass(frozen=True)
class Text:
    """A text, how many epochs a run has, and the steps between two evaluations."""

    sources: object
    horizon: int
    between: int
    vocab_size: int = 10_000


TEXTS = {
    "sayings": Text("sayings", 20, 3),
    "prose": Text("prose", 10, 12),
    "patterns": Text("patterns", 6, 25),
    "python-docs, 1,000 words": Text("python-docs", 1, 40, 1_000),
    "the five documents": Text([shipped("evidence", f"documents/{number:03}.txt") for number in range(5)], 12, 12),
}
STRENGTHS = (1_000.0, 10_000.0)
TARGETS = {"2 of 10": 0.2, "5 of 10": 0.5, "8 of 10": 0.8}  # a loss that so many tuning seeds of the plain model get to
TUNING_SEEDS, JUDGING_SEEDS = tuple(range(100, 110)), (*range(3, 13), *range(20, 40))
CHOICES = ("text", "strength", "control", "target", "rates by", "seeds")
ARMS = {arm(kind, strength): (kind, strength) for kind in (*CONTROLS, OURS) for strength in STRENGTHS}


def curve(text, variant, seed):
    """Held-out loss at each evaluation of one run, as (epoch, loss) pairs."""
    (kind, strength), rate = ARMS[variant[0]], variant[1]
    one = TEXTS[text]
    corpus = load_corpus(one.sources, one.vocab_size, validation_fraction=HELD_OUT)
    similarities = None if kind == "plain" else SIDES[f"pull, {kind}"].similarities(corpus.vocabulary)
    pull = None if similarities is None else LaplacianRegularizer(similarities, strength)
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed)
    settings = dict(learning_rate=rate, batch_size=BATCH, seed=seed, evaluate_every=one.between, regularizer=pull)
    trainer = Trainer(model, corpus, **settings, stop_when_not_finite=False)
    trainer.evaluate()
    with np.errstate(all="ignore"):  # a rate that is too high may blow up: then it does not arrive
        trainer.fit(epochs=one.horizon)
    return [[step / trainer.batches_per_epoch, round(loss, 6)] for step, loss in trainer.history.validation_losses.items()]


def targets_of(plain):
    """The losses to reach: for each share of the plain model's tuning seeds, the lowest that so many get to at its best rate.

    Parameters
    ----------
    plain : dict of float to list
        By rate, the curves of the tuning seeds.

    Returns
    -------
    dict of str to float
    """
    lowest = {rate: [np.nanmin([loss for _, loss in one]) for one in curves] for rate, curves in plain.items()}
    return {
        name: float(min(np.quantile(found, share, method="inverted_cdf") for found in lowest.values())) for name, share in TARGETS.items()
    }


def arrivals(curves, targets, horizon):
    """Epochs of each run until each target, none counted longer than the horizon, and its lowest loss."""
    turned = [tuple(zip(*one, strict=True)) for one in curves]
    found = {name: [round(min(epochs_to(target, *one), horizon), 4) for one in turned] for name, target in targets.items()}
    return found | {"lowest": [float(np.nanmin(losses)) for _, losses in turned]}


def measure(text, arms=ARMS, rates=RATES, tuning=TUNING_SEEDS, judging=JUDGING_SEEDS, cache=CACHE, n_jobs=-1):
    """Tune every side on one text, then judge each at every rate that some rule and target choose.

    Returns
    -------
    targets : dict of str to float
    runs : dict of str to dict
        By side: "tuning" and "judging", each by rate as :func:`arrivals` gives it.
    """
    ask = functools.partial(run, functools.partial(curve, text), n_jobs=n_jobs, cache=cache, progress=True)
    tuned = ask(list(itertools.product(arms, rates)), tuning)
    targets, horizon = targets_of({rate: tuned["plain", rate] for rate in rates}), TEXTS[text].horizon
    found = {side: {"tuning": {f"{rate:g}": arrivals(tuned[side, rate], targets, horizon) for rate in rates}} for side in arms}
    chosen = [
        (side, float(rate))
        for side in arms
        for rate in sorted({multiverse.chosen_rate(found[side]["tuning"], *how) for how in itertools.product(targets, RULES)}, key=float)
    ]
    judged = ask(chosen, judging)
    for side, rate in chosen:
        found[side].setdefault("judging", {})[f"{rate:g}"] = arrivals(judged[side, rate], targets, horizon)
    return targets, found


def page(ways, kept):
    """The whole of MULTIVERSE.md."""
    options = {name: list(dict.fromkeys(way.choices[name] for way in ways)) for name in CHOICES}
    rows = [
        [name, option, *(f"{share[side]:.0%}" for side in ("features", "neither", "control"))]
        for (name, option), share in multiverse.shares(ways).items()
    ]
    means = np.array([way.difference.mean for way in ways])
    how = (
        f"Written by `{COMMAND}`, with every number in evidence/measured/{RESULTS.name}. {kept['conditions']}\n\n"
        "Does the pull by features come sooner to a held-out loss? Each way is one answer: ten pairs of runs, epochs of the pull by "
        "features minus those of the control, in shares of the horizon, and Student's interval of 95 %, **corrected for nothing: this "
        "page explores, and no verdict rests on it**. The choices: "
        + "; ".join(f"{name}: {', '.join(found)}" for name, found in options.items())
        + f". Target: the lowest loss that so many of the plain model's {len(TUNING_SEEDS)} tuning seeds get to at its best rate. Rates: "
        f"each side takes that of {', '.join(f'{rate:g}' for rate in RATES)} which is best by the rule on tuning seeds."
    )
    told = (
        f"Of {len(ways):,} ways, {(means < 0).mean():.0%} have the features sooner in the mean and {(means > 0).mean():.0%} the control; "
        f"the means go from {means.min():+.2f} to {means.max():+.2f} horizons. A way favours a side where its whole interval is there."
    )
    texts = kept["texts"].items()
    losses = [[text, *(f"{loss:.3f}" for loss in one["targets"].values()), f"{one['horizon']}"] for text, one in texts]
    parts = ["# The multiverse of fewer epochs", how, told, "\n".join(table(["choice", "option", "features", "neither", "control"], rows))]
    parts += ["## Targets, in nats", "\n".join(table(["text", *TARGETS, "horizon, epochs"], losses))]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Measure, and write page and numbers at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="try the whole path; write nothing")
    if parser.parse_args(arguments).tiny:
        targets, found = measure("sayings", ["plain", arm(OURS, STRENGTHS[0])], RATES[2:4], TUNING_SEEDS[:3], JUDGING_SEEDS[:2], None, 1)
        say(f"targets {targets}; rates judged: { {side: list(one['judging']) for side, one in found.items()} }")
        return
    started, texts, runs = time.monotonic(), {}, {}
    for text, one in TEXTS.items():
        targets, runs[text] = measure(text)
        texts[text] = {"horizon": one.horizon, "targets": targets}
        say(f"{text}: {time.monotonic() - started:.0f} s so far")
    kept = {"command": COMMAND, "conditions": describe_machine(), "model": MODEL, "choices": CHOICES, "texts": texts}
    kept |= {"strengths": STRENGTHS, "targets": list(TARGETS), "tuning seeds": TUNING_SEEDS, "judging seeds": JUDGING_SEEDS, "runs": runs}
    write_atomically(RESULTS, (json.dumps(kept, separators=(",", ":")) + "\n").encode("utf-8"))
    multiverse.ways.cache_clear()
    write_atomically(PAGE, page(multiverse.ways(), kept).encode("utf-8"))
    say(f"Written to evidence/pages/{PAGE.name} and evidence/measured/{RESULTS.name}.")


if __name__ == "__main__":
    main()
