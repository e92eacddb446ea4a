"""Rules of the chapter on primes and words that are alike. Seeds whose runs are stored are read, others are trained as these were."""

import numpy as np
from sentences.trials import rule

from benchmarks.similarity import FEATURES, MODEL, NONE, SHUFFLED, UNIFORM, split, train
from cllm_lib import CLLM, CLLMConfig, defects, load_corpus
from cllm_lib.claims import stored
from cllm_lib.text import windows
from cllm_lib.training import renaming_gap

TEXTS, CONTROLS, TWENTY = ("prose", "sayings"), (SHUFFLED, UNIFORM), range(20)


def run_of(text, kind, seed):
    """One run, stored or new, at the chapter's strength: its loss on the last tenth, and how its embedding agrees with features."""
    variant = kind, 0.0 if kind == NONE else 1000.0
    kept = next(one for one in stored("similarity")["losses"] if one["text"] == text)
    if seed not in kept["seeds"]:
        return train(text, variant, seed)
    (found,) = (one for one in kept["runs"] if (one["kind"], one["strength"]) == variant)
    return {name: found[name][kept["seeds"].index(seed)] for name in ("judges", "agreement")}


def pulls(seed):
    """Text by text the run without a pull, and with each of the three; the sayings' loss before any training."""
    corpus, judge = split("sayings")
    untrained = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL), seed=seed).loss(*windows(judge, MODEL["seq_len"]))
    return {text: {kind: run_of(text, kind, seed) for kind in (NONE, FEATURES, *CONTROLS)} for text in TEXTS} | {"untrained": untrained}


def gain(of_text, kind):
    return of_text[NONE]["judges"] - of_text[kind]["judges"]


def gains(runs, text, kind):
    return np.array([gain(run[text], kind) for run in runs])


@rule("on both texts the pull of features ends lower with each seed", of=pulls, seeds=TWENTY)
def features_end_lower(run):
    return min(gain(run[text], FEATURES) for text in TEXTS) > 0


@rule("either of them ends lower than training without a pull", of=pulls, seeds=TWENTY)
def so_do_the_controls(run):
    return min(gain(run[text], kind) for text in TEXTS for kind in CONTROLS) > 0


@rule("The controls keep nine tenths of the gain, or more.", of=pulls, seeds=TWENTY, together=True)
def the_controls_keep_it(runs):
    return all(gains(runs, text, kind).mean() > 0.9 * gains(runs, text, FEATURES).mean() for text in TEXTS for kind in CONTROLS)


@rule("on the sayings the pull that knows no word is even the better one in most seeds", of=pulls, seeds=TWENTY, together=True)
def all_alike_is_better_on_the_sayings(runs):
    return (gains(runs, "sayings", UNIFORM) > gains(runs, "sayings", FEATURES)).mean() > 0.5


@rule("0.04 here, and 0.03 to 0.06 over twenty seeds", of=pulls, seeds=TWENTY)
def geometry_is_faint(run):
    return 0.025 < run["sayings"][FEATURES]["agreement"] < 0.065


@rule("On this tenth training alone did harm (as it did in nineteen of the twenty seeds that we tried)", of=pulls, seeds=TWENTY)
def training_does_harm(run):
    return run["sayings"][NONE]["judges"] > run["untrained"]


def other_order(seed):
    """By how much one renumbering of the words changes the loss of ids."""
    sayings = load_corpus("sayings")
    inputs, targets = windows(sayings.tokens, 16)
    embedding = np.zeros((len(sayings.vocabulary), 1))  # which the loss of ids does not look at
    loss = lambda names, embedding, tokens, targets: defects.lattice_loss(tokens, targets)  # noqa: E731
    return renaming_gap(loss, sayings.vocabulary, embedding, inputs, targets, seed=seed)


@rule("by 14 to 21 % in thirty other orders", of=other_order, seeds=range(1, 31))
def the_order_of_a_list_counts(change):
    return 0.135 < change < 0.215
