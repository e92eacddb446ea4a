"""Exercises of 22_what_changed_since_2017."""

import itertools
import math
import re
from functools import partial

import numpy as np

from cllm_lib.workbook.exercises.byte_pairs import examine_merge_once, merge_form, merge_once
from cllm_lib.workbook.exercises.forms import as_array, as_ids, several
from cllm_lib.workbook.exercises.gradients import BACKWARDS, GRADIENT_SHAPE, measured_slope, same_results, worst_of
from cllm_lib.workbook.exercises.gradients import several as several_of
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, array, call, matches, told_apart, worst

CHANGES = {
    "A": "norms first",
    "B": "RMSNorm",
    "C": "GELU",
    "D": "SwiGLU",
    "E": "grouped queries",
    "F": "rotary positions",
    "G": "all together",
}


def examine_bet(answer):
    """A prediction: the letters of the changes that help, or none."""
    if isinstance(answer, str):
        none = answer.strip(" `'\".").lower() == "none"
        letters = [] if none else [letter for letter in re.sub(r"\bAND\b", " ", answer.upper()) if letter not in " ,;/+&`'\"."]
        if not letters and not none:
            raise NotYet('no letter is in it. If you think that none of them helps, write "none".')
    elif isinstance(answer, set | frozenset | list | tuple | np.ndarray):
        letters = [letter.strip().upper() if isinstance(letter, str) else letter for letter in answer]
    else:
        raise NotYet(f'this is of type {type(answer).__name__}; letters in quotes were asked for, such as "AD".')
    for letter in letters:
        if not isinstance(letter, str) or letter not in CHANGES:
            raise NotYet(f'{letter!r:.20} is not in the table: take letters from {", ".join(CHANGES)}, or "none".')
    chosen = [name for letter, name in CHANGES.items() if letter in letters]
    return f"{', '.join(chosen) if chosen else 'none of them'}. *What was stored* will show."


# RMSNorm backward


def rms_norm_backward(dy, x, gain, eps=1e-5):
    """Reference: without the one direction that normalising removed."""
    inverse = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    normalised = x * inverse
    d_gain = (dy * normalised).reshape(-1, x.shape[-1]).sum(axis=0)
    d_normalised = dy * gain
    stretch = (d_normalised * normalised).mean(axis=-1, keepdims=True)
    return (d_normalised - normalised * stretch) * inverse, d_gain


_NORM_NAMES = ("dx", "d_gain")
_NORM_SHAPES = (GRADIENT_SHAPE, "one gain served every row, so it collects over all leading axes.")


def examine_rms_norm_backward(answer):
    """Against the Jacobian, entry by entry; small rows show the eps, a square shape comes first."""
    generator = np.random.default_rng(22)

    def look(shape, size, eps):
        x, dy, gain = size * generator.standard_normal(shape), generator.standard_normal(shape), generator.normal(1, 0.4, shape[-1])
        results = several_of(call(answer, dy, x, gain, eps), 2, _NORM_NAMES)
        right = _norm_slopes(dy, x, gain, eps)
        found = [array(*given) for given in zip(results, map(np.shape, right), _NORM_NAMES, _NORM_SHAPES, strict=True)]
        return worst_of(_NORM_NAMES, found, right), found, right, _norm_slips(dy, x, gain, eps, right)

    cases = (((4, 4), 1.0, 1e-5), ((2, 3, 5), 1.0, 1e-5), ((6,), 2.0, 1e-5), ((3, 2), 1e-2, 1e-3), ((2, 1, 3, 4), 1.0, 0.1))
    told_apart(look, cases, same_results, BACKWARDS)


def _norm_slopes(dy, x, gain, eps):
    """y[row, j] = gain[j] x[row, j] r, where r = (mean of the row's squares + eps)^(-1/2)."""
    dx, d_gain, width = np.zeros(x.shape), np.zeros(gain.shape), x.shape[-1]
    for row in np.ndindex(x.shape[:-1]):
        r = (math.fsum(value * value for value in x[row]) / width + eps) ** -0.5
        for i, j in itertools.product(range(width), repeat=2):
            dx[row][i] += dy[row][j] * gain[j] * (r * (i == j) - x[row][i] * x[row][j] * r**3 / width)
        d_gain += dy[row] * x[row] * r
    return dx, d_gain


