"""Answers for chapter 19: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import numpy as np
from workbook.answers.common import raises, returns

from cllm_lib.workbook.exercises.chapter_19 import FAULTS, REFERENCE_CLAIM, SENTENCES, held_out_loss

# 19.1


def bets(saved, stay):
    return {"epochs saved": saved, "verdicts that stay": stay}


# 19.4


def claim(**parts):
    return REFERENCE_CLAIM | parts


def unseeded(variant, seed):
    return held_out_loss(variant, int(np.random.default_rng().integers(10**6)))


def never_the_seed(variant, seed):
    return held_out_loss(variant, 0)


def never_the_variant(variant, seed):
    return held_out_loss("none", seed)


LEFT_OVER = []


def left_over(variant, seed):
    LEFT_OVER.append(seed)
    return held_out_loss(variant, seed) + len(LEFT_OVER)


def won(variant, seed):
    return np.random.default_rng(seed).random() < (0.3 if variant == "with" else 0.6)


def drawn(variant, seed):
    return np.random.default_rng(seed).normal() + (variant == "with")


def fails_later(variant, seed):
    if seed > 4:
        raise ValueError("no such seed")
    return drawn(variant, seed)


WRONG = {
    "19.1": [
        (bets(-1, 40), "'epochs saved' is -1: it lies from 0 to 10"),
        (bets(30, 40), "the run on the prose has 10 epochs"),
        (bets(2, 46), "'verdicts that stay' is 46: it lies from 0 to 45"),
        (bets(2, 0.9), "a verdict stays or it does not"),
        (bets(2, ...), "still open: 'verdicts that stay'"),
        (bets("few", 40), "'epochs saved' is 'few'; a number was asked for"),
        (bets(2, float("nan")), "a finite number"),
        ((2, 40), "of type tuple"),
        (None, "of type NoneType"),
    ],
    "19.2": [
        (FAULTS | {"A": "fair"}, "A as 'fair': then both sides would have had the same tries"),
        (FAULTS | {"B": "uneven tuning"}, "B as 'uneven tuning': then one side"),
        (FAULTS | {"C": "chosen by its judge"}, "C as 'chosen by its judge': then the runs that are reported"),
        (FAULTS | {"D": "many looks"}, "D as 'many looks'"),
        (FAULTS | {"E": "failures left out"}, "E as 'failures left out'"),
        (FAULTS | {"E": "bad luck"}, "'bad luck', which is not in the table"),
        (FAULTS | {"E": 3}, "not in the table"),
        (FAULTS | {"C": ...}, "still open: C"),
        (FAULTS | {"F": "fair"}, "F as 'fair': then both sides would have had the same tries"),
        (FAULTS | {"B": "chosen by another rule"}, "B as 'chosen by another rule': then the settings would have been picked by one number"),
        ({"A": "fair"}, "still open: B, C, D, E, F"),
        (["fair"] * 5, "of type list"),
        (None, "of type NoneType"),
    ],
    "19.3": [
        (SENTENCES | {"A": "a rule"}, "A as 'a rule': then it would speak of runs that nobody has made yet"),
        (SENTENCES | {"C": "this run's"}, 'C as "this run\'s": then it would speak of what one run did'),
        (SENTENCES | {"F": "exact"}, "F as 'exact': then it would follow without chance"),
        (SENTENCES | {"D": "this run's"}, 'D as "this run\'s"'),
        (SENTENCES | {"E": "a rule"}, "E as 'a rule'"),
        (SENTENCES | {"B": "an anecdote"}, "'an anecdote', which is not in the table"),
        (SENTENCES | {"B": ...}, "still open: B"),
        ({"A": "exact"}, "still open: B, C, D, E, F"),
        (["exact"] * 5, "of type list"),
        (None, "of type NoneType"),
    ],
    "19.4": [
        (claim(measure=unseeded), "drawn without the seed"),
        (claim(measure=never_the_seed), "one run told ten times"),
        (claim(measure=never_the_variant), "does the measure use its variant"),
        (
            claim(measure=lambda variant, seed: drawn(variant, seed if variant == "with" else 0), ours="with", others="without"),
            "for 'without'",
        ),
        (claim(measure=lambda variant, seed: 1 + (variant == "with") + 1e-14 * seed, ours="with", others="without"), "for 'with'"),
        (claim(measure=left_over), "left over from the call before"),
        (claim(others="rotary"), "a comparison needs two variants"),
        (claim(ours="rotatory"), "it raised ValueError"),
        (claim(ours=["rotary"]), "'ours' is of type list; results are kept under it"),
        (claim(others={"width": 3}), "'others' is of type dict; results are kept under it"),
        (claim(measure=returns(None)), "returned None"),
        (claim(measure=returns(float("nan"))), "a finite number"),
        (claim(measure=returns([1.0, 2.0])), "one number was asked for"),
        (claim(measure=raises), "it raised KeyError"),
        (claim(measure=2.5), "a function was asked for"),
        (claim(claim="better"), "a sentence was asked for"),
        (claim(**{"change our mind": "no"}), "written before the run"),
        (claim(claim=...), "still open: 'claim'"),
        (held_out_loss, "of type function; a dictionary"),
        (None, "of type NoneType"),
        (claim(measure=fails_later, ours="with", others="without"), "no such seed"),
        (
            claim(measure=lambda variant, seed: drawn(variant, seed) if seed < 9 else np.inf, ours="with", others="without"),
            r"measure.'with', 9. is inf",
        ),
    ],
}

RIGHT = {
    "19.1": [
        bets(3, 40),
        bets(0.5, 45),
        bets(np.float32(2), np.int64(40)),
        bets(0, 0) | {"why": "no idea"},
        bets("3", ["40"]),
        [("Epochs saved", 3), ("verdicts that stay", 40)],
    ],
    "19.2": [dict(FAULTS), list(FAULTS.items()), {letter.lower(): f" {name.upper()}" for letter, name in FAULTS.items()}],
    "19.3": [dict(SENTENCES), list(SENTENCES.items()), {letter.lower(): f" {kind.upper()}" for letter, kind in SENTENCES.items()}],
    "19.4": [
        dict(REFERENCE_CLAIM),
        claim(ours="none", others="rotary"),
        claim(measure=drawn, ours="with", others="without"),
        claim(measure=won, ours="with", others="without"),
        claim(measure=lambda variant, seed: np.array([drawn(variant[0], seed)]), ours=("with", 1), others=("without", 1)),
        claim(measure=lambda variant, seed: [drawn(variant, seed)], ours="with", others="without"),
        claim(measure=lambda variant, seed: str(drawn(variant, seed)), ours="with", others="without"),
    ],
}

TYPED_WRONG = {
    "19.1": 'my_bets = {"epochs saved": 30, "verdicts that stay": 40}',
    "19.2": 'faults = dict.fromkeys("ABCDEF", "fair")',
    "19.3": 'kinds = dict.fromkeys("ABCDEF", "exact")',
    "19.4": (
        'my_claim = {"claim": "mine is better than theirs", "measure": lambda variant, seed: 1.0,\n'
        '    "ours": "a", "others": "b", "change our mind": "nothing I can think of"}'
    ),
}
