"""The log that document 003 expects, its lines on weights and gradients, against what such a printout shows."""

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.magnitudes import COUNTED, INITIALISERS, PRINTED_GRADIENTS, WEIGHTS, printed_magnitudes
from cllm_lib.claims.questions import above, below, described, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, DOCUMENTED, LENGTH, SEEDS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus, windows

LOGGED_WEIGHTS = {"embed": 0.012345, "attn": 0.008765, "ff": 0.015432}
LOGGED_GRADIENTS = {"embed": 5234, "attn": 2048, "embed max": 1.23e-2, "embed avg": 3.45e-4, "attn max": 8.76e-3}


@experiment(variants=INITIALISERS, seeds=SEEDS, fast=None)
def counted_gradients(variant, seed):
    """What document 003's log shows of batch 1, of a sound model of the documented size: weights, and gradients with their count."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(**DOCUMENTED), seed=seed, init=INITIALISERS[variant])
    first = np.random.default_rng(seed).permutation(len(corpus.tokens) // LENGTH - 1)[:BATCH]
    model.loss_and_gradients(*(rows[first] for rows in windows(corpus.tokens, LENGTH)))
    counts = {
        name: float((np.abs(model.gradients[WEIGHTS[name]].ravel()[:PRINTED_GRADIENTS]) > COUNTED).sum()) for name in ("embed", "attn")
    }
    printed = printed_magnitudes(model)
    return printed | {f"gradient {name} count": count for name, count in counts.items()}


def counts(name):
    """The printed count of gradients that are not zero, seed by seed: the least over the ways to draw the weights."""
    return np.min([values("counted_gradients", variant, f"gradient {name} count") for variant in INITIALISERS], axis=0)


PRINTED = "What document 003 expects to be printed at batch 1, of a sound model of the documented size, weights drawn in two ways."
THOUSANDS = above("printed count of gradients of the embedding that are not zero, of 10,000", 1_000.0, 100.0, "gradients")
ATTENTION = above("printed count of gradients of attention that are not zero, of 10,000", 0.0, 1.0, "gradients")


@measured(
    "10",
    "Gradients are non-zero (thousands of them)",
    "003",
    section="Success criteria",
    experiment=PRINTED,
    change_our_mind="A sound model in which the printout counts fewer than a thousand.",
    asks=[THOUSANDS],
    about="as a sign of success",
)
def thousands_of_gradients():
    """Of the ten thousand that are looked at."""
    one = THOUSANDS(counts("embed"))
    return f"of the {PRINTED_GRADIENTS:,} gradients of the embedding that are looked at, {one:,.0f} are counted", verdict(one.answer), [one]


@measured(
    "10",
    "Attention gradients are non-zero (NEW!)",
    "003",
    section="Success criteria",
    experiment=PRINTED,
    change_our_mind="A sound model in which the printout counts none.",
    asks=[ATTENTION],
    about="as a sign of success",
)
def gradients_of_attention():
    """Of the ten thousand that are looked at."""
    one = ATTENTION(counts("attn"))
    return f"of the {PRINTED_GRADIENTS:,} gradients of queries that are looked at, {one:,.0f} are counted", verdict(one.answer), [one]


def farthest(logged, what):
    """By which factor the printed number that is farthest from its logged one is off, seed by seed; for each way to draw weights."""
    return {
        variant: np.max(
            [
                np.exp(np.abs(np.log(np.maximum(values("counted_gradients", variant, f"{what} {name}"), 1e-30) / number)))
                for name, number in logged.items()
            ],
            axis=0,
        )
        for variant in INITIALISERS
    }


TWICE = {
    (what, variant): below(f"printed {what}s, weights {variant}: farthest from the log", 2.0, 0.1, "times", "number with a long tail")
    for what in ("weight", "gradient")
    for variant in INITIALISERS
}
DRAWN = {"uniform": "weights are drawn as the program drew them later", "scaled": "weights are drawn as in this workbook"}


def _against_the_log(what, logged):
    found = {variant: TWICE[what, variant](off) for variant, off in farthest(logged, what).items()}
    told = "; ".join(f"weights {variant}: the number farthest from the log is {one:.1f} times off" for variant, one in found.items())
    near = [DRAWN[variant] for variant, one in found.items() if one.answer]
    return told, verdict(every(one.answer for one in found.values()), near[0] if near else None), list(found.values())


@measured(
    "10",
    "Weight magnitudes: embed=0.012345, attn=0.008765, ff=0.015432",
    "003",
    section="Expected Results, Console output",
    experiment=f"{PRINTED} Met: no number off by more than a factor of two.",
    change_our_mind="A way to draw weights that is usual at this size and gives these three numbers.",
    asks=[TWICE["weight", variant] for variant in INITIALISERS],
    about="a log of what was expected; 0.008765 lies below the range that 002 expects, from 0.01 on",
)
def weights_of_the_log():
    """Three means of a hundred weights each."""
    return _against_the_log("weight", LOGGED_WEIGHTS)


@measured(
    "10",
    "Gradients: embed=5234 (max=1.23e-02, avg=3.45e-04), attn=2048 (max=8.76e-03)",
    "003",
    section="Expected Results, Console output",
    experiment=f"{PRINTED} Met: no number off by more than a factor of two.",
    change_our_mind="A sound model that prints such counts: half of the embedding's gradients zero, four fifths of attention's.",
    asks=[TWICE["gradient", variant] for variant in INITIALISERS],
    about="a log of what was expected",
)
def gradients_of_the_log():
    """Two counts, two maxima and a mean."""
    logged = {name if " " in name else f"{name} count": number for name, number in LOGGED_GRADIENTS.items()}
    told, judged, effects = _against_the_log("gradient", logged)
    seen = [described(f"printed count, {name}", counts(name), "gradients") for name in ("embed", "attn")]
    return f"{told}; counted are {seen[0]:,.0f} of the embedding and {seen[1]:,.0f} of attention", judged, [*effects, *seen]