def _norm_slips(dy, x, gain, eps, right):
    """What one gets by plausible mistakes; None stands for the right one of the two."""

    def mean(values):
        return values.mean(axis=-1, keepdims=True)

    inverse = 1 / np.sqrt(mean(x * x) + eps)
    n, d = x * inverse, dy * gain
    over = tuple(range(x.ndim - 1))
    whole = 1 / np.sqrt((x * x).mean() + eps)
    without_gain = (dy - n * mean(dy * n)) * inverse
    both = (d - mean(d) - n * mean(d * n)) * inverse
    bare = 1 / np.sqrt(mean(x * x))
    slips = {
        "That is LayerNorm's: it removes the common shift as well. RMSNorm takes no mean away, so one direction goes, along x.": [
            both,
            None,
        ],
        "Only the shift is removed, which RMSNorm never made: what goes is the stretch along x itself.": [(d - mean(d)) * inverse, None],
        "The root mean square was taken for a constant. It is made of x as well: a stretch of x changes nothing.": [d * inverse, None],
        "The gain is missing in dx: y was normalised * gain, so dy meets the gain first.": [without_gain, None],
        "The stretch is added; it is taken away.": [(d + n * mean(d * n)) * inverse, None],
        "The stretch is a mean over the row, and yours is the sum.": [(d - n * (d * n).sum(axis=-1, keepdims=True)) * inverse, None],
        "The stretch is taken with x and goes along x; both are the normalised row, x * inverse.": [(d - x * mean(d * x)) * inverse, None],
        "One of the two rows in the stretch is x as it came; the normalised row belongs in both places.": [
            (d - n * mean(d * x)) * inverse,
            None,
        ],
        "The stretch is of dy; dy times the gain is what reached the normalised row.": [(d - n * mean(dy * n)) * inverse, None],
        "The last factor is missing: all of it goes back through 1 / root mean square.": [d - n * mean(d * n), None],
        "You multiply by the root mean square where the forward pass divided by it; so does the backward pass.": [
            (d - n * mean(d * n)) / inverse,
            None,
        ],
        "You divide by the mean square; its root was asked for.": [(d - n * mean(d * n)) * inverse**2, None],
        "dx is the forward pass, normalised * gain: backward starts from dy.": [n * gain, None],
        "dx is the normalised row: backward starts from dy.": [n, None],
        "d_gain takes x; the gain was multiplied with the normalised row.": [None, (dy * x).sum(axis=over)],
        "d_gain takes dy times the gain; the slope of y by the gain is the normalised row alone.": [None, (d * n).sum(axis=over)],
        "d_gain is that of a bias: dy alone. The gain was multiplied with the normalised row.": [None, dy.sum(axis=over)],
        "d_gain is a mean over the rows; a gain that served many rows collects the sum.": [None, right[1] / max(1, x[..., 0].size)],
        "One root mean square for the whole array: each row has its own, mean(axis=-1, keepdims=True).": [
            (d - x * whole * mean(d * x * whole)) * whole,
            (dy * x * whole).sum(axis=over),
        ],
        "The eps is not used: it stands under the root, and for small rows it shows.": [
            (d - x * bare * mean(d * x * bare)) * bare,
            (dy * x * bare).sum(axis=over),
        ],
        "The two are exchanged: return dx first, then d_gain.": [right[1], right[0]] if x.ndim == 1 else [None, None],
        "You return zeros: did the work stay inside?": [np.zeros(x.shape), np.zeros(gain.shape)],
    }
    return _of_both(slips, right)


def _of_both(slips, right):
    """Slips of one of two results beside the other as it should be; those that cannot be told here are left out."""
    return {
        reason: tuple(e if r is None else r for r, e in zip(results, right, strict=True))
        for reason, results in slips.items()
        if any(r is not None for r in results)
    }


# The gate


def gate_backward(d_hidden, gate, up):
    """Reference: each factor of a product gets the other one, and the gate goes back through SiLU."""
    share = 1 / (1 + np.exp(-gate))
    slope = share + gate * share * (1 - share)
    return d_hidden * up * slope, d_hidden * gate * share


_GATE_NAMES = ("d_gate", "d_up")


def _opened(gate):
    """SiLU by tanh: the sigmoid of x is (1 + tanh(x / 2)) / 2."""
    return gate * (1 + np.tanh(gate / 2)) / 2


