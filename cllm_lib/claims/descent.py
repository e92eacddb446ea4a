"""How weights move: plain gradient descent against Adam, and the document's lines of Adam against the paper's."""

import math

import numpy as np

from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS, change_of, trained
from cllm_lib.model.transformer import CLLM

RATES_OF = {"sgd": (1e-3, 1e-2, 0.1, 1.0), "adam": (1e-4, 1e-3, 1e-2, 0.1)}
OPTIMIZERS = {f"{name} {rate:g}": (name, rate) for name, rates in RATES_OF.items() for rate in rates}


@experiment(variants=OPTIMIZERS, seeds=SEEDS)
def optimizers(variant, seed):
    """A sound model of the incident's small size under either rule: loss of the text before and after ten epochs."""
    name, rate = OPTIMIZERS[variant]
    return trained(CLLM, seed, name, rate)


FALLS = below("change at rate 0.001", 0.0, 0.01, "nats")
BETTER = below("Adam minus plain gradient descent, best of four rates each", 0.0, 0.05, "nats")


@measured(
    "18",
    "Simple SGD ... No momentum, no Adam - This is fine for testing, but suboptimal",
    "001",
    section="8. Optimizer",
    experiment="A small sound model, ten epochs; four rates for each rule, and each seed's best of the four.",
    change_our_mind="A loss that does not fall at the program's rate, or Adam's best no lower than plain gradient descent's.",
    asks=[FALLS, BETTER],
)
def plain_descent():
    """Both halves of the sentence."""
    falls = FALLS(change_of("optimizers", "sgd 0.001"))
    best = {rule: np.min([values("optimizers", f"{rule} {rate:g}", "after") for rate in rates], axis=0) for rule, rates in RATES_OF.items()}
    better = BETTER(best["adam"] - best["sgd"])
    found = (
        f"at the program's rate of 0.001 the loss changes by {falls:.2f} nats; with the best of four rates each, Adam's end minus "
        f"that of plain gradient descent is {better:.2f}"
    )
    return found, verdict(every([falls.answer, better.answer])), [falls, better]


def adam_of_the_document(gradients, rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):  # (T, n) -> (n,)
    """Document 004's lines, one by one: where parameters that start at 0 end up."""
    p, m, v = (np.zeros_like(gradients[0]) for _ in range(3))
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        rate_now = rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        p = p - rate_now * m / (np.sqrt(v) + eps)
    return p


def adam_of_the_paper(gradients, rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):  # (T, n) -> (n,)
    """Kingma and Ba 2015, algorithm 1: both moments corrected, eps beside the corrected root."""
    p, m, v = (np.zeros_like(gradients[0]) for _ in range(3))
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p


@measured(
    "18",
    "Implements Adam optimizer (Kingma & Ba, 2014) ... Applies bias correction for moments",
    "004",
    section="Adam Optimizer with Parameter Updates",
    experiment="The document's lines against algorithm 1 of the paper: 100 random gradients, sizes 1 to 1e-6, with and without eps.",
    change_our_mind="A difference without eps, or one with it that is larger than eps against the gradient.",
)
def adam_formula():
    """Equal without eps; eps stands beside the uncorrected root, as in the paper's own shorter form."""
    steps = np.random.default_rng(0).standard_normal((100, 7))
    gap_without, gaps = 0.0, {}
    for size in (1.0, 1e-3, 1e-6):
        ours, theirs = (rule(size * steps, eps=0.0) for rule in (adam_of_the_document, adam_of_the_paper))
        gap_without = max(gap_without, np.abs(ours / theirs - 1).max())
        ours, theirs = (rule(size * steps) for rule in (adam_of_the_document, adam_of_the_paper))
        gaps[size] = np.abs(ours / theirs - 1).max()
    found = (
        f"without eps the two differ by {'rounding alone' if gap_without < 1e-12 else f'{gap_without:.1g}'}; with it by "
        + ", ".join(f"{share:.1g} at gradients of {size:g}" for size, share in gaps.items())
        + ": eps stands beside the uncorrected root, as in the paper's shorter form at the end of its section 2"
    )
    effects = [exact("largest relative difference without eps", gap_without, ""), exact("at gradients of 1e-06, with eps", gaps[1e-6], "")]
    return found, verdict(gap_without < 1e-12), effects
