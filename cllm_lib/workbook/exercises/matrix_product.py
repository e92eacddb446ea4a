"""An exercise of 05_where_gradients_come_from: back through a matrix product."""

import itertools

import numpy as np

from cllm_lib.workbook.exercises.gradients import BACKWARDS, GRADIENT_SHAPE, same_results, several, worst_of
from cllm_lib.workbook.exercises.machinery import Unexplained, array, call, told_apart


def matmul_backward(dy, x, weight):
    """Reference: each number of x collects over the columns that it moved, each weight over the rows that used it."""
    rows = x.reshape(-1, x.shape[-1])
    d_weight = rows.T @ dy.reshape(-1, dy.shape[-1])
    return dy @ weight.T, d_weight


def examine_matmul_backward(answer):
    """Against sums over all that each number moved; squares come first, where no shape gives a slip away."""
    names = ("dx", "d_weight")
    why = (GRADIENT_SHAPE, "one weight served every row of every sequence, so it collects over all leading axes.")

    def look(*sizes):
        *front, width, columns = sizes
        generator = np.random.default_rng(17)
        x, weight = generator.standard_normal((*front, width)), generator.standard_normal((width, columns))
        dy = generator.standard_normal((*front, columns))
        results = several(_called(answer, dy, x, weight), 2, names)
        found = [array(*given) for given in zip(results, (x.shape, weight.shape), names, why, strict=True)]
        right = _matmul_slopes(dy, x, weight)
        return worst_of(names, found, right), found, right, _matmul_slips(dy, x, weight, right)

    told_apart(look, ((3, 3, 3), (2, 3, 3, 3), (2, 4, 3, 5), (2, 1, 3, 2, 4), (1, 1, 1)), same_results, BACKWARDS)


def _called(answer, dy, x, weight):
    """What the function returns; where it fails for x of three axes, with what `.T` does there."""
    try:
        return call(answer, dy, x, weight)
    except Unexplained as reason:
        if x.ndim != 3 or x.shape[-1] != dy.shape[-1]:
            raise
        raised, _, _ = reason.seen.partition(" The arguments were")
        raise Unexplained(raised, "`.T` turns all axes round, swapaxes(-1, -2) the last two alone.") from None


def _matmul_slopes(dy, x, weight):
    """Both gradients, entry by entry: y[row, e] grows with x[row, d] by weight[d, e], and with weight[d, e] by x[row, d]."""
    dx, d_weight = np.zeros(x.shape), np.zeros(weight.shape)
    for *row, d, e in itertools.product(*map(range, (*x.shape, dy.shape[-1]))):
        dx[*row, d] += dy[*row, e] * weight[d, e]
        d_weight[d, e] += dy[*row, e] * x[*row, d]
    return dx, d_weight


def _matmul_slips(dy, x, weight, right):
    """What one gets by plausible mistakes, where the shapes allow them; below, None stands for the right one."""
    rows, d_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    each = x.swapaxes(-1, -2) @ dy  # a gradient for each sequence
    slips = {
        "You return zeros: did the work stay inside?": [np.zeros(x.shape), np.zeros(weight.shape)],
        "That is x @ weight, the forward pass: backward starts from dy.": [x @ weight, None],
        "dx is dy itself: dy has still to go back through the weight.": [dy, None],
        "The weight is not transposed: entry d of x moved every column e, by weight[d, e], so it collects over the columns.": [
            dy @ weight if weight.shape[0] == weight.shape[1] else None,
            None,
        ],
        "The two are exchanged: return dx first, then d_weight.": [right[1], right[0]],
        "The factors of dx stand in the wrong order: dy first, whose last axis is weight's columns.": [_if_fits(weight, dy), None],
        "The factors of dx stand in the wrong order: dy first, then the weight, transposed.": [_if_fits(weight.T, dy), None],
        "dx is turned on its side: rows and columns are exchanged.": [right[0].swapaxes(-1, -2), None],
        "d_weight is turned on its side: its rows belong to x's last axis, its columns to y's.": [None, right[1].T],
        "x is not transposed (reshape alone does not do it): the axes of the rows have to meet, for a weight collects over all rows.": [
            None,
            _if_fits(x, dy),
        ],
        "d_weight takes dy first and does not transpose it: the axes of the rows have to meet.": [None, _if_fits(dy, x)],
        "d_weight is made of dy and the weight. weight[d, e] was multiplied with x, so x is what its slope holds.": [
            None,
            _if_fits(d_rows.T, weight),
        ],
        "You take the mean over the rows; a weight that is used many times collects the sum.": [None, right[1] / len(rows)],
    }
    if each.ndim > 2:
        over = tuple(range(each.ndim - 2))
        slips |= {
            "You take the mean over the leading axes; a weight that is used many times collects the sum.": [None, each.mean(axis=over)],
            "d_weight is that of one sequence alone; all of them used the weight.": [None, each.reshape(-1, *weight.shape)[0]],
            "d_weight is that of the last sequence alone; all of them used the weight.": [None, each.reshape(-1, *weight.shape)[-1]],
        }
    fits = {reason: all(r is None or r.shape == e.shape for r, e in zip(results, right, strict=True)) for reason, results in slips.items()}
    return {
        reason: [tuple(e if r is None else r for r, e in zip(results, right, strict=True))]
        for reason, results in slips.items()
        if fits[reason] and any(r is not None for r in results)
    }


def _if_fits(first, second):
    """The product, where there is one."""
    try:
        return first @ second
    except ValueError:
        return None
