"""Characters, byte pairs or words: bits per byte of one held-out text, with as many parameters and as much arithmetic.

All three read one string, python-docs in small letters and without punctuation, which is all that words can say of it
(:func:`plain_text`). So no unit is asked for less than another, but for "<unk>": what has an id is learnt from the part that is
trained on, and of a word that has none a model of words says "<unk>", and not which. Its bits per byte are too low by what that
would cost. They are stored as they stand, and with each unknown word spelled by a trigram of characters, counted from the
unknown words of the part that is trained on (:func:`spelling_bits`).

A table of many ids takes what the layers could have had: each unit has a width of its own, and `d_ff` makes the numbers of
parameters equal. All train on equally many tokens, so on about as many multiplications; a model of words then has read several
times as much text as one of characters, and sees as much more of it at once. Rates are chosen as in
:mod:`~cllm_lib.claims.changed_layers`, of three.
"""

import functools
import itertools
import math
from collections import Counter

import numpy as np

from cllm_lib.claims.changed import compare
from cllm_lib.claims.changed_layers import (
    CHANGES,
    HELD_OUT,
    TODAY,
    TUNING_SEEDS,
    best_rate,
    check_rates,
    d_ff_for,
    layer_parameters,
    trained_loss,
)
from cllm_lib.claims.registry import experiment, read_once, values
from cllm_lib.claims.settings import SEEDS
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import Corpus, by_frequency, read_text
from cllm_lib.text.counts import bits_per_byte
from cllm_lib.text.ngrams import KneserNeyTrigram
from cllm_lib.text.normalization import UNKNOWN, tokenize
from cllm_lib.text.subwords import numbered_subwords

TEXT = "python-docs"
CHARACTERS, PAIRS, WORDS = "characters", "byte pairs", "words"
SPELLED = "words, unknown ones spelled"
MOST_IDS = {CHARACTERS: 1_000, PAIRS: 1_000, WORDS: 2_000}  # there are fewer characters
WIDTHS = {CHARACTERS: 64, PAIRS: 40, WORDS: 32}  # d_model, so that d_ff is two to four times as wide
SHAPE = dict(n_layers=2, n_heads=4, seq_len=32) | CHANGES[TODAY]
D_FF = 128  # of the model of words
STEPS = 200
RATES = (3e-3, 1e-2, 3e-2)
JUDGED = 3_000  # words, the first of the last fifth, which is held out
MARGIN = 0.02  # bits per byte
BITS, BITS_SPELLED = "bits per byte", "bits per byte, unknown spelled"
TUNINGS = {f"{unit}, {rate:g}": (unit, rate) for unit, rate in itertools.product(WIDTHS, RATES)}


@experiment(variants=TUNINGS, seeds=TUNING_SEEDS, fast=None)
def changed_unit_rates(variant, seed):
    """A unit at one of the three rates: bits per byte of what is held out."""
    return {BITS: held_out_bits(*TUNINGS[variant], seed)}


@experiment(variants=WIDTHS, seeds=SEEDS, fast=None)
def changed_units(variant, seed):
    """A unit at the rate that its tuning chose, with a new seed: the rate, the sizes, the share of unknown tokens, bits per byte."""
    corpus, rate, config = corpus_of(variant), chosen_rates()[variant, ""], config_of(variant)
    bits = held_out_bits(variant, rate, seed)
    numbers = {"rate": rate, "vocabulary": config.vocab_size, "d_ff": config.d_ff, "parameters": parameters(variant, config.d_ff)}
    unknown = {"unknown": float((corpus.validation_tokens == 0).mean())}
    return numbers | unknown | {BITS: bits, BITS_SPELLED: bits + (unknown_bits() if variant == WORDS else 0.0)}


def held_out_bits(unit, rate, seed):
    """Train one model on a text in such units; bits per byte of what is judged, infinite where training overflows."""
    corpus = corpus_of(unit)
    loss = trained_loss(CLLM(config_of(unit), seed=seed), corpus, rate, STEPS, seed, judged=corpus.n_validation)
    return bits_per_byte(loss, corpus, plain_text()[1]) if math.isfinite(loss) else math.inf


