"""What each change of the layer since 2017 does to a held-out loss, alone and all together, at equal numbers of parameters.

1. Every variant has as many numbers in its layers as the one of 2017, to one in a hundred: `d_ff` makes up for what a change
   brings or frees (:func:`equal_d_ff`).
2. Every variant gets the same three learning rates on three seeds (:func:`changed_layer_rates`), which are not used again, on
   each text, and takes the one with the lowest held-out loss in the mean: what chooses is what judges.
3. With it each runs with ten new seeds (:func:`changed_layers`).

What a configuration leaves out is the layer of 2017, but without positions; the paper had sines. So what tells positions is
compared with the sines as well, and so is all together.
"""

import functools
import itertools
import math

import numpy as np

from cllm_lib.claims.changed import compare
from cllm_lib.claims.registry import experiment, read_once, values
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus, windows
from cllm_lib.training.schedules import cosine
from cllm_lib.training.trainer import Trainer

OLD, SINES, ROTARY, TODAY = "as in 2017", "sinusoidal positions", "rotary positions", "all together"
CHANGES = {
    "pre-normalisation": {"norm_first": True},
    "RMSNorm": {"norm": "rms"},
    "GELU": {"feed_forward": "gelu"},
    "SwiGLU": {"feed_forward": "swiglu"},
    "half the key/value heads": {"n_kv_heads": 2},
    ROTARY: {"positions": "rotary"},
    TODAY: {"norm": "rms", "norm_first": True, "feed_forward": "swiglu", "n_kv_heads": 2, "positions": "rotary"},
}
VARIANTS = {OLD: {}, SINES: {"positions": "sinusoidal"}} | CHANGES
SHAPE = dict(d_model=32, n_layers=2, n_heads=4, seq_len=16)
D_FF = 128  # of the layer of 2017: four times as wide as the model, as in the paper
TEXTS = {"prose": {}, "python-docs": {"unit": "bpe", "vocab_size": 512}, "patterns": {}}  # how each is read; the last one is made
STEPS = {"prose": 100, "python-docs": 300, "patterns": 150}
BATCH, HELD_OUT = 8, 0.2
JUDGED = 4_096  # tokens, the first of those held out: all of prose and of the patterns
RATES = (1e-3, 3e-3, 1e-2)
TUNING_SEEDS, SEEDS = range(100, 103), range(10)
MARGIN = 0.05  # nats a token
TUNINGS = {f"{variant}, {rate:g}": (variant, rate) for variant, rate in itertools.product(VARIANTS, RATES)}


@experiment(variants=TUNINGS, seeds=TUNING_SEEDS, texts=TEXTS, fast={"variants": [f"{OLD}, 0.01"], "seeds": [100], "texts": ["patterns"]})
def changed_layer_rates(variant, seed, text):
    """A variant at one of the three rates: its held-out loss."""
    return {"held out": held_out_loss(*TUNINGS[variant], seed, text)}


@experiment(variants=VARIANTS, seeds=SEEDS, texts=TEXTS, fast={"variants": [TODAY], "seeds": [0], "texts": ["patterns"]})
def changed_layers(variant, seed, text):
    """A variant at the rate that its tuning chose, with a new seed: the rate, the sizes, and the held-out loss."""
    rate, settings = chosen_rates()[variant, text], VARIANTS[variant]
    d_ff = equal_d_ff(settings)
    sizes = {"d_ff": d_ff, "parameters": layer_parameters(SHAPE | settings | {"d_ff": d_ff})}
    return {"rate": rate} | sizes | {"held out": held_out_loss(variant, rate, seed, text)}


def held_out_loss(variant, rate, seed, text):
    """Train one model, down a cosine, and judge it on text from the last fifth, which is held out.

    Returns
    -------
    float
        Nats a token; infinite where training overflows: no rate is worse.
    """
    corpus, settings = corpus_of(text), VARIANTS[variant]
    config = CLLMConfig(len(corpus.vocabulary), **SHAPE | settings, d_ff=equal_d_ff(settings))
    return trained_loss(CLLM(config, seed=seed), corpus, rate, STEPS[text], seed)


