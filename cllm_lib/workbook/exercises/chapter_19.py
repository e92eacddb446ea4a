"""Exercises of 19_how_sure_is_that."""

import functools

from cllm_lib.workbook.exercises.forms import as_number
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, call, close, faults_by_letter, number, run, shown, side_by_side
from cllm_lib.workbook.exercises.readings import numbers_by_name

BETS = {"epochs saved": (10, "the run on the prose has 10 epochs"), "verdicts that stay": (45, "there are 45")}


def examine_bets(answer):
    """Two predictions: what tuning alone is worth, and how many verdicts other seeds leave as they are."""
    found = numbers_by_name(*BETS)(answer)
    for name, (most, why) in BETS.items():
        if not 0 <= found[name] <= most:
            raise NotYet(f"{name!r} is {shown(found[name])}: it lies from 0 to {most}, for {why}.")
    if found["verdicts that stay"] % 1:
        raise NotYet(f"'verdicts that stay' is {shown(found['verdicts that stay'])}: a verdict stays or it does not, so a whole number.")
    saved, stay = (shown(found[name]) for name in BETS)
    return f"{saved} epochs, {stay} verdicts. *Is it fair?* shows the first, *With seeds that nobody had seen* the second."


# What is unfair


FAULTS = {
    "A": "uneven tuning",
    "B": "chosen by its judge",
    "C": "failures left out",
    "D": "fair",
    "E": "many looks",
    "F": "chosen by another rule",
}
WOULD_SHOW = {
    "uneven tuning": "one side would have had more tries at its settings than the other.",
    "chosen by its judge": "the runs that are reported would be the same that picked the settings.",
    "chosen by another rule": "the settings would have been picked by one number, and the sides compared by another.",
    "failures left out": "some runs would be missing from the mean.",
    "many looks": "several comparisons would have been made, and the best one told.",
    "fair": "both sides would have had the same tries, new seeds, and all runs counted.",
}


def examine_faults(answer):
    """One fault for each of six reports."""
    faults_by_letter(answer, FAULTS, WOULD_SHOW)
    return "Five of the six are easily written in good faith; F stood in this very chapter once."


# A claim of one's own

N_SEEDS = 10  # as many as the page measures
PARTS = ("claim", "measure", "ours", "others", "change our mind")


@functools.cache
def _sayings():
    from cllm_lib.text.corpora import load_corpus

    return load_corpus("sayings", validation_fraction=0.2)


def held_out_loss(variant, seed):
    """Reference: a small model with these positions, 40 steps; its loss on the held-out fifth of the sayings."""
    from cllm_lib import CLLM, CLLMConfig, Trainer
    from cllm_lib.text.corpora import windows

    corpus = _sayings()
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=32, seq_len=16, positions=variant)
    model = CLLM(config, seed=seed)
    Trainer(model, corpus, learning_rate=1e-2, batch_size=8, seed=seed).fit(steps=40)
    return model.loss(*windows(corpus.validation_tokens, 16))


REFERENCE_CLAIM = {
    "claim": "After 40 steps, rotary positions give a lower held-out loss than none",
    "measure": held_out_loss,
    "ours": "rotary",
    "others": "none",
    "change our mind": "A corrected interval that lies below 0.",
}


def examine_claim(answer):
    """What can be seen of an experiment from outside: it repeats itself, and seed and variant both matter."""
    if not isinstance(answer, dict):
        raise NotYet(f"this is of type {type(answer).__name__}; a dictionary with {', '.join(map(repr, PARTS))} was asked for.")
    missing = [part for part in PARTS if answer.get(part, ...) is ...]
    if missing:
        raise NotYet(f"still open: {', '.join(map(repr, missing))}.")
    for part in ("claim", "change our mind"):
        if not isinstance(answer[part], str) or len(answer[part].split()) < 3:
            raise NotYet(f"{part!r} is {answer[part]!r:.40}; a sentence was asked for, written before the run.")
    measure, ours, others = (answer[part] for part in ("measure", "ours", "others"))
    for part in ("ours", "others"):
        try:
            hash(answer[part])
        except TypeError:
            kind = type(answer[part]).__name__
            raise NotYet(
                f"{part!r} is of type {kind}; results are kept under it as under a key: take a number, a string or a tuple."
            ) from None
    if ours == others:
        raise NotYet(f"'ours' and 'others' are both {ours!r:.40}: a comparison needs two variants.")
    values = {
        (one, seed): number(call(measure, one, seed), f"measure({one!r:.30}, {seed})") for one in (ours, others) for seed in range(N_SEEDS)
    }
    again = number(run(measure, ours, 0), f"measure({ours!r:.30}, 0)")
    if again != values[ours, 0]:
        first, then = side_by_side(values[ours, 0], again).split("; ")
        raise NotYet(
            f"measure({ours!r:.30}, 0) gave {first} and then {then}: something is drawn without the seed, "
            "or is left over from the call before."
        )
    for one in (ours, others):
        if all(close(values[one, seed], values[one, 0], 1e-9) for seed in range(N_SEEDS)):
            raise NotYet(
                f"{N_SEEDS} seeds give the same number for {one!r:.30}: that is one run told ten times. Hand the seed to whatever draws."
            )
    if all(close(values[ours, seed], values[others, seed], 1e-9) for seed in range(N_SEEDS)):
        raise NotYet(f"{ours!r:.30} and {others!r:.30} give the same numbers: does the measure use its variant?")
    return "It repeats itself, and seed and variant both matter."


def _with_numbers(answer):
    """A claim whose measure returns numbers as the page takes them, whatever they came in."""

    @functools.wraps(answer["measure"])
    def measure(variant, seed):
        return as_number(answer["measure"](variant, seed))

    return answer | {"measure": measure}


# What kind of sentence

SENTENCES = {
    "A": "exact",
    "B": "this run's",
    "C": "a rule",
    "D": "exact",
    "E": "this run's",
    "F": "a rule",
}
WOULD_BE = {
    "exact": "it would follow without chance, and no seed could make it false.",
    "this run's": "it would speak of what one run did, and say so.",
    "a rule": "it would speak of runs that nobody has made yet.",
}


def examine_sentences(answer):
    """One kind for each of six sentences."""
    faults_by_letter(answer, SENTENCES, WOULD_BE)
    return "C and F are the ones that need ten seeds, and both say nothing of a run."


EXERCISES = {
    "19.1": Exercise(None, examine_bets, bet=True, form=numbers_by_name(*BETS)),
    "19.2": Exercise(FAULTS, examine_faults, only_one=True),
    "19.3": Exercise(SENTENCES, examine_sentences, only_one=True),
    "19.4": Exercise(REFERENCE_CLAIM, examine_claim, form=_with_numbers),
}