def examine_gate_backward(answer):
    """Against slopes measured by nudging, shut gates, open ones and those between."""
    generator = np.random.default_rng(23)

    def look(*shape):
        d_hidden, gate, up = generator.standard_normal(shape), generator.normal(0, 2, shape), generator.normal(0.5, 1, shape)
        results = several_of(call(answer, d_hidden, gate, up), 2, _GATE_NAMES)
        found = [array(result, shape, name, GRADIENT_SHAPE) for result, name in zip(results, _GATE_NAMES, strict=True)]
        right = (
            d_hidden * measured_slope(lambda value: _opened(value) * up, gate),
            d_hidden * measured_slope(lambda value: _opened(gate) * value, up),
        )
        return worst_of(_GATE_NAMES, found, right), found, right, _gate_slips(d_hidden, gate, up, right)

    told_apart(look, ((3, 3), (2, 3, 5), (7,), (1, 1)), same_results, "Each factor of a product gets dy times the other factor.")


def _gate_slips(d, gate, up, right):
    """What one gets by plausible mistakes; None stands for the right one of the two."""
    share = (1 + np.tanh(gate / 2)) / 2
    slope = share + gate * share * (1 - share)
    slips = {
        "The two are exchanged: return d_gate first, then d_up.": [right[1], right[0]],
        "In d_gate the gate's other half is missing: SiLU is x times sigmoid(x), and both factors grow with x.": [d * up * share, None],
        "d_gate has the slope of the sigmoid alone; SiLU is x times it, so the product rule gives two terms.": [
            d * up * share * (1 - share),
            None,
        ],
        "In d_gate the slope of the sigmoid lacks its gate: the second term is x * s * (1 - s).": [
            d * up * (share + share * (1 - share)),
            None,
        ],
        "In d_gate the first term is missing: the slope is s + x s (1 - s).": [d * up * gate * share * (1 - share), None],
        "The sign in d_gate: the slope is s + x s (1 - s), with 1 - s and a plus.": [
            [d * up * (share - gate * share * (1 - share)), d * up * (share + gate * share * (1 + share))],
            None,
        ],
        "d_gate did not go back through SiLU: it needs its slope.": [d * up, None],
        "d_gate has SiLU itself in place of its slope.": [d * up * gate * share, None],
        "up is missing in d_gate: each factor of a product gets the other one.": [d * slope, None],
        "d_up has the sigmoid alone; what multiplied up is SiLU, gate times sigmoid.": [None, d * share],
        "d_up has the gate as it came; what multiplied up is SiLU of it.": [None, d * gate],
        "d_up is d_hidden alone: each factor of a product gets the other one, SiLU of the gate.": [None, d],
        "d_up has SiLU's slope; up was multiplied with SiLU itself.": [None, d * slope],
        "d_up has up in it; it gets the other factor, SiLU of the gate.": [None, d * up],
        "The sigmoid is turned round: it is 1 / (1 + exp(-x)), with a minus.": [
            d * up * (1 - share + gate * share * (1 - share)),
            d * gate * (1 - share),
        ],
        "d_hidden is missing: the chain rule begins with it.": [up * slope, gate * share],
        "You return zeros: did the work stay inside?": [np.zeros(gate.shape), np.zeros(gate.shape)],
    }
    flat = {}
    for reason, (first, second) in slips.items():
        for i, one in enumerate(first if isinstance(first, list) else [first]):
            flat[reason, i] = [one, second]
    both = _of_both(flat, right)
    return {reason: [results for (of, _), results in both.items() if of == reason] for reason in slips}


# Heads that share


