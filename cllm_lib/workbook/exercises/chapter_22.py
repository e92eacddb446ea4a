"""Exercises of 22_what_changed_since_2017."""

import itertools
import math
import re
from functools import partial

import numpy as np

from cllm_lib.model.activation_functions import gelu_forward
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


def _mean(values):
    """Of each row, keeping its axis."""
    return values.mean(axis=-1, keepdims=True)


def _norm_slips(dy, x, gain, eps, right):
    """What one gets by plausible mistakes; None stands for the right one of the two."""
    inverse = 1 / np.sqrt(_mean(x * x) + eps)
    n, d = x * inverse, dy * gain
    over, rows = tuple(range(x.ndim - 1)), dy * x * inverse
    without_gain = dy - n * _mean(dy * n)
    of_dx = {
        "That is LayerNorm's: it removes the common shift as well. RMSNorm takes no mean away, so one direction goes, along x.": (
            (d - _mean(d) - n * _mean(d * n)) * inverse
        ),
        "Only the shift is removed, which RMSNorm never made: what goes is the stretch along x itself.": (d - _mean(d)) * inverse,
        "The root mean square was taken for a constant. It is made of x as well: a stretch of x changes nothing.": d * inverse,
        "The gain is missing in dx: y was normalised * gain, so dy meets the gain first.": without_gain * inverse,
        "The gain comes at the end in yours; dy meets it first, before the stretch is taken.": gain * without_gain * inverse,
        "The stretch is added; it is taken away.": (d + n * _mean(d * n)) * inverse,
        "The stretch is a mean over the row, and yours is the sum.": (d - n * (d * n).sum(axis=-1, keepdims=True)) * inverse,
        "The stretch is taken with x and goes along x; both are the normalised row, x * inverse.": (d - x * _mean(d * x)) * inverse,
        "One of the two rows in the stretch is x as it came; the normalised row belongs in both places.": (d - n * _mean(d * x)) * inverse,
        "The stretch is of dy; dy times the gain is what reached the normalised row.": (d - n * _mean(dy * n)) * inverse,
        "You divide the stretch by mean(n * n), which the eps keeps below 1; no division was asked for.": (
            (d - n * _mean(d * n) / _mean(n * n)) * inverse
        ),
        "The last factor is missing: all of it goes back through 1 / root mean square.": d - n * _mean(d * n),
        "The last factor lacks the eps: it is the same 1 / root as in the forward pass.": (d - n * _mean(d * n)) / np.sqrt(_mean(x * x)),
        "You multiply by the root mean square where the forward pass divided by it; so does the backward pass.": (
            (d - n * _mean(d * n)) / inverse
        ),
        "You divide by the mean square; its root was asked for.": (d - n * _mean(d * n)) * inverse**2,
        "dx is the forward pass, normalised * gain: backward starts from dy.": n * gain,
        "dx is the normalised row: backward starts from dy.": n,
    }
    of_gain = {
        "d_gain takes x; the gain was multiplied with the normalised row.": (dy * x).sum(axis=over),
        "d_gain takes dy times the gain; the slope of y by the gain is the normalised row alone.": (d * n).sum(axis=over),
        "d_gain is that of a bias: dy alone. The gain was multiplied with the normalised row.": dy.sum(axis=over),
        "d_gain is a mean over the rows; a gain that served many rows collects the sum.": right[1] / max(1, x[..., 0].size),
        "d_gain divides by the root mean square twice.": (rows * inverse).sum(axis=over),
        "d_gain has a sum for each row; each entry of the gain collects over the rows: the last axis stays.": (
            rows.sum(axis=-1) if x.ndim == 2 and len(x) == len(gain) else np.full(gain.shape, np.nan)  # elsewhere of another shape
        ),
        "The two of the reshape are exchanged: rows of the gain's length are .reshape(-1, x.shape[-1]), and summed over axis 0.": (
            rows.reshape(len(gain), -1).sum(axis=1)
        ),
    }
    slips = {reason: (dx, right[1]) for reason, dx in of_dx.items()}
    slips |= {reason: (right[0], d_gain) for reason, d_gain in of_gain.items()}
    return slips | _slips_in_both(dy, x, gain, eps, right)


