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


@rule("With its norms behind the sums the model stands at the unigram entropy", of=deep_models)
def it_stands_at_the_line(found):
    return abs(found["behind"]["above the line"]) < 0.05


@rule("The loss goes through the line as if it were not there, with each of ten seeds.", of=deep_models)
def it_goes_through_the_line(found):
    return found["first"]["above the line"] < -1


@rule(
    "After six layers less than a hundredth is left with the norms behind, with the norms first more than nine tenths, "
    "and so it is with nearly every seed.",
    of=deep_models,
)
def the_words_are_lost_or_stay(found):
    return found["behind"]["shares"][-1] < 0.01 and min(found["first"]["shares"]) > 0.9


# All of it at once


def course(config, rate, steps, seed):
    """Every 30 steps the loss on the prose that is learnt, and on what is held out."""
    prose, found = text_of("prose", held_out=0.2), {"read": [], "held out": []}
    trainer = Trainer(CLLM(config, seed=seed), prose, optimizer=Adam(rate), seed=seed)
    for _ in range(steps // 30):
        found["read"].append(float(np.mean(trainer.fit(steps=30).losses[-30:])))
        found["held out"].append(float(trainer.evaluate()))
    return found


def courses(seed):
    """Both forms on the prose: for 300 steps at the rate of the chapter, for 150 at a lower and at a higher one."""
    words = text_of("prose", held_out=0.2).vocabulary
    return {
        f"{name} at {rate:g}": course(config, rate, steps, seed)
        for name, config in {"2017": old_form(words), "today": new_form(words)}.items()
        for rate, steps in {0.001: 150, 0.003: 300, 0.01: 150}.items()
    }


def behind_by(found, rate, what="held out"):
    """By how much today's form is behind when a course ends."""
    return found[f"today at {rate:g}"][what][-1] - found[f"2017 at {rate:g}"][what][-1]


@rule("at step 300 it is behind, by 0.41, and behind with each of ten seeds", of=courses)
def it_is_behind_at_the_end(found):
    return behind_by(found, 0.003) > 0


@rule("It learns the text faster, and then by heart", of=courses)
def it_learns_by_heart(found):
    held_out = found["today at 0.003"]["held out"]
    return behind_by(found, 0.003, "read") < 0 and held_out[-1] > min(held_out) + 0.2


@rule("at a rate of 0.001 the form of 2017 is ahead at step 150, at 0.01 today's, with each of ten seeds.", of=courses)
def the_rate_chooses_who_is_ahead(found):
    return behind_by(found, 0.001) > 0 > behind_by(found, 0.01)


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


@rule("at 1.90 in place of 0.07 (with other seeds at 1.5 to 2.5)", of=read_otherwise)
def other_pairs_cost_much(found):
    return found["theirs"]["loss"] < 0.1 and 1.5 <= round(found["other"]["loss"], 2) <= 2.5


@rule("words of the text, in an order that means nothing", of=read_otherwise)
def it_says_something_else(found):
    return found["other"]["said"] != found["theirs"]["said"]


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


@rule("with other seeds, too, by 0.3 bits or more, at seven times or more", of=two_units)
def byte_pairs_are_ahead(found):
    pairs, characters = found["bpe"], found["character"]
    return characters["bits"] - pairs["bits"] >= 0.3 and pairs["perplexity"] >= 7 * characters["perplexity"]
