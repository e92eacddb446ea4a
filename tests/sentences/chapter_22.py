"""Rules of the chapter on what changed since 2017."""

import functools
import math
from dataclasses import replace

import numpy as np
from sentences.trials import rule

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.model import generate
from cllm_lib.training import Adam

DEEP = {"d_model": 48, "n_layers": 6, "n_heads": 4, "d_ff": 192}
TODAY = {"norm": "rms", "norm_first": True, "feed_forward": "swiglu", "d_ff": 144, "n_kv_heads": 2, "positions": "rotary"}


@functools.cache
def text_of(name, unit="word", most=10_000, held_out=0.0):
    return load_corpus(name, unit=unit, vocab_size=most, validation_fraction=held_out)


def old_form(vocabulary):
    return CLLMConfig(len(vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=192)


def new_form(vocabulary):
    return replace(old_form(vocabulary), **TODAY)


def whole(corpus):
    """All of a text in one batch."""
    return next(corpus.batches(38, 32, np.random.default_rng(0)))


# Where the norm stands


def differing_share(model, texts):
    """Of what each layer passes on, the share that differs between positions."""
    hidden, shares = model.parameters["embedding"][texts], []
    for i in range(model.config.n_layers):
        hidden, _ = model.layer.forward(hidden, model.layer_parameters(i), model.config)
        apart = hidden - hidden.mean(axis=(0, 1))
        shares.append(float(np.sqrt((apart**2).sum() / (hidden**2).sum())))
    return shares


def deep_models(seed):
    """The deep model with its norms behind and first: where it ends, less the unigram entropy, and what is left of the words."""
    sayings, found = text_of("sayings"), {}
    for first in (False, True):
        model = CLLM(CLLMConfig(len(sayings.vocabulary), **DEEP, norm_first=first), seed=seed)
        losses = Trainer(model, sayings, optimizer=Adam(0.003), seed=seed).fit(epochs=16).epoch_losses
        found["first" if first else "behind"] = {
            "above the line": losses[-1] - sayings.unigram_entropy(32),
            "shares": differing_share(model, whole(sayings)[0]),
        }
    return found


# All of it at once


def courses(seed):
    """Both forms on the prose for 300 steps at three rates: every 30 steps the loss on the text that is learnt, and on the held-out one."""
    prose, found = text_of("prose", held_out=0.2), {}
    for name, config in {"2017": old_form(prose.vocabulary), "today": new_form(prose.vocabulary)}.items():
        for rate in (0.001, 0.003, 0.01):
            trainer = Trainer(CLLM(config, seed=seed), prose, optimizer=Adam(rate), seed=seed)
            course = {"read": [], "held out": []}
            for _ in range(10):
                course["read"].append(float(np.mean(trainer.fit(steps=30).losses[-30:])))
                course["held out"].append(float(trainer.evaluate()))
            found[f"{name}, {rate:g}"] = course
    return found


# Which columns are a pair


def read_otherwise(seed):
    """A model of today's form on the sayings, read with its own pairs and with the others: losses, and what it says."""
    sayings = text_of("sayings")
    config = new_form(sayings.vocabulary)
    theirs, other = CLLM(config, seed=seed), CLLM(replace(config, rope_pairs="halves"), seed=seed)
    Trainer(theirs, sayings, optimizer=Adam(0.003), seed=seed).fit(epochs=40)
    for name, array in theirs.parameters.items():
        other.parameters[name] = array
    prompt, found = sayings.encode("why is the sky blue"), {}
    for name, model in {"theirs": theirs, "other": other}.items():
        said = sayings.decode(generate(model, prompt, 9, temperature=0))
        found[name] = {"loss": float(model.loss(*whole(sayings))), "said": said}
    return found


# A number that lies


def two_units(seed):
    """Perplexity, and bits per byte, of characters and of byte pairs after 200 steps."""
    found = {}
    for unit, most in (("character", 1_000), ("bpe", 512)):
        text = text_of("prose", unit, most, held_out=0.2)
        one = Trainer(CLLM(replace(new_form(text.vocabulary), seq_len=64), seed=seed), text, optimizer=Adam(0.003), seed=seed)
        one.fit(steps=200)
        loss, held_out = float(one.evaluate()), text.validation_tokens
        found[unit] = {"perplexity": math.exp(loss), "bits": loss * len(held_out) / (text.byte_count(held_out) * math.log(2))}
    return found