def _slips_in_both(dy, x, gain, eps, right):
    """Slips that both results have, most of them in what x is divided by."""
    centred = x - _mean(x)

    def given(square, x=x, added=eps):
        """Both results, right for a forward pass that divides x by the root of a square."""
        inverse = 1 / np.sqrt(square + added)
        n, d = x * inverse, dy * gain
        return (d - n * _mean(d * n)) * inverse, (dy * n).sum(axis=tuple(range(x.ndim - 1)))

    by_variance, (of_centred, its_gain) = given(_mean(centred**2)), given(_mean(centred**2), centred)
    shift = _mean(dy * gain) / np.sqrt(_mean(centred**2) + eps)
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True) + eps)
    of_length = x / length
    slips = {
        "That is LayerNorm's backward pass, which takes the mean away; RMSNorm has no mean, in either direction.": (
            of_centred - shift,
            its_gain,
        ),
        "You take the mean from x first, as LayerNorm does; RMSNorm leaves x where it is.": [
            (of_centred, its_gain),
            given(_mean(x * x), centred),
        ],
        "You divide by the standard deviation, LayerNorm's; RMSNorm divides by the root of the mean square, and takes no mean away.": (
            by_variance
        ),
        "One root mean square for the whole array: each row has its own, mean(axis=-1, keepdims=True).": given((x * x).mean()),
        "The eps is not used: it stands under the root, and for small rows it shows.": given(_mean(x * x), added=0.0),
        "The eps stands beside the root; it belongs under it: sqrt(mean + eps).": given((np.sqrt(_mean(x * x)) + eps) ** 2, added=0.0),
        "Your eps is 1e-5 whatever is asked for; it is an argument.": given(_mean(x * x), added=1e-5),
        "The two are exchanged: return dx first, then d_gain.": right[::-1] if x.ndim == 1 else None,
        "You divide by the length of the row, the root of the sum; both the root and the stretch take the mean.": (
            (dy * gain - of_length * (dy * gain * of_length).sum(axis=-1, keepdims=True)) / length,
            (dy * of_length).sum(axis=tuple(range(x.ndim - 1))),
        ),
        "Both have the wrong sign.": (-right[0], -right[1]),
        "You return zeros: did the work stay inside?": (np.zeros(x.shape), np.zeros(gain.shape)),
    }
    without = right if x.ndim == 1 else _without_keepdims(dy, x, gain, eps)
    return slips | {"Without keepdims=True the mean of row i meets column i: give both means their axis.": without}


def _without_keepdims(dy, x, gain, eps):
    if x.ndim != 2 or len(x) != len(gain):  # there it raises
        return np.full(x.shape, np.nan), np.full(gain.shape, np.nan)
    inverse = 1 / np.sqrt((x * x).mean(axis=-1) + eps)
    n, d = x * inverse, dy * gain
    half = (d - n * _mean(d * n)) / np.sqrt(_mean(x * x) + eps)
    return [((d - n * (d * n).mean(axis=-1)) * inverse, (dy * n).sum(axis=0)), (half, (dy * n).sum(axis=0))]


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

    told_apart(look, ((3, 3), (2, 3, 5), (7,), (1, 1)), same_results, "Each factor of a product gets d_hidden times the other factor.")


def _gate_slips(d, gate, up, right):
    """What one gets by plausible mistakes in one of the two, or in both."""
    share = (1 + np.tanh(gate / 2)) / 2
    slope, silu = share + gate * share * (1 - share), gate * share
    slopes = {
        "In d_gate the gate's other half is missing: SiLU is x times sigmoid(x), and both factors grow with x.": [share],
        "d_gate has the slope of the sigmoid alone; SiLU is x times it, so the product rule gives two terms.": [share * (1 - share)],
        "In d_gate the slope of the sigmoid lacks its gate: the second term is x * s * (1 - s).": [share + share * (1 - share)],
        "In d_gate the first term is missing: the slope is s + x s (1 - s).": [gate * share * (1 - share)],
        "In d_gate the first term is s, as the slope of x is 1; yours is 1.": [1 + gate * share * (1 - share)],
        "The sign in d_gate: the slope is s + x s (1 - s), with 1 - s and a plus.": [
            share - gate * share * (1 - share),
            share + gate * share * (1 + share),
        ],
        "The slope in d_gate is s (1 + x (1 - s)): look at the brackets.": [
            share * (1 + gate) * (1 - share),
            share * (1 + gate - share),
        ],
        "1 - s * s is the slope of tanh; that of the sigmoid is s (1 - s).": [share + gate * (1 - share**2)],
        "In d_gate stands 1 - x; the slope of the sigmoid is s (1 - s).": [share + gate * share * (1 - gate)],
        "d_gate did not go back through SiLU: it needs its slope.": [1],
        "d_gate has SiLU itself in place of its slope.": [silu],
        "d_gate has SiLU beside its slope; the slope alone was asked for.": [silu * slope],
        "The slope is taken where SiLU came out; it is taken at the gate, where SiLU went in.": [_slope_of_silu(silu)],
    }
    in_gate = {reason: [d * up * one for one in several] for reason, several in slopes.items()} | {
        "up is missing in d_gate: each factor of a product gets the other one.": [d * slope],
        "up is in d_gate twice: each factor of a product gets the other one.": [d * up * up * slope],
    }
    in_up = {
        "d_up has the sigmoid alone; what multiplied up is SiLU, gate times sigmoid.": d * share,
        "d_up has the gate as it came; what multiplied up is SiLU of it.": d * gate,
        "d_up is d_hidden alone: each factor of a product gets the other one, SiLU of the gate.": d,
        "d_up has SiLU's slope; up was multiplied with SiLU itself.": d * slope,
        "d_up has up in it; it gets the other factor, SiLU of the gate.": d * up,
        "d_up has up beside the gate; it gets the other factor alone, SiLU of the gate.": d * up * silu,
    }
    slips = {reason: [(one, right[1]) for one in several] for reason, several in in_gate.items()}
    slips |= {reason: [(right[0], one)] for reason, one in in_up.items()}
    return slips | _gate_slips_in_both(d, gate, up, right)


