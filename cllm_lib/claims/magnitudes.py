"""What document 002 has printed: sizes of weights and gradients, and the ranges they should lie in."""

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import above
from cllm_lib.claims.registry import experiment, runs, values
from cllm_lib.claims.settings import BATCH, DOCUMENTED, SEEDS
from cllm_lib.defects.whole_program import uniform_weights
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

MOMENTS = (1, 5, 10)  # batches: document 002 prints at the first and at every fifth
INITIALISERS = {"uniform": uniform_weights, "scaled": scaled_normal}  # the program's after its fixes, and the workbook's
PRINTED_WEIGHTS, PRINTED_GRADIENTS, COUNTED = 100, 10_000, 1e-10  # document 002 looks at so many
WEIGHTS = {"embed": "embedding", "attn": "layers.0.attention.query_weight", "ff": "layers.0.feed_forward.expand_weight"}


def printed_magnitudes(model):
    """The numbers that document 002 has printed, from its samples of layer 0: means of weights, maxima and mean of gradients.

    Returns
    -------
    dict of str to float
        Weights that the model has not are left out; gradients that it has not are 0, as the document's counters are.
    """
    weights = {
        f"weight {name}": float(np.abs(model.parameters[tensor].ravel()[:PRINTED_WEIGHTS]).mean())
        for name, tensor in WEIGHTS.items()
        if tensor in model.parameters
    }
    gradients = {name: model.gradients.get(WEIGHTS[name], np.zeros(1)) for name in ("embed", "attn")}
    sizes = {name: np.abs(gradient.ravel()[:PRINTED_GRADIENTS]) for name, gradient in gradients.items()}
    counted = sizes["embed"][sizes["embed"] > COUNTED]
    largest = {f"gradient {name} max": float(size.max()) for name, size in sizes.items()}
    return weights | largest | {"gradient embed avg": float(counted.mean()) if len(counted) else 0.0}


@experiment(variants=INITIALISERS, seeds=SEEDS, fast=None)
def magnitudes(variant, seed):
    """What document 002 prints, of a sound model of the documented size, at three moments of training."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(**DOCUMENTED), seed=seed, init=INITIALISERS[variant])
    found = {}

    def note(trainer):
        if trainer.steps in MOMENTS:
            found.update({f"{name}, batch {trainer.steps}": size for name, size in printed_magnitudes(model).items()})

    Trainer(model, corpus, learning_rate=1e-4, batch_size=BATCH, seed=seed).fit(steps=max(MOMENTS), callbacks=[note])
    return found


MOST = 0.9


def _span(low, high):
    return f"from {low:g} to {high:g}" if high < np.inf else f"from {low:g} on"


RANGES = {
    (kind, low, high): above(f"printed {kind}s {_span(low, high)}", MOST, 0.0, "share", "share of few")
    for kind, low, high in (
        ("weight", 0.01, 0.1),
        ("gradient", 1e-4, 1e-2),
        ("gradient", 1e-5, 1e-1),
        ("gradient", 1e-4, 1e-1),
        ("weight", 1e-3, np.inf),
        ("gradient", 1e-6, 100.0),
    )
}


def _in_range(kind, low, high):
    """Whether what document 002 prints lies in a range: the share of the printed numbers, seed by seed, and their span."""
    names = dict.fromkeys(run.measure for run in runs("magnitudes") if run.measure.startswith(kind))
    sizes = np.array([values("magnitudes", variant, name) for variant in INITIALISERS for name in names])  # (numbers, seeds)
    inside = ((sizes >= low) & (sizes <= high)).mean(axis=0)
    one = RANGES[kind, low, high](inside)
    found = (
        f"a sound model of the documented size, its weights drawn in {len(INITIALISERS)} ways, at batches "
        f"{', '.join(map(str, MOMENTS))}: the {kind}s that document 002 prints go from {sizes.min():.1e} to {sizes.max():.1e}, "
        f"and {one:.2f} of them lie {_span(low, high)}"
    )
    return found, one


PRINTED = "What document 002 prints, of a sound model of the documented size at three moments of training, weights drawn in two ways."


@measured(
    "18",
    "Weight magnitudes (should be non-zero, ~0.01-0.1)",
    "002",
    section="Test 1: Diagnostics",
    experiment=PRINTED,
    change_our_mind="A usual initialisation at this size whose printed weights lie elsewhere.",
    asks=[RANGES["weight", 0.01, 0.1]],
)
def weight_range():
    """Means of the first hundred weights of three tensors."""
    found, one = _in_range("weight", 0.01, 0.1)
    return found, verdict(one.answer), [one]


@measured(
    "18",
    "Gradient magnitudes (should be non-zero, ~1e-4 to 1e-2)",
    "002",
    section="Test 1: Diagnostics",
    experiment=PRINTED,
    change_our_mind="Other moments, or another usual initialisation, at which nine of ten printed gradients lie from 1e-4 to 1e-2.",
    asks=[RANGES["gradient", 1e-4, 1e-2], RANGES["gradient", 1e-5, 1e-1]],
)
def gradient_range():
    """The narrow range; the wide one is :func:`wider_gradient_range`."""
    found, one = _in_range("gradient", 1e-4, 1e-2)
    _, wide = _in_range("gradient", 1e-5, 1e-1)
    wider = "either end is moved by a power of ten" if wide.answer else None
    return found, verdict(one.answer, wider), [one, wide]


@measured(
    "18",
    "Verify gradients are non-zero and reasonable (1e-4 to 1e-1)",
    "001",
    section="Test 1: Gradient Magnitude",
    experiment=PRINTED,
    change_our_mind="Other moments, or another usual initialisation, at which nine of ten printed gradients lie from 1e-4 to 1e-1.",
    asks=[RANGES["gradient", 1e-4, 1e-1]],
)
def wider_gradient_range():
    """As document 001 has it."""
    found, one = _in_range("gradient", 1e-4, 1e-1)
    return found, verdict(one.answer), [one]


@measured(
    "18",
    "Weights are non-zero (> 0.001)",
    "003",
    section="Success criteria",
    experiment=PRINTED,
    change_our_mind="A usual initialisation at this size whose printed weights lie below 0.001.",
    asks=[RANGES["weight", 1e-3, np.inf]],
    about="as a sign of success",
)
def least_weight():
    """A sound model meets it; so does one whose other hundred thousands of weights are zero, which the printout does not look at."""
    found, one = _in_range("weight", 1e-3, np.inf)
    return found, verdict(one.answer), [one]


@measured(
    "18",
    "Are they too small (< 1e-6) or too large (> 100)?",
    "001",
    section="3. Gradient Magnitude",
    experiment=PRINTED,
    change_our_mind="Other moments, or another usual initialisation, at which nine of ten printed gradients lie from 1e-6 to 100.",
    asks=[RANGES["gradient", 1e-6, 100.0]],
    about="gradients; bounds that a sound model should keep. 002 calls them huge above 1",
)
def outer_bounds():
    """Whether a sound model would be accused."""
    found, one = _in_range("gradient", 1e-6, 100.0)
    return found, verdict(one.answer), [one]