def share_heads(x, n_heads):
    """Reference: each head of keys stands for a group of queries' heads in a row."""
    return np.repeat(x, n_heads // x.shape[1], axis=1)


def examine_share_heads(answer):
    """Against a loop over heads; more than one head of keys, so that the order shows."""
    generator = np.random.default_rng(24)

    def look(batch, n_kv_heads, group, time, width):
        n_heads = n_kv_heads * group
        x = generator.standard_normal((batch, n_kv_heads, time, width))
        shape = (batch, n_heads, time, width)
        found = array(call(answer, x, n_heads), shape, "the result", "one head for each head of the queries, on axis 1.")
        right = np.stack([x[:, h * n_kv_heads // n_heads] for h in range(n_heads)], axis=1)
        known = {
            "Your heads go round, 0 1 0 1: head h gets head h % G. Groups stand in a row, 0 0 1 1: head h gets h // (H / G).": (
                np.tile(x, (1, group, 1, 1))
            ),
            "Every head gets the first head of keys: that is multi-query attention. Here each group has one of its own.": (
                np.repeat(x[:, :1], n_heads, axis=1)
            ),
            "The groups stand in the wrong order, the last one first.": np.repeat(x[:, ::-1], group, axis=1),
            "You divide by the size of the group; each of its heads gets the whole head of keys.": right / group,
            "The copies of a group are 0: all of its heads get the same keys.": _first_of_group(right, group),
            "The numbers are right and in another order: reshape does not repeat along an axis. np.repeat(..., axis=1).": (
                np.repeat(x, group).reshape(shape)
            ),
            "You repeat the positions and call them heads: the copies belong on axis 1.": np.repeat(x, group, axis=2).reshape(shape),
            "You repeat the columns and call them heads: the copies belong on axis 1.": np.repeat(x, group, axis=3).reshape(shape),
            "You repeat the sequences and call them heads: the copies belong on axis 1.": np.repeat(x, group, axis=0).reshape(shape),
            "You return the mean of all heads of keys, for every head.": np.repeat(x.mean(axis=1, keepdims=True), n_heads, axis=1),
        }
        return worst("the result", found, right), found, right, known

    cases = ((1, 2, 2, 3, 4), (2, 3, 2, 2, 3), (2, 2, 3, 1, 2), (1, 1, 4, 3, 2), (2, 4, 1, 3, 2))
    told_apart(look, cases, matches, "Head h of the queries gets head h // (H / G) of the keys.")


def _first_of_group(heads, group):
    kept = np.zeros_like(heads)
    kept[:, ::group] = heads[:, ::group]
    return kept


# Which columns are a pair


def halves_order(width):
    """Reference: all first ones of the pairs, then all second ones."""
    columns = np.arange(width, dtype=np.int64)
    return np.concatenate([columns[0::2], columns[1::2]])


def examine_halves_order(answer):
    """Against the places of the pairs one by one; from six columns on the order and its inverse differ."""

    def look(width):
        found = _columns(call(answer, width), width)
        half = width // 2
        right = np.zeros(width)
        for pair in range(half):
            right[pair], right[pair + half] = 2 * pair, 2 * pair + 1
        columns = np.arange(width, dtype=np.int64)
        known = {
            "That is the way back, its inverse: with yours row[order] takes halves to neighbours. (For 4 columns the two are the same.)": (
                np.argsort(right)
            ),
            "That is the order as it was: nothing changes places.": columns,
            "You exchange the two halves. Column 1 is the *second* of the first pair, and goes to place d/2.": np.roll(columns, half),
            "The second ones come first in yours: the first of pair i goes to place i, its second to i + d/2.": np.roll(right, half),
            "You turn the row round.": columns[::-1],
            "You exchange the two of each pair, and leave the pairs where they are.": columns.reshape(-1, 2)[:, ::-1].ravel(),
            "The first ones stand there twice; columns[1::2] are the second ones.": np.concatenate([right[:half], right[:half]]),
            "The first ones are right; the second ones run backwards in yours.": np.concatenate([right[:half], right[half:][::-1]]),
            "You count from 1; columns begin at 0.": right + 1,
        }
        return worst("the order", found, right), found, right, known

    told_apart(
        look,
        ((6,), (4,), (8,), (10,), (2,), (64,)),
        partial(matches, tolerance=1e-9),
        "Place i takes column 2i, place i + d/2 column 2i + 1.",
    )


def _columns(result, width):
    """The order, as an array of whole numbers from 0 on; what is no order of the columns is called so."""
    if isinstance(result, set | frozenset):
        raise NotYet("the order is a set, which keeps none; return a list or an array.")
    found = array(result, (width,), "the order", "one place for each column.")
    if np.asarray(result).dtype == bool:
        raise NotYet("the order holds True and False, which choose columns; numbers put them in order.")
    if (found != np.rint(found)).any():
        raise NotYet("the order holds fractions; numbers of columns are whole.")
    return counted_from_the_start(found, (width,))


def counted_from_the_start(order, given):
    """Numbers of columns, those that count from the end, as Python allows, turned into the same ones from the start."""
    (width,) = given
    return np.where((-width <= order) & (order < 0), order + width, order)


EXERCISES = {
    "22.1": Exercise(None, examine_bet, bet=True),
    "22.2": Exercise(rms_norm_backward, examine_rms_norm_backward, form=several(as_array, as_array)),
    "22.3": Exercise(gate_backward, examine_gate_backward, form=several(as_array, as_array)),
    "22.4": Exercise(share_heads, examine_share_heads, form=as_array),
    "22.5": Exercise(halves_order, examine_halves_order, form=as_ids),
    "22.6": Exercise(merge_once, examine_merge_once, form=merge_form),
}
