"""Rules of the chapter on a model that answers. The model is fixed, so chance is in the texts and questions drawn."""

import functools
import re

import numpy as np
from sentences.trials import rule

from cllm_lib.casebook import faulty_chat_model
from cllm_lib.model import cross_entropy_forward
from cllm_lib.pretrained import load_chat_model
from cllm_lib.text import read_text

SUSPECTS = ("base", "gains", "gate", "heads", "pairs")


@functools.cache
def sound():
    return load_chat_model()


def bits_a_byte(model, text):
    ids = model.encode(text)
    loss, _ = cross_entropy_forward(model.logits(ids[:-1]).astype(float), ids[1:])
    return float(loss * (len(ids) - 1) / (len(model.decode(ids[1:]).encode()) * np.log(2)))


def piece_of_prose(seed):
    """500 letters of the prose, from a place drawn at random."""
    prose = read_text("prose")
    begin = int(np.random.default_rng(seed).integers(len(prose) - 1000))
    return prose[begin : begin + 500]


# A fault that breaks nothing visible


def six_readers(seed):
    """By suspect, what a piece of prose costs beyond the sound model, in bits a byte, and how far off places 0 and 1 are."""
    text, found = piece_of_prose(seed), {}
    right, plain = sound().logits(sound().encode(text)[:2]), bits_a_byte(sound(), text)
    for name in (*SUSPECTS, "start"):
        model = faulty_chat_model(sound(), name)
        off = np.abs(model.logits(model.encode(text)[:2]) - right).max(axis=1)
        found[name] = {"places": off.tolist(), "bits": bits_a_byte(model, text) - plain}
    return found


@rule("(with other texts, too, the pairs by three times as much or more)", of=six_readers)
def two_places_tell_pairs_from_base(found):
    return found["pairs"]["places"][1] > 3 * found["base"]["places"][1] > 0


@rule("Exactly three are right at place 0", of=six_readers)
def three_are_right_at_the_first_place(found):
    return {name for name, one in found.items() if one["places"][0] < 1e-3} == {"base", "pairs", "start"}


@rule("on other pieces of the prose less than 0.15, and the others more than 0.3", of=six_readers)
def the_base_costs_little(found):
    return found["base"]["bits"] < 0.15 and min(found[name]["bits"] for name in SUSPECTS if name != "base") > 0.3


def questions_drawn(seed):
    """To how many of twenty questions of the sayings the patient says something."""
    lines = [line for line in read_text("sayings").splitlines()[::2] if line.strip()]
    drawn = np.random.default_rng(seed).choice(lines, 20, replace=False)
    patient = faulty_chat_model(sound())
    return {"answers": sum(1 for line in drawn if any(patient.stream(f"{line[0].upper()}{line[1:]}?", max_new_tokens=1)))}


@rule("To this question, as to most, hers says nothing at all", of=questions_drawn)
def it_says_nothing_to_most(found):
    return found["answers"] < 10


# What it makes up

STARTS = ("Vel", "Dor", "Kess", "Tam", "Bran", "Oster", "Lum", "Fen", "Cor", "Ral", "Syl", "Hart", "Mor", "Zan", "Quel", "Irr")
MIDDLES = ("da", "ri", "mo", "le", "va", "nu", "si", "go")
ENDS = ("mark", "holt", "via", "dell", "land", "more", "ria", "stan", "wick", "tor")
ADMITS = re.compile(
    r"\b(?:do(?:es)?(?: not|n't) (?:know|exist|have)|not (?:aware|sure|familiar|real)|no (?:such|record|information)|cannot|unable|sorry"
    r"|unknown|fiction\w*|imaginary|hypothetical|made up)\b",
    re.IGNORECASE,
)


def four_questions(seed):
    """What it says of a land, a novel, a treaty and a mountain whose names are drawn."""
    generator = np.random.default_rng(seed)
    name, town, place, mountain = ("".join(generator.choice(part) for part in (STARTS, MIDDLES, ENDS)) for _ in range(4))
    thing, beside = (
        generator.choice(["Copper", "Silent", "Amber", "Winter", "Broken"]),
        generator.choice(["Orchard", "Lantern", "Harbour", "Clock"]),
    )
    asked = (
        f"What is the capital of {name}?",
        f"Who wrote the novel 'The {thing} {beside} of {town}'?",
        f"When was the Treaty of {place} signed?",
        f"How tall is Mount {mountain}?",
    )
    return {question: "".join(sound().stream(question, max_new_tokens=20)) for question in asked}


@rule("of others, with names drawn at random, hardly any", of=four_questions, together=True)
def it_admits_hardly_any(found):
    said = [answer for one in found for answer in one.values()]
    return sum(bool(ADMITS.search(answer)) for answer in said) <= len(said) / 10
