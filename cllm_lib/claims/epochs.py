"""The fairest test we know of "may indeed reduce epochs needed": epochs until a fixed held-out loss, both sides tuned alike.

1. Every side gets the same five learning rates on ten seeds (:func:`tuning`), which are not used again.
2. The plain model's tuning fixes the loss to reach, once for each text and the same for all: one that it does reach
   (:func:`targets`).
3. Each side takes the rate that reached it soonest in the mean (:func:`chosen_rates`): what chooses is what judges.
4. With it each side runs with ten new seeds (:func:`epochs_needed`).

The third text is patterns, the kind of test set that document 004 asks for: one in which positions matter. All is judged on the
last fifth of a text.

A run that does not get there within the horizon counts with the horizon, which is then too little: a restricted mean, as in
the study of survival. Chapter 18 shows what another target, and rates chosen by a median, would have made of the same curves.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, read_once, runs
from cllm_lib.lattice.biases import ulam_distances
from cllm_lib.lattice.similarity import feature_matrix, feature_similarities
from cllm_lib.model.attention import DistanceBiasAttention
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.regularizers import LaplacianRegularizer
from cllm_lib.training.trainer import Trainer

MODEL = dict(d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=16)
BATCH = 8
HELD_OUT = 0.2
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TUNING_SEEDS, SEEDS = range(100, 110), range(3, 13)
HORIZONS = {"sayings": 20, "prose": 10, "patterns": 6}  # epochs
STEPS_BETWEEN = {"sayings": 3, "prose": 12, "patterns": 25}  # evaluations: two to five an epoch
STRENGTH = 1_000.0  # of all pulls, chosen in chapter 14, on texts that judge here, and not tuned here: it favours the pulls
WORTH_IT = 0.05  # of the horizon: fewer epochs saved are not worth a word


def alike(vocabulary):  # -> (V, V)
    """One similarity for all pairs, the mean of those by features: a pull that knows nothing of words."""
    found = feature_similarities(feature_matrix(vocabulary))
    return np.full_like(found, found[np.triu_indices(len(found), 1)].mean())


def of_another_word(vocabulary):  # -> (V, V)
    """The similarities by features, dealt out to other words: as many pulls, as strong, between words that are not alike."""
    order = np.random.default_rng(0).permutation(len(vocabulary))
    return feature_similarities(feature_matrix(vocabulary))[np.ix_(order, order)]


@dataclass(frozen=True)
class Side:
    """What a model gets that the plain one has not.

    Attributes
    ----------
    crystalline : bool
        Whether the documents' ideas are in it, in whatever sound form.
    parts : dict
        More arguments of :class:`~cllm_lib.model.config.CLLMConfig`.
    attention : callable or None
        Makes what stands in attention's place.
    similarities : callable or None
        From the vocabulary to the similarities that a pull goes by.
    """

    crystalline: bool
    parts: dict = field(default_factory=dict)
    attention: object = None
    similarities: object = None


SIDES = {
    "plain": Side(False),
    "rotary": Side(False, {"positions": "rotary"}),
    "distance bias": Side(False, {"positions": "distance_bias"}),
    "pull, all alike": Side(False, similarities=alike),
    "pull, of another word": Side(False, similarities=of_another_word),
    "spiral": Side(True, {"positions": "spiral"}),
    "clock": Side(True, {"positions": "clock"}),
    "prime": Side(True, {"positions": "prime"}),
    "Ulam distance bias": Side(True, attention=lambda: DistanceBiasAttention(ulam_distances(MODEL["seq_len"]))),
    "pull, by features": Side(True, similarities=lambda words: feature_similarities(feature_matrix(words))),
}


TUNINGS = {f"{side}, {rate:g}": (side, rate) for side, rate in itertools.product(SIDES, RATES)}


@experiment(variants=TUNINGS, seeds=TUNING_SEEDS, texts=HORIZONS, fast={"variants": ["plain, 0.01"], "seeds": [100], "texts": ["sayings"]})
def tuning(variant, seed, text):
    """A side at one of the five rates; see :func:`curve`."""
    return curve(*TUNINGS[variant], seed, text)


@experiment(variants=SIDES, seeds=SEEDS, texts=HORIZONS, fast={"variants": ["plain", "rotary"], "seeds": [3], "texts": ["sayings"]})
def epochs_needed(variant, seed, text):
    """A side at the rate that its tuning chose, with a new seed: the rate, and the numbers of :func:`curve`."""
    rate = chosen_rates()[variant, text]
    return {"rate": rate} | curve(variant, rate, seed, text)


def curve(side, rate, seed, text):
    """Train one model to the horizon of the text; held-out loss at each evaluation.

    Parameters
    ----------
    side : str
        A key of :data:`SIDES`.
    rate : float
    seed : int
    text : str
        A key of :data:`HORIZONS`.

    Returns
    -------
    dict of str to float
        From "epoch 0" on, in nats.
    """
    one, corpus = SIDES[side], load_corpus(text, validation_fraction=HELD_OUT)
    attention = None if one.attention is None else one.attention()
    model = CLLM(CLLMConfig(len(corpus.vocabulary), **MODEL, **one.parts), seed, attention=attention)
    pull = None if one.similarities is None else LaplacianRegularizer(one.similarities(corpus.vocabulary), STRENGTH)
    settings = dict(learning_rate=rate, batch_size=BATCH, seed=seed, evaluate_every=STEPS_BETWEEN[text], regularizer=pull)
    trainer = Trainer(model, corpus, **settings, stop_when_not_finite=False)
    trainer.evaluate()
    with np.errstate(all="ignore"):  # a rate that is too high may blow up: then it does not reach the target
        trainer.fit(epochs=HORIZONS[text])
    losses = trainer.history.validation_losses
    return {f"epoch {step / trainer.batches_per_epoch:.6g}": round(loss, 6) for step, loss in losses.items()}


def epochs_to(target, epochs, losses):
    """When a curve first comes down to a loss, by a straight line between the evaluations around it.

    Parameters
    ----------
    target : float
    epochs, losses : sequence of float
        Of the evaluations, the first before training.

    Returns
    -------
    float
        `numpy.inf` if it never does.

    Examples
    --------
    >>> epochs_to(2.0, [0, 1, 2], [3.0, 2.5, 1.5])
    1.5
    """
    there = np.asarray(losses) <= target
    if not there.any():
        return np.inf
    i = int(np.argmax(there))
    if i == 0:
        return float(epochs[0])
    return float(np.interp(-target, [-losses[i - 1], -losses[i]], [epochs[i - 1], epochs[i]]))


@read_once
def curves(name):
    """The stored curves of :func:`tuning` or :func:`epochs_needed`.

    Returns
    -------
    dict of (str, str) to dict of int to (list, list)
        By variant and text, then by seed: epochs, and held-out losses.
    """
    found = {}
    for run, value in runs(name).items():
        if run.measure.startswith("epoch "):
            epochs, losses = found.setdefault((run.variant, run.text), {}).setdefault(run.seed, ([], []))
            epochs.append(float(run.measure.removeprefix("epoch ")))
            losses.append(value)
    return found


REACHED = 0.8  # share of the plain model's tuning seeds that get to the target


@read_once
def targets():
    """The loss to reach on each text: the lowest that eight of ten tuning seeds of the plain model get to, at its best rate.

    The best rate is the one where that loss is lowest. Nothing else is asked, so the plain model is known to get there.

    Returns
    -------
    dict of str to float
    """
    return {text: min(_lowest("plain", rate, text, REACHED) for rate in RATES) for text in HORIZONS}


def _lowest(side, rate, text, share):
    """The lowest loss that a share of the tuning seeds gets to within the horizon."""
    lowest = [np.nanmin(losses) for _, losses in curves("tuning")[f"{side}, {rate:g}", text].values()]
    return float(np.quantile(lowest, share, method="inverted_cdf"))


def epochs_of_arrival(name, variant, text):
    """Epochs until the target, one a seed; `numpy.inf` where the horizon came first."""
    return np.array([epochs_to(targets()[text], *one) for one in curves(name)[variant, text].values()])


def restricted(name, variant, text):
    """Epochs until the target, one a seed, none counted longer than the horizon."""
    return np.minimum(epochs_of_arrival(name, variant, text), HORIZONS[text])


@read_once
def chosen_rates():
    """The rate of each side on each text: the least mean of restricted epochs over the tuning seeds, which is what judges.

    Where no seed gets there at any rate, the lowest mean of the best losses.

    Returns
    -------
    dict of (str, str) to float
    """
    return {(side, text): min(RATES, key=lambda rate: _rank(side, rate, text)) for side in SIDES for text in HORIZONS}


def _rank(side, rate, text):
    variant = f"{side}, {rate:g}"
    lowest = [np.nanmin(losses) for _, losses in curves("tuning")[variant, text].values()]
    return float(restricted("tuning", variant, text).mean()), float(np.mean(lowest))


def best_side(text, crystalline):
    """Of one camp, the side whose tuning came to the target first, at its chosen rate."""
    camp = [side for side, one in SIDES.items() if one.crystalline == crystalline]
    return min(camp, key=lambda side: _rank(side, chosen_rates()[side, text], text))


RIVALS = ("plain", "the best of the others")
SOONER = {
    (text, rival): below(f"{text}: best crystalline side minus {rival}", 0.0, WORTH_IT * horizon, "epochs")
    for text, horizon in HORIZONS.items()
    for rival in RIVALS
}


@measured(
    "18",
    "May reduce epochs needed if implemented correctly",
    "000",
    about='crystalline algorithms; 001 has the sentence too, with "indeed"',
    section="Crystalline Lattice Considerations",
    experiment=(
        f"Epochs until a held-out loss that the plain model's tuning fixed, on three texts; {len(SIDES)} sides, five learning rates each "
        "on ten tuning seeds, ten new seeds at the rate chosen; the crystalline side that was best in tuning against the plain model and "
        "against the best of the others."
    ),
    change_our_mind="On every text, fewer epochs than the best side that is not crystalline, by the corrected interval.",
    asks=SOONER.values(),
    texts="each of three texts",
)
def fewer_epochs():
    """Paired by seed; a side was picked by its tuning, never by the runs that judge."""
    check_rates()
    found, words = {}, []
    for text in HORIZONS:
        ours, other = best_side(text, True), best_side(text, False)
        for rival, side in zip(RIVALS, ("plain", other), strict=True):
            differences = restricted("epochs_needed", ours, text) - restricted("epochs_needed", side, text)
            found[text, rival] = SOONER[text, rival](differences)
        arrived = ", ".join(
            f"{np.isfinite(epochs_of_arrival('epochs_needed', side, text)).sum()} of {side!r}"
            for side in dict.fromkeys((ours, "plain", other))
        )
        plain, best = (found[text, rival] for rival in RIVALS)
        words.append(f"{text}: {ours} against plain {plain:+.2f}, against {other} {best:+.2f} (got there: {arrived})")
    won, beaten = ([text for text in HORIZONS if found[text, rival].answer] for rival in RIVALS)
    judged = verdict(every(found[text, RIVALS[1]].answer for text in HORIZONS), _condition(won, beaten))
    return f"difference in epochs until the target (95 %): {'; '.join(words)}", judged, list(found.values())


def _condition(won, beaten):
    """Where it is first of all; or else, where it is before the plain model at least."""
    if beaten:
        return f"the text is {' or '.join(beaten)}, of these three"
    return f"the rival is the plain model, on {' and '.join(won)}: an ordinary remedy does as well or better" if won else None


def check_rates():
    """Raise a ValueError if the stored runs used other rates than the stored tuning chooses: then they belong to another one."""
    for run, value in runs("epochs_needed").items():
        if run.measure == "rate" and value != chosen_rates()[run.variant, run.text]:
            raise ValueError(
                f"epochs_needed has {run.variant!r} on {run.text!r} at {value:g}, and the tuning chooses "
                f"{chosen_rates()[run.variant, run.text]:g}: run both anew, tuning first, with `make evidence`"
            )
