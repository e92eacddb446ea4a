"""An exercise of 03_attention_backward: back through a matrix product."""

import itertools

import numpy as np

from cllm_lib.workbook.exercises.gradients import GRADIENT_SHAPE, say_why, several
from cllm_lib.workbook.exercises.machinery import NotYet, Unexplained, array, call, matches


def matmul_backward(dy, x, weight):
    """Reference: each number of x collects over the columns that it moved, each weight over the rows that used it."""
    rows = x.reshape(-1, x.shape[-1])
    d_weight = rows.T @ dy.reshape(-1, dy.shape[-1])
    return dy @ weight.T, d_weight


def examine_matmul_backward(answer):
    """Against sums over all that each number moved; squares come first, where no shape gives a slip away."""
    for *front, width, columns in ((3, 3, 3), (2, 3, 3, 3), (2, 4, 3, 5), (2, 1, 3, 2, 4), (1, 1, 1)):
        generator = np.random.default_rng(17)
        x, weight = generator.standard_normal((*front, width)), generator.standard_normal((width, columns))
        dy = generator.standard_normal((*front, columns))
        try:
            result = call(answer, dy, x, weight)
        except Unexplained:
            if len(front) != 2 or width != columns:
                raise
            raise NotYet(
                f"it holds for x of two axes; for x of shape {x.shape} it raised an error. `.T` turns all axes round, "
                "swapaxes(-1, -2) the last two alone."
            ) from None
        dx, d_weight = several(result, 2, ("dx", "d_weight"))
        found = {
            "dx": array(dx, x.shape, "dx", GRADIENT_SHAPE),
            "d_weight": array(
                d_weight, weight.shape, "d_weight", "one weight served every row of every sequence, so it collects over all leading axes."
            ),
        }
        expected = _matmul_slopes(dy, x, weight)
        if not all(matches(found[name], expected[name]) for name in found):
            say_why(found, expected, _matmul_slips(dy, x, weight, expected))


def _matmul_slopes(dy, x, weight):
    """Both gradients, entry by entry: y[row, e] grows with x[row, d] by weight[d, e], and with weight[d, e] by x[row, d]."""
    dx, d_weight = np.zeros(x.shape), np.zeros(weight.shape)
    for *row, d, e in itertools.product(*map(range, (*x.shape, dy.shape[-1]))):
        dx[*row, d] += dy[*row, e] * weight[d, e]
        d_weight[d, e] += dy[*row, e] * x[*row, d]
    return {"dx": dx, "d_weight": d_weight}


def _matmul_slips(dy, x, weight, right):
    """What one gets by plausible mistakes, where the shapes allow them; None stands for "whatever it is"."""
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
        "The two are exchanged: return dx first, then d_weight.": [right["d_weight"], right["dx"]],
        "The factors of dx stand in the wrong order: dy first, whose last axis is weight's columns.": [_if_fits(weight, dy), None],
        "The factors of dx stand in the wrong order: dy first, then the weight, transposed.": [_if_fits(weight.T, dy), None],
        "dx is turned on its side: rows and columns are exchanged.": [right["dx"].swapaxes(-1, -2), None],
        "d_weight is turned on its side: its rows belong to x's last axis, its columns to y's.": [None, right["d_weight"].T],
        "x is not transposed (reshape alone does not do it): the axes of the rows have to meet, for a weight collects over all rows.": [
            None,
            _if_fits(x, dy),
        ],
        "d_weight takes dy first and does not transpose it: the axes of the rows have to meet.": [None, _if_fits(dy, x)],
        "d_weight is made of dy and the weight. weight[d, e] was multiplied with x, so x is what its slope holds.": [
            None,
            _if_fits(d_rows.T, weight),
        ],
        "You take the mean over the rows; a weight that is used many times collects the sum.": [None, right["d_weight"] / len(rows)],
    }
    if each.ndim > 2:
        over = tuple(range(each.ndim - 2))
        slips |= {
            "You take the mean over the leading axes; a weight that is used many times collects the sum.": [None, each.mean(axis=over)],
            "d_weight is that of one sequence alone; all of them used the weight.": [None, each.reshape(-1, *weight.shape)[0]],
            "d_weight is that of the last sequence alone; all of them used the weight.": [None, each.reshape(-1, *weight.shape)[-1]],
        }
    fitting = {"dx": x.shape, "d_weight": weight.shape}
    return {
        reason: results
        for reason, results in slips.items()
        if all(result is None or result.shape == shape for result, shape in zip(results, fitting.values(), strict=True))
        and any(result is not None for result in results)
    }


def _if_fits(first, second):
    """The product, where there is one."""
    try:
        return first @ second
    except ValueError:
        return None
