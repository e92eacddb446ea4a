"""Which rungs of the repair ladder are left where the sound layer is today's.

Chapter 09 mends the program of 2025 by eight repairs, towards the layer of 2017. Here one repair at a time is left out of the
mended whole, in that layer and in today's: norms before the parts, RMSNorm, SwiGLU. Where the loss is as low without it, the
ladder needs no such rung. Attention stays that of 2017, so that its faults can be handed in where it stands.

Three repairs are not asked about. Without the causal mask a model looks at its targets, and its loss says nothing. A norm behind
attention, and attention's residual path, are what today's layer consists of: without them it is another layer, not a fault in it.
"""

import numpy as np

from cllm_lib.claims.changed import compare
from cllm_lib.claims.changed_depth import capped
from cllm_lib.claims.changed_layers import equal_d_ff
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS
from cllm_lib.defects import REPAIRS, LostEmbeddingGradient, OuterProductAttention, program, program_training
from cllm_lib.defects.whole_program import MendedAttention, uniform_weights
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.model.transformer_layer import NORMS, TransformerLayer
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

TEXT = "sayings"
ASKED = ("exponential", "norm backward", "attention backward", "Adam", "warm-up")  # of the repairs
OF_2017, OF_TODAY = "layer of 2017", "layer of today"
CHANGED = {"norm": "rms", "norm_first": True, "feed_forward": "swiglu"}
SHAPE = dict(d_model=24, n_layers=6, n_heads=4, seq_len=32)  # as in chapter 09
D_FF, EPOCHS, RATE = 64, 8, 0.02
MARGIN = 0.2  # nats; each repair that chapter 09 cannot do without is worth more


class NormsOfAnotherTensor(TransformerLayer):
    """Today's layer whose norms go backward by the statistics of attention's output, as the program's did."""

    def forward(self, x, parameters, config):
        """As the sound layer, and then the caches of norms that were never part of it."""
        y, (attention_cache, _, feed_forward_cache, _, config) = super().forward(x, parameters, config)
        norm = NORMS[config.norm]
        normed, _ = norm.forward(x, parameters["attention_norm"])
        attended, _ = self.attention.forward(normed, parameters["attention"], config)
        wrong = [norm.forward(attended, parameters[name])[1] for name in ("attention_norm", "feed_forward_norm")]
        return y, (attention_cache, wrong[0], feed_forward_cache, wrong[1], config)


PARTS_WITHOUT = {  # what stands in the sound model of today where a repair is left out; the training's are in program_training
    "exponential": lambda: {"attention": MendedAttention("home-made")},
    "norm backward": lambda: {"layer": NormsOfAnotherTensor(), "embedding": LostEmbeddingGradient()},
    "attention backward": lambda: {"attention": OuterProductAttention()},
}


def named(layer, left_out=None):
    """How a variant is called."""
    return f"{layer}, all repaired" if left_out is None else f"{layer}, all but {left_out!r}"


VARIANTS = {named(layer, one): (layer, one) for layer in (OF_2017, OF_TODAY) for one in (None, *ASKED)}


@experiment(variants=VARIANTS, seeds=SEEDS, fast={"variants": [named(OF_TODAY, "warm-up")], "seeds": [0]})
def changed_ladder(variant, seed):
    """How far above the unigram entropy the last of eight epochs is, in the mean of its batches."""
    layer, left_out = VARIANTS[variant]
    corpus = load_corpus(TEXT)
    training = program_training(set(REPAIRS) - {left_out}, RATE)
    model = mended(layer, left_out, len(corpus.vocabulary), seed)
    with np.errstate(all="ignore"):  # some explode, and that is the point
        loss = Trainer(model, corpus, seed=seed, stop_when_not_finite=False, **training).fit(EPOCHS).epoch_losses[-1]
    return {"above the line": capped(loss, len(corpus.vocabulary)) - corpus.unigram_entropy(SHAPE["seq_len"])}


def mended(layer, left_out, vocab_size, seed):
    """The program with all repairs but one, or what it would be in today's layer: from the same kind of initial weights.

    Parameters
    ----------
    layer : {"layer of 2017", "layer of today"}
    left_out : str or None
        Of :data:`ASKED`.
    vocab_size, seed : int

    Returns
    -------
    CLLM
    """
    if layer == OF_2017:
        return program(CLLMConfig(vocab_size, **SHAPE, d_ff=D_FF), set(REPAIRS) - {left_out}, seed)
    config = CLLMConfig(vocab_size, **SHAPE | CHANGED, d_ff=equal_d_ff(CHANGED, SHAPE, D_FF))
    return CLLM(config, seed=seed, init=uniform_weights, **PARTS_WITHOUT.get(left_out, dict)())


def differences(variant, against, text):
    """Losses of one variant minus those of another, paired by seed."""
    return values("changed_ladder", variant, "above the line") - values("changed_ladder", against, "above the line")


for _layer in (OF_2017, OF_TODAY):
    for _left_out in ASKED:
        compare("ladder", named(_layer, _left_out), named(_layer), TEXT, "nats", MARGIN, differences)