def _gate_slips_in_both(d, gate, up, right):
    """The same for mistakes that both results show."""
    share, tanh = (1 + np.tanh(gate / 2)) / 2, np.tanh(gate)
    turned, slope = 1 - share, _slope_of_silu(gate)
    return {
        "The two are exchanged: return d_gate first, then d_up.": right[::-1],
        "SiLU is on up in yours; it is the gate that goes through it.": (d * _opened(up), d * gate * _slope_of_silu(up)),
        "The sigmoid is turned round: it is 1 / (1 + exp(-x)), with a minus.": (
            d * up * (turned + gate * share * turned),
            d * gate * turned,
        ),
        "That is tanh in place of the sigmoid, 1 / (1 + exp(-x)).": (d * up * (tanh + gate * (1 - tanh**2)), d * gate * tanh),
        "That is ReLU's gate, open or shut; SiLU opens by the sigmoid.": (d * up * (gate > 0), d * np.maximum(gate, 0)),
        "That is GELU's gate, the share of a normal distribution; SiLU has the sigmoid.": (
            d * up * measured_slope(gelu_forward, gate),
            d * gelu_forward(gate),
        ),
        "d_hidden is missing: the chain rule begins with it.": (up * slope, _opened(gate)),
        "Both have the wrong sign.": (-right[0], -right[1]),
        "You return zeros: did the work stay inside?": (np.zeros(gate.shape), np.zeros(gate.shape)),
    }


def _slope_of_silu(x):
    share = (1 + np.tanh(x / 2)) / 2
    return share + x * share * (1 - share)


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
            "You return the sum of all heads of keys, for every head.": np.repeat(x.sum(axis=1, keepdims=True), n_heads, axis=1),
            "You multiply by the size of the group; each of its heads gets the head of keys as it is.": right * group,
            "Head h gets head h % (H / G) in yours; whole division, h // (H / G), was asked for.": _by_number(x, range(n_heads), group),
            "Head h gets head h // G in yours; G is the number of groups, and h is divided by their size, H / G.": (
                _by_number(x, [h // n_kv_heads for h in range(n_heads)])
            ),
            "The heads of keys stand there once, and zeros behind them; each of a group gets its keys.": (
                np.concatenate([x, np.zeros((batch, n_heads - n_kv_heads, time, width))], axis=1)
            ),
            "np.resize reads on through the sequences; np.repeat(..., axis=1) stays in each.": np.resize(x, shape),
            "Every head gets the last head of keys; each group has one of its own.": np.repeat(x[:, -1:], n_heads, axis=1),
        }
        return worst("the result", found, right), found, right, known

    cases = ((1, 2, 2, 3, 4), (2, 3, 2, 2, 3), (2, 2, 3, 1, 2), (1, 1, 4, 3, 2), (2, 4, 1, 3, 2))
    told_apart(look, cases, matches, "Head h of the queries gets head h // (H / G) of the keys.")


def _by_number(x, numbers, wrapped=None):
    """Heads by their number, or by what is left of it; no numbers where there is no such head, and the answer raises."""
    numbers = [number % wrapped if wrapped else number for number in numbers]
    inside = max(numbers) < x.shape[1]
    return x[:, numbers] if inside else np.full((len(x), len(numbers), *x.shape[2:]), np.nan)


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
        given = _columns(call(answer, width), width)
        found, half = counted_from_the_start(given, (width,)), width // 2
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
            "The second of pair i is column 2i + 1; yours is 2i - 1.": counted_from_the_start(right - 2 * (columns >= half), (width,)),
            "The second of pair i is column 2i + 1; yours is 2i + 2.": right + (columns >= half),
            "Both run backwards in yours: pair 0 comes first.": np.concatenate([right[:half][::-1], right[half:][::-1]]),
            "The first ones run backwards in yours: pair 0 comes first.": np.concatenate([right[:half][::-1], right[half:]]),
        }
        return worst("the order", np.where(found == right, right, given), right), found, right, known

    told_apart(
        look,
        ((6,), (4,), (8,), (10,), (2,), (64,)),
        partial(matches, tolerance=1e-9),
        "Place i takes column 2i, place i + d/2 column 2i + 1.",
    )


def _columns(result, width):
    """The order, as an array of whole numbers; what is no order of the columns is called so."""
    if isinstance(result, set | frozenset):
        raise NotYet("the order is a set, which keeps none; return a list or an array.")
    found = array(result, (width,), "the order", "one place for each column.")
    if np.asarray(result).dtype == bool:
        raise NotYet("the order holds True and False, which choose columns; numbers put them in order.")
    if (found != np.rint(found)).any():
        raise NotYet("the order holds fractions; numbers of columns are whole.")
    return found


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