def trained_loss(model, corpus, rate, steps, seed, judged=JUDGED):
    """Train a model by Adam, down a cosine; its loss on what is judged, infinite where training overflows."""
    settings = dict(learning_rate=rate, batch_size=BATCH, seed=seed, schedule=cosine(steps), stop_when_not_finite=False)
    with np.errstate(all="ignore"):
        Trainer(model, corpus, **settings).fit(steps=steps)
        loss = model.loss(*windows(corpus.validation_tokens[: judged + 1], model.config.seq_len))
    return float(loss) if math.isfinite(loss) else math.inf


@functools.cache
def corpus_of(text):
    """A text, read as :data:`TEXTS` says, a fifth of it held out."""
    return load_corpus(text, validation_fraction=HELD_OUT, progress=False, **TEXTS[text])


def layer_parameters(settings):
    """How many numbers a model trains but for its embedding, which no change touches.

    Parameters
    ----------
    settings : dict
        Arguments of :class:`~cllm_lib.model.config.CLLMConfig` but the vocabulary.

    Returns
    -------
    int
    """
    model = CLLM(CLLMConfig(1, **settings))
    return model.flat_parameters.size - model.parameters["embedding"].size


def equal_d_ff(settings, shape=SHAPE, like=D_FF):
    """The `d_ff` with which a changed model has most nearly as many numbers in its layers as that of 2017.

    Parameters
    ----------
    settings : dict
        What changed.
    shape : dict
        What both share.
    like : int
        `d_ff` of the model of 2017.

    Returns
    -------
    int

    Examples
    --------
    >>> equal_d_ff({}), equal_d_ff({"feed_forward": "swiglu"})  # three matrices for two, and no biases
    (128, 87)
    """
    return d_ff_for(layer_parameters(shape | {"d_ff": like}), shape | settings)


def d_ff_for(wanted, settings):
    """The `d_ff` with which the layers of a model have most nearly so many numbers; each unit more brings as many."""
    one, two = (layer_parameters(settings | {"d_ff": d_ff}) for d_ff in (1, 2))
    return max(1, round(1 + (wanted - one) / (two - one)))


@read_once
def chosen_rates():
    """The rate of each variant on each text: the lowest mean of the held-out losses over the tuning seeds.

    Returns
    -------
    dict of (str, str) to float
    """
    return {(variant, text): best_rate("changed_layer_rates", variant, "held out", text) for variant in VARIANTS for text in TEXTS}


def best_rate(name, variant, measure, text="", rates=RATES):
    """Of the rates that an experiment tried, the one with the lowest mean of a measure over its seeds."""
    return min(rates, key=lambda rate: values(name, f"{variant}, {rate:g}", measure, text).mean())


def check_rates(name, chosen):
    """Raise a ValueError if the stored runs used other rates than the stored tuning chooses: then they belong to another one.

    Parameters
    ----------
    name : str
        Of the experiment that judges.
    chosen : dict of (str, str) to float
        By variant and text.
    """
    for (variant, text), rate in chosen.items():
        stored = values(name, variant, "rate", text)
        if (stored != rate).any():
            raise ValueError(
                f"{name} has {variant!r} on {text or 'its text'} at {stored[0]:g}, and the tuning chooses {rate:g}: run both anew, tuning "
                "first, with `make evidence`"
            )


def differences(variant, against, text):
    """Held-out losses of one variant minus those of another, paired by seed."""
    check_rates("changed_layers", {key: rate for key, rate in chosen_rates().items() if key in ((variant, text), (against, text))})
    return values("changed_layers", variant, "held out", text) - values("changed_layers", against, "held out", text)


AGAINST_THE_SINES = (ROTARY, TODAY)
PAIRS = [(SINES, OLD), *((change, OLD) for change in CHANGES), *((change, SINES) for change in AGAINST_THE_SINES)]
for _text, (_variant, _against) in itertools.product(TEXTS, PAIRS):
    compare("layer", _variant, _against, _text, "nats", MARGIN, differences)