@functools.cache
def plain_text():
    """What words can say of the text, single spaces between: what is trained on, and what is judged with the space before it.

    Returns
    -------
    (str, str)
    """
    words = tokenize(read_text(TEXT))
    first = int(len(words) * (1 - HELD_OUT))
    return " ".join(words[:first]), "".join(f" {word}" for word in words[first : first + JUDGED])


@functools.cache
def corpus_of(unit):
    """The text in units, whose ids are learnt from the part that is trained on."""
    trained, held_out = plain_text()
    if unit == PAIRS:
        vocabulary, ids, _ = numbered_subwords([trained], MOST_IDS[unit], progress=False)
        parts = [ids, numbered_subwords([held_out], MOST_IDS[unit], vocabulary=vocabulary)[1]]
    else:
        tokens = [list(part) if unit == CHARACTERS else part.split() for part in (trained, held_out)]
        vocabulary = (UNKNOWN, *by_frequency(Counter(tokens[0]))[: MOST_IDS[unit] - 1])
        parts = [encoded(part, vocabulary) for part in tokens]
    kind, form = {CHARACTERS: ("character", "NFC"), PAIRS: ("bpe", "none"), WORDS: ("word", "NFC")}[unit]
    return Corpus(f"{TEXT}, plain", np.concatenate(parts), vocabulary, len(parts[1]), unit=kind, normalization=form)


def encoded(tokens, vocabulary):  # -> (n,)
    """Ids of tokens; what the vocabulary does not have becomes 0."""
    id_of = {token: i for i, token in enumerate(vocabulary)}
    return np.array([id_of.get(token, 0) for token in tokens], dtype=np.int64)


@functools.cache
def config_of(unit):
    """The model of a unit: with as many parameters as that of words, the embedding among them."""
    size = len(corpus_of(unit).vocabulary)
    shape = SHAPE | {"d_model": WIDTHS[unit]}
    if unit == WORDS:
        return CLLMConfig(size, **shape, d_ff=D_FF)
    return CLLMConfig(size, **shape, d_ff=d_ff_for(parameters(WORDS, D_FF) - size * WIDTHS[unit], shape))


def parameters(unit, d_ff):
    """All numbers that the model of a unit trains."""
    width = WIDTHS[unit]
    return layer_parameters(SHAPE | {"d_model": width, "d_ff": d_ff}) + len(corpus_of(unit).vocabulary) * width


@functools.cache
def unknown_bits():
    """What it would cost to spell the unknown words of the held-out part, in bits for each byte of that part."""
    trained, held_out = plain_text()
    known = set(corpus_of(WORDS).vocabulary)
    unknown = [[word for word in part.split() if word not in known] for part in (trained, held_out)]
    return spelling_bits(*unknown) / len(held_out.encode("utf-8"))


def spelling_bits(examples, words):
    """What it costs to spell words, by a Kneser-Ney trigram of characters that was counted from others: letters and ends of words.

    Parameters
    ----------
    examples, words : list of str

    Returns
    -------
    float
        Bits, of all words together.
    """
    if not words:
        return 0.0
    first, second = ("".join(f"{word} " for word in part) for part in (examples, words))
    alphabet = (UNKNOWN, *sorted(set(first)))  # a character that was never seen is one more
    speller = KneserNeyTrigram(encoded(first, alphabet), len(alphabet))
    return float(-np.log2(speller.probabilities(encoded(second, alphabet))).sum())


@read_once
def chosen_rates():
    """The rate of each unit: the lowest mean of bits per byte over the tuning seeds.

    Returns
    -------
    dict of (str, str) to float
        By unit and "", the text that the runs are not asked for.
    """
    return {(unit, ""): best_rate("changed_unit_rates", unit, BITS, rates=RATES) for unit in WIDTHS}


def differences(unit, against, text):
    """Bits per byte of one unit minus those of another, paired by seed."""
    check_rates("changed_units", chosen_rates())
    other = values("changed_units", WORDS, BITS_SPELLED) if against == SPELLED else values("changed_units", against, BITS)
    return values("changed_units", unit, BITS) - other


for _against in (CHARACTERS, WORDS, SPELLED):
    compare("units", PAIRS, _against, TEXT, "bits per byte", MARGIN, differences)
