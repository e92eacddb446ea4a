"""The gradient check as an instrument: before training, and after it."""

import copy
import math

import numpy as np

from cllm_lib.instruments.kit.catalogue import Word, instrument
from cllm_lib.instruments.kit.tensors import group_of
from cllm_lib.instruments.slopes import FAINT, rounding_of, slopes_along

WRONG = 0.01  # of a slope: above it a gradient is wrong, below 1e-7 right (CS231n, "Neural Networks Part 3")
CLEAR = 1e-3  # of the whole gradient: slopes as steep as that give a factor
SPECK = 1e-8  # of the weights, as long as the shortest nudge
STEADY = 0.1  # of an error: where a gradient changes by more within a speck, as in a model that ran away, no nudge can judge it

_RULE = "a right gradient agrees with the slope it promises, in float64 to six digits"
_WORDS = (
    Word("wrong by one factor everywhere", lambda n: _by_one_factor(n), _RULE),
    Word("wrong everywhere", lambda n: _wrong_everywhere(n), _RULE),
    Word("wrong in the embedding alone", lambda n: _is_wrong(n, "embedding") and _wrong(n) == 1.0, _RULE),
    Word(
        "wrong in the embedding, right where no word stands twice",
        lambda n: _is_wrong(n, "embedding") and n["embedding, no word twice"] < WRONG,
        _RULE,
    ),
    Word("wrong in queries, keys or values", lambda n: _is_wrong(n, "queries and keys") or _is_wrong(n, "values"), _RULE),
    Word("wrong in norms", lambda n: _is_wrong(n, "norms"), _RULE),
    Word("wrong in the feed-forward network", lambda n: _is_wrong(n, "feed-forward"), _RULE),
    Word(
        "right in the output's matrix or the last norm only",
        lambda n: _wrong_everywhere(n) and n["topmost"] < WRONG,
        _RULE,
    ),
    Word("wrong somewhere", lambda n: _wrong(n) > 0.0, _RULE),
)


def _is_wrong(numbers, group):
    return numbers.get(group, 0.0) >= WRONG


def _groups(numbers):
    return [value for name, value in numbers.items() if name not in ("embedding, no word twice", "topmost", "factor", "factor's spread")]


def _wrong(numbers):
    return sum(value >= WRONG for value in _groups(numbers))


def _wrong_everywhere(numbers):
    """But for one group at most, and not by one factor."""
    return _wrong(numbers) >= max(1, len(_groups(numbers)) - 1) and not _by_one_factor(numbers)


def _by_one_factor(numbers):
    return abs(numbers["factor"] - 1.0) > 0.01 and numbers["factor's spread"] < 1e-3


def _checked(model, batch):
    """Errors of one check.

    Returns
    -------
    errors : dict of str to float
        The largest relative error by group of tensors, over both directions; 0 where promise and slope agree.
    factors : list of float
        Promise over slope, where both are well above rounding.
    topmost : float
        The largest error of what the gradient reaches first.
    """
    gradients, changes = _gradients(model, batch), _changes_within_a_speck(model, batch)
    twin, generator = copy.deepcopy(model), np.random.default_rng(0)
    whole = math.hypot(*(float(np.linalg.norm(gradient)) for gradient in gradients.values()))

    def loss():
        return twin.loss(*batch)

    rounding = rounding_of(loss, twin.flat_parameters, loss(), generator)
    errors, factors, topmost = {}, [], 0.0
    last = "final_norm.gain" if twin.config.norm_first else f"layers.{twin.config.n_layers - 1}.feed_forward_norm.gain"
    for name, gradient in gradients.items():
        slopes = slopes_along(loss, twin.parameters[name], gradient, rounding, FAINT * whole, generator)
        found = [error for error in (_error(slope, FAINT * whole) for slope in slopes) if changes[name] <= STEADY * error]
        group = group_of(name)
        errors[group] = max([errors.get(group, 0.0), *found])
        topmost = max([topmost, *found]) if name in (last, "output_weight") else topmost
        factors += [s.promised / s.measured for s in slopes if s.settled and abs(s.measured) > max(1e3 * s.resolution, CLEAR * whole)]
    return errors, factors, topmost


def _gradients(model, batch):
    """By name; the model stays as it was."""
    return copy.deepcopy(model).loss_and_gradients(*batch)[1]


def _changes_within_a_speck(model, batch):
    """By how much each tensor's gradient changes, as a share of itself, when all weights are nudged by a speck; 0 where it is steady."""
    nudged, before = copy.deepcopy(model), _gradients(model, batch)
    nudged.flat_parameters[...] *= 1.0 + SPECK * np.random.default_rng(1).standard_normal(nudged.flat_parameters.shape)
    after = _gradients(nudged, batch)
    return {name: float(np.linalg.norm(after[name] - old)) / (float(np.linalg.norm(old)) or 1.0) for name, old in before.items()}


def _error(slope, blur):
    """The relative error of a promise, where the slope was measured beyond doubt; else 0."""
    return abs(slope.promised - slope.measured) / max(abs(slope.promised), abs(slope.measured)) if slope.differs(blur) else 0.0


def _without_repeats(model):
    """A batch of one sequence in which no word stands twice."""
    length = min(model.config.seq_len, model.config.vocab_size - 1)
    words = np.arange(1, length + 1, dtype=np.int64)
    return words[None, :], np.roll(words, -1)[None, :]


def _check(twin, batch):
    errors, factors, topmost = _checked(twin, batch)
    alone, *_ = _checked(twin, _without_repeats(twin))
    middle = float(np.median(factors)) if factors and np.isfinite(factors).all() else 1.0
    spread = float(np.ptp(factors)) / abs(middle) if factors and middle and np.isfinite(factors).all() else math.inf
    extras = {"embedding, no word twice": alone.get("embedding", 0.0), "topmost": topmost, "factor": middle, "factor's spread": spread}
    return errors | extras


@instrument("gradient check at the start", 3, *_WORDS)
def gradient_check_at_the_start(patient):
    """Nudge every tensor of the model before training, and compare the loss's answer with the gradient's promise."""
    return _check(patient.first_twin, patient.batch)


@instrument("gradient check after training", 3, *_WORDS)
def gradient_check_after_training(patient):
    """Nudge every tensor of the trained model, and compare the loss's answer with the gradient's promise."""
    return _check(patient.twin, patient.batch)
