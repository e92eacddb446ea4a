"""Which part of a model to train first: each alone, with true gradients."""

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS, trained
from cllm_lib.model.transformer import CLLM
from cllm_lib.training.optimizers import Adam

PARTS = {"embeddings": "embedding", "attention": ".attention.", "feed-forward": ".feed_forward.", "norms": "_norm."}


class OnePart:
    """Adam for the tensors whose name has a word in it; all others stay as they are."""

    def __init__(self, model, word, rate=1e-3):
        self.adam, self.mask = Adam(rate), model.flat_parameters * 0.0
        start = 0
        for name, array in model.parameters.items():
            self.mask[start : start + array.size] = float(word in name)
            start += array.size
        self.learning_rate = rate

    def step(self, parameters, gradients):
        """A gradient of 0 from the first step on is no step."""
        self.adam.step(parameters, gradients * self.mask)


@experiment(variants=PARTS, seeds=SEEDS, fast={"variants": ["embeddings"], "seeds": [0, 1]})
def one_part(variant, seed):
    """A small sound model of which one part is trained, by Adam at 0.001: loss of the text before and after ten epochs."""
    return trained(CLLM, seed, lambda model: OnePart(model, PARTS[variant]), None)


BETTER = {
    name: below(f"embeddings alone minus {name} alone, loss after ten epochs", 0.0, 0.05, "nats") for name in PARTS if name != "embeddings"
}


@measured(
    "18",
    "Implementing embeddings first was the right approach",
    "004",
    section="What We Learned",
    experiment=(
        "A small sound model of which one part alone is trained, by Adam at 0.001 and along the true gradient: embeddings, attention, "
        "feed-forward part, norms. Right: no other part alone leaves a lower loss."
    ),
    change_our_mind="A part that alone brings the loss lower than the embeddings alone.",
    asks=BETTER.values(),
)
def embeddings_first():
    """With a tied output the embedding is both ends of the model."""
    ends = {name: values("one_part", name, "after") for name in PARTS}
    found = [asked(ends["embeddings"] - ends[name]) for name, asked in BETTER.items()]
    told = f"loss after ten epochs, one part trained: {', '.join(f'{name} {end.mean():.2f}' for name, end in ends.items())}"
    return told, verdict(every(one.answer for one in found)), found
