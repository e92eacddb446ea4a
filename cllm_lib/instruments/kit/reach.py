"""Instruments that change one thing and watch another: what depends on what."""

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument

_RULE = "attention gives each earlier word a weight above 0"
MOVES = 1e-9  # of the logits' size, in float64: less is rounding


def _moved(before, after):
    """By how much outputs moved, as a share of their size; one number for each position."""
    size = float(np.abs(before).max()) or 1.0
    return np.abs(after - before).max(axis=-1) / size


def _another(token, model):
    return (token + model.config.vocab_size // 2) % model.config.vocab_size


@instrument(
    "perturb a later token",
    3,
    Word("an earlier output changes", lambda n: n["earlier outputs"] > MOVES, "what comes later has weight 0 exactly"),
)
def perturb_a_later_token(patient):
    """Change the last word of a sequence, and the one in its middle, and watch the outputs before it."""
    seen = []
    for model in (patient.first_twin, patient.twin):
        tokens = patient.batch[0][:1]
        before = model.logits(tokens)
        for place in (tokens.shape[1] - 1, tokens.shape[1] // 2):
            other = tokens.copy()
            other[0, place] = _another(tokens[0, place], model)
            seen.append(float(_moved(before, model.logits(other))[0, :place].max()))
    return {"earlier outputs": float(np.nanmax(seen))}


@instrument(
    "perturb an earlier token",
    3,
    Word(
        "no earlier token reaches the last output",
        lambda n: n["share that reach"] == 0.0,
        _RULE,
    ),
    Word(
        "some earlier tokens do not reach it",
        lambda n: 0.0 < n["share that reach"] < 1.0,
        _RULE,
    ),
)
def perturb_an_earlier_token(patient):
    """Change each earlier word in turn, near and far, and watch the last output."""
    model, tokens = patient.first_twin, patient.batch[0][:1]
    before = model.logits(tokens)
    moves = []
    for place in range(tokens.shape[1] - 1):
        other = tokens.copy()
        other[0, place] = _another(tokens[0, place], model)
        moves.append(float(_moved(before, model.logits(other))[0, -1]))
    reach = [not move <= MOVES for move in moves]  # what is no number has been reached by something
    return {"share that reach": float(np.mean(reach)), "the nearest": moves[-1], "the farthest": moves[0]}


@instrument(
    "perturb another sequence",
    3,
    Word("another sequence's outputs change", lambda n: n["other sequences"] > MOVES, "sequences of a batch are independent"),
)
def perturb_another_sequence(patient):
    """Change one sequence of a batch, and watch the outputs of the others."""
    model, tokens = patient.first_twin, patient.batch[0]
    tokens = np.resize(tokens, (max(2, len(tokens)), tokens.shape[1]))  # a batch of one sequence: the same once more
    before, other = model.logits(tokens), tokens.copy()
    other[0] = _another(tokens[0], model)
    return {"other sequences": float(np.nanmax(_moved(before, model.logits(other))[1:]))}


@instrument(
    "nudge a row",
    3,
    Word(
        "a word's logit does not follow its embedding",
        lambda n: n["tied"] > 0.0 and n["the word's logit"] <= MOVES,
        "with tied weights the row is the output's column",
    ),
)
def nudge_a_row(patient):
    """Nudge, at random, the embedding of a word that the input does not have, and watch this word's logit."""
    seen = []
    for model in (patient.first_twin, patient.twin):
        tokens = patient.batch[0][:1, : model.config.vocab_size - 1]  # so that one word at least is left over
        word = int(np.setdiff1d(np.arange(model.config.vocab_size, dtype=np.int64), tokens)[0])
        model.loss(*patient.batch)  # whoever copies at the first call has copied
        before = model.logits(tokens)[..., word].copy()
        row = model.parameters["embedding"][word]
        row += 0.1 * np.random.default_rng(0).standard_normal(row.shape)
        seen.append(float(np.abs(model.logits(tokens)[..., word] - before).max()))
    return {"tied": float(patient.settings.tie_embeddings), "the word's logit": float(np.nanmax(seen))}
