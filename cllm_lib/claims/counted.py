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
LOGGED_GRADIENTS = {"embed count": 5234, "attn count": 2048, "embed max": 1.23e-2, "embed avg": 3.45e-4, "attn max": 8.76e-3}


@experiment(variants=["uniform"], seeds=SEEDS, fast=None)
def counted_gradients(variant, seed):
    """The gradients that document 003's log shows of batch 1, of a sound model of the documented size, with their count."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(**DOCUMENTED), seed=seed, init=INITIALISERS[variant])
    first = np.random.default_rng(seed).permutation(len(corpus.tokens) // LENGTH - 1)[:BATCH]
    model.loss_and_gradients(*(rows[first] for rows in windows(corpus.tokens, LENGTH)))
    counts = {
        name: float((np.abs(model.gradients[WEIGHTS[name]].ravel()[:PRINTED_GRADIENTS]) > COUNTED).sum()) for name in ("embed", "attn")
    }
    printed = {name: size for name, size in printed_magnitudes(model).items() if name.startswith("gradient")}
    return printed | {f"gradient {name} count": count for name, count in counts.items()}


def counts(name):
    """The printed count of gradients that are not zero, seed by seed."""
    return values("counted_gradients", "uniform", f"gradient {name} count")


PRINTED = (
    "What document 003 expects to be printed at batch 1, of a sound model of the documented size, weights drawn as the program did later."
)
THOUSANDS = above("printed count of gradients of the embedding that are not zero, of 10,000", 1_000.0, 0.0, "gradients")
ATTENTION = above("printed count of gradients of attention that are not zero, of 10,000", 0.0, 1.0, "gradients")


@measured(
    "18",
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
    "18",
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


def farthest(printed, logged):
    """By which factor the printed number that is farthest from its logged one is off, seed by seed; `printed` by the same names."""
    return np.max([np.exp(np.abs(np.log(np.maximum(printed[name], 1e-30) / logged[name]))) for name in logged], axis=0)


NO_MORE = 2.0  # times
OFF = dict(threshold=NO_MORE, margin=0.0, unit="times", kind="number with a long tail")
WEIGHTS_OFF = {variant: below(f"printed weights, {variant}: the one farthest from the log", **OFF) for variant in INITIALISERS}
GRADIENTS_OFF = below("printed gradients: the one farthest from the log", **OFF)
LOG = dict(section="Expected Results, Console output")


@measured(
    "18",
    "Weight magnitudes: embed=0.012345, attn=0.008765, ff=0.015432",
    "003",
    **LOG,
    experiment="The same numbers of a sound model of the documented size, weights drawn in two ways. Met: none off by more than twofold.",
    change_our_mind="A way to draw weights that is usual at this size and gives these three numbers.",
    asks=WEIGHTS_OFF.values(),
    about="a log of what was expected; 0.008765 lies below the range that 002 expects, from 0.01 on",
)
def weights_of_the_log():
    """Three means of a hundred weights each."""
    found = {}
    for variant, asked in WEIGHTS_OFF.items():
        printed = {name: values("magnitudes", variant, f"weight {name}, batch 1") for name in LOGGED_WEIGHTS}
        found[variant] = asked(farthest(printed, LOGGED_WEIGHTS))
    told = "; ".join(f"weights {variant}: the number farthest from the log is {one:.1f} times off" for variant, one in found.items())
    near = [variant for variant, one in found.items() if one.answer]
    judged = verdict(every(one.answer for one in found.values()), f"the weights are drawn {near[0]}" if near else None)
    return told, judged, list(found.values())


@measured(
    "18",
    "Gradients: embed=5234 (max=1.23e-02, avg=3.45e-04), attn=2048 (max=8.76e-03)",
    "003",
    **LOG,
    experiment=f"{PRINTED} Met: no number off by more than twofold.",
    change_our_mind="A sound model that prints such counts: half of the embedding's gradients zero, four fifths of attention's.",
    asks=[GRADIENTS_OFF],
    about="a log of what was expected",
)
def gradients_of_the_log():
    """Two counts, two maxima and a mean."""
    printed = {name: values("counted_gradients", "uniform", f"gradient {name}") for name in LOGGED_GRADIENTS}
    off = GRADIENTS_OFF(farthest(printed, LOGGED_GRADIENTS))
    seen = [described(f"printed count, {name}", counts(name), "gradients") for name in ("embed", "attn")]
    found = (
        f"counted are {seen[0]:,.0f} of the embedding and {seen[1]:,.0f} of attention; the largest gradient of queries is "
        f"{np.exp(np.log(printed['attn max']).mean()):.1e} in the (geometric) mean; the number farthest off is so {off:,.0f} times"
    )
    return found, verdict(off.answer), [off, *seen]
