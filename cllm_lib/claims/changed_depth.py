"""Whether today's layers free the deep model of chapter 08, which stands at the unigram entropy until a warm-up frees it.

Six layers, Adam at 0.003 from the first step on, no warm-up: with LayerNorm behind the sums such a model learns how often words
occur, and no more. Here it is trained so once more in other forms, with equally many parameters.
"""

import numpy as np

from cllm_lib.claims.changed import compare
from cllm_lib.claims.changed_layers import CHANGES, OLD, TODAY, equal_d_ff
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus, windows
from cllm_lib.training.optimizers import Adam
from cllm_lib.training.trainer import Trainer

TEXT = "sayings"
BOTH = "pre-normalisation and RMSNorm"
VARIANTS = {
    OLD: {},
    "RMSNorm": CHANGES["RMSNorm"],
    "pre-normalisation": CHANGES["pre-normalisation"],
    BOTH: CHANGES["pre-normalisation"] | CHANGES["RMSNorm"],
    TODAY: CHANGES[TODAY],
}
SHAPE = dict(d_model=48, n_layers=6, n_heads=4, seq_len=32)  # as in chapter 08
D_FF, EPOCHS, RATE = 192, 16, 0.003
LINE = "the unigram entropy"
MARGIN = 0.05  # nats; chapter 08 calls free what is so far below the line


@experiment(variants=VARIANTS, seeds=SEEDS, fast={"variants": ["pre-normalisation"], "seeds": [0]})
def changed_depth(variant, seed):
    """How far above the unigram entropy a run of sixteen epochs ends; below 0 it knows more than how often words occur."""
    corpus, settings = load_corpus(TEXT), VARIANTS[variant]
    config = CLLMConfig(len(corpus.vocabulary), **SHAPE | settings, d_ff=equal_d_ff(settings, SHAPE, D_FF))
    model = CLLM(config, seed=seed)
    with np.errstate(all="ignore"):
        Trainer(model, corpus, optimizer=Adam(RATE), seed=seed, stop_when_not_finite=False).fit(epochs=EPOCHS)
        loss = model.loss(*windows(corpus.tokens, SHAPE["seq_len"]))
    return {"above the line": capped(loss, config.vocab_size) - corpus.unigram_entropy(SHAPE["seq_len"])}


def capped(loss, vocab_size):
    """A loss in nats, none counted as worse than twice ln V: a run that overflowed is one that failed, and not ten."""
    worst = 2 * np.log(vocab_size)
    return float(min(loss, worst)) if np.isfinite(loss) else float(worst)


def differences(variant, against, text):
    """How far above the line each run ends."""
    return values("changed_depth", variant, "above the line")


for _variant in VARIANTS:
    compare("depth", _variant, LINE, TEXT, "nats", MARGIN, differences)
