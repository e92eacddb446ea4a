"""Weights as small integers: rounding, GPTQ, and Babai's nearest plane, which is GPTQ seen as geometry.

A layer's matrix is ``weights`` [rows, columns]: one row an output, one column an input. Its quantised form is
``integers * scales``, with one scale a row, or one for each row and group of columns. What counts is not how far the weights
move but how far the outputs do: the mean of ``|x @ (weights - dequantized).T|^2`` over the layer's inputs x, which needs only
the inputs' second moments, ``hessian`` = X^T X / n (it is half the Hessian of that error, hence its name).

With R^T R = hessian, the error of a row is the squared length of R w - R diag(s) z. So the integers z of the row name a point
of the lattice whose basis vectors are the columns of R diag(s), and quantising is the search for a lattice point near R w.
"""

import contextlib
from typing import NamedTuple

import numpy as np

from cllm_lib.checks import finite_matrix, non_negative_number, positive_integer, whole_numbers
from cllm_lib.lattice.integers import EXACT_FLOATS
from cllm_lib.lattice.lll import lll_reduce

FEWEST_BITS, MOST_BITS = 2, 8
MOST_PACKED_BITS = 32  # without clipping integers may need more bits than were asked for

LAZY_BLOCK = 128  # columns of GPTQ that errors are passed on to together, as in the paper
LLL_DELTA = 0.99
LLL_BITS = 20  # of the shortest Gram-Schmidt vector, once a block is made of whole numbers for LLL


class Quantized(NamedTuple):
    """A matrix in integers: ``integers, scales, dequantized = gptq(...)``."""

    integers: np.ndarray  # (rows, columns), int64
    scales: np.ndarray  # (rows, groups): one group of all columns, unless a group_size was given
    dequantized: np.ndarray  # (rows, columns), what the layer computes with


def input_hessian(inputs, damping=0.01):  # (..., columns) -> (columns, columns)
    """Input Hessian of a layer, what its error depends on: second moments of its inputs, X^T X / n, with damping on the diagonal.

    Parameters
    ----------
    inputs : ndarray, shape (..., columns)
        What the layer was given; all leading axes are samples.
    damping : float
        How much is added to the diagonal, as a share of its mean. It makes the result positive definite though some input
        never varies, and keeps weights from moving far to suit inputs that were seldom seen. 0 for the plain moments.

    Returns
    -------
    ndarray of float64, shape (columns, columns)

    Raises
    ------
    ValueError
        If `inputs` are not numbers, one is NaN or infinite, or `damping` is negative.

    Notes
    -----
    Frantar, Ashkboos, Hoefler, Alistarh 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers", section 3.3, step 3, has the damping of one percent.
    """
    deep = isinstance(inputs, np.ndarray) and inputs.ndim > 2 and inputs.size
    rows = finite_matrix(inputs.reshape(-1, inputs.shape[-1]) if deep else inputs, "inputs")
    damping = non_negative_number(damping, "damping")
    hessian = rows.T @ rows / len(rows)
    return hessian + damping * np.diag(hessian).mean() * np.eye(len(hessian))


def layer_error(weights, dequantized, hessian):  # 2 x (rows, columns), (columns, columns)
    """Layer output error: the squared error of an output vector, averaged over the inputs.

    Parameters
    ----------
    weights, dequantized : array_like, shape (rows, columns)
    hessian : array_like, shape (columns, columns)
        X^T X / n, without damping for the error itself: ``input_hessian(inputs, damping=0)``.

    Returns
    -------
    float
        tr(D H D^T), with D the difference of the two.

    Raises
    ------
    ValueError
        If a shape does not fit or a number is not finite.
    """
    weights, dequantized = finite_matrix(weights, "weights"), finite_matrix(dequantized, "dequantized")
    if weights.shape != dequantized.shape:
        raise ValueError(f"weights have shape {weights.shape} and dequantized {dequantized.shape}: give two forms of one matrix")
    hessian = _symmetric(hessian, weights.shape[1])
    difference = weights - dequantized
    return float(np.sum((difference @ hessian) * difference))


def largest_scales(weights, bits, group_size=None):  # (rows, columns) -> (rows, groups)
    """Return the scale of each row, or of each group of a row: its largest weight over the largest integer.

    Parameters
    ----------
    weights : array_like, shape (rows, columns)
    bits : int
        2 to 8.
    group_size : int, optional
        Columns that share a scale; the number of columns is a multiple of it. All of them by default.

    Returns
    -------
    ndarray, shape (rows, groups)
        ``max |w| / (2^(bits-1) - 1)``; 1 where all weights are 0.

    Raises
    ------
    ValueError
        If a number is not finite, `bits` out of range, or `group_size` does not divide the columns.
    """
    weights, bits = finite_matrix(weights, "weights"), _checked_bits(bits)
    rows, columns = weights.shape
    group_size = columns if group_size is None else positive_integer(group_size, "group_size")
    if columns % group_size:
        raise ValueError(f"group_size is {group_size}, and there are {columns} columns: give a divisor of {columns}")
    scales = np.abs(weights.reshape(rows, -1, group_size)).max(axis=2) / (2 ** (bits - 1) - 1)
    return np.where(scales > 0.0, scales, 1.0)


def dequantize(integers, scales):  # (rows, columns), (rows, groups) -> (rows, columns)
    """Dequantise: return the weights that integers stand for, in the type of the scales.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    return np.asarray(integers).astype(np.asarray(scales).dtype) * _by_column(scales, np.shape(integers))


def _by_column(scales, shape):  # (rows, groups) -> (rows, columns)
    scales = np.asarray(scales)
    if scales.ndim != 2 or len(shape) != 2 or scales.shape[0] != shape[0] or shape[1] % max(scales.shape[1], 1):
        raise ValueError(f"scales have shape {scales.shape} and integers {tuple(shape)}: give (rows, groups) and (rows, columns)")
    return np.repeat(scales, shape[1] // scales.shape[1], axis=1)


def round_to_nearest(weights, bits, group_size=None):  # (rows, columns) -> Quantized
    """Round-to-nearest quantisation: each weight to the nearest multiple of its scale, whatever the layer's inputs are.

    Where the inputs are uncorrelated (`hessian` is diagonal) nothing is better. There is nothing to clip: by its scale no
    weight is beyond the largest integer.

    Parameters
    ----------
    weights : array_like, shape (rows, columns)
    bits : int
        2 to 8. The integers are from -(2^(bits-1) - 1) to 2^(bits-1) - 1.
    group_size : int, optional
        See `largest_scales`.

    Returns
    -------
    Quantized
        integers, scales, dequantized.

    Raises
    ------
    ValueError
        As `largest_scales`.

    >>> round_to_nearest([[0.9, -0.4, 3.0]], bits=3).integers.tolist()
    [[1, 0, 3]]
    """
    weights = finite_matrix(weights, "weights")
    scales = largest_scales(weights, bits, group_size)
    return _result(np.rint(weights / _by_column(scales, weights.shape)), scales)


def gptq(weights, hessian, bits, group_size=None, act_order=False, clip=True):  # (rows, columns), (columns, columns) -> Quantized
    """GPTQ: round column by column, and let the columns not yet rounded make up for the error of each.

    Once a column is rounded, the best that the others can do about it follows from the Hessian in closed form (the optimal
    brain surgeon). All rows are rounded in the same order, so one Cholesky factor of the inverse Hessian holds every step.

    Parameters
    ----------
    weights : array_like, shape (rows, columns)
    hessian : array_like, shape (columns, columns)
        Symmetric and positive definite: see `input_hessian`.
    bits : int
        2 to 8.
    group_size : int, optional
        See `largest_scales`. The scales are those of the weights as given, before any error reaches them.
    act_order : bool
        Columns of large inputs first (by falling diagonal of the Hessian), while there are many left to make up for them;
        from left to right by default. It goes far: most of what reduction could bring, where inputs differ much in size.
    clip : bool
        Whether integers are kept from -2^(bits-1) to 2^(bits-1) - 1. They are clipped as they are rounded, so what clipping
        did is passed on like any other error. Without, a weight that took up much error may need more bits (`bits_needed`).

    Returns
    -------
    Quantized
        integers, scales, dequantized.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, `hessian` is not symmetric or not positive definite, `bits` is out of
        range, or `group_size` does not divide the columns.

    Notes
    -----
    Frantar, Ashkboos, Hoefler, Alistarh 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers", algorithm 1, with its lazy batches (section 3.3, step 2): errors are passed on to the columns of a block once its
    turn has come, and within a block to each column likewise; the same sums.
    """
    weights, hessian, scales, scale, order = _prepared(weights, hessian, bits, group_size, act_order)
    left, scale = np.asfortranarray(weights[:, order]), np.asfortranarray(scale[:, order])  # a column at a time: side by side in memory
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    factor = _cholesky((inverse + inverse.T) / 2).T  # upper triangular: inverse = factor.T @ factor
    integers, errors = np.empty_like(left), np.empty_like(left)
    for start in range(0, len(order), LAZY_BLOCK):
        stop = min(start + LAZY_BLOCK, len(order))
        # What all errors before pass on to these columns, once their turn has come: many times faster than passing on each at once.
        due = np.asfortranarray(left[:, start:stop] - errors[:, :start] @ factor[:start, start:stop])
        for j in range(start, stop):
            target = due[:, j - start] - errors[:, start:j] @ factor[start:j, j]
            integers[:, j] = _bounded(np.rint(target / scale[:, j]), bits, clip)
            errors[:, j] = (target - integers[:, j] * scale[:, j]) / factor[j, j]
    return _result(np.ascontiguousarray(integers[:, np.argsort(order)]), scales)


def babai_quantize(
    weights, hessian, bits, group_size=None, act_order=False, clip=True, lll_block=None
):  # (rows, columns), (columns, columns) -> Quantized
    """Find for each row a lattice point near it, by Babai's nearest plane; on a reduced basis, if asked to.

    The basis vectors are the columns of R diag(s), R^T R = hessian. Nearest plane settles the coefficient of the last vector
    first. So the columns stand in it from back to front: the last vector is the column that `gptq` takes first. Then, without
    clipping, both give the same integers: what `gptq` passes on to other columns is what puts the target into the plane that
    nearest plane has just chosen. In floating point this holds unless a number that is rounded lies within rounding error
    (about 1e-13 of it) of a half: then the two may part in this row, with errors that are as good as equal.

    With `lll_block` the vectors of so many columns at a time are LLL-reduced first: U R, with U unimodular, has the same points
    and shorter, more nearly orthogonal vectors, on which nearest plane comes nearer. Blocks are taken from back to front,
    and each passes its error on to those before it; that is nearest plane with a block-diagonal U.

    Parameters
    ----------
    weights, hessian, bits, group_size, act_order
        As for `gptq`.
    clip : bool
        Whether integers are kept from -2^(bits-1) to 2^(bits-1) - 1. A lattice knows no such limits: they are put to the
        point that was found, when all columns of a block are settled, before its error is passed on to the next block.
        Without `lll_block` the one block is the whole row, and nothing makes up for what clipping does: there `gptq` does
        better. With it, clipping loses a part of what reduction brought, and the more the fewer the bits.
    lll_block : int, optional
        Columns that are reduced together, such as 32 or 64: the more, the better the points and the longer it takes. It
        needs one scale a row, for then the lattices of all rows are one, stretched, and LLL runs once for all. A block of 1
        is `gptq`, also where it clips. None for no reduction, and no blocks.

    Returns
    -------
    Quantized
        integers, scales, dequantized. Without clipping the integers may need more than `bits` bits: see `bits_needed`.

    Raises
    ------
    ValueError
        As `gptq`; and if both `lll_block` and `group_size` are given, or an integer passes 2^53.

    Notes
    -----
    Chen, Shabanzadeh, Crncevic, Hoefler, Alistarh 2025, "The Geometry of LLM Quantization: GPTQ as Babai's Nearest Plane
    Algorithm": GPTQ from the last column to the first is nearest plane on the columns as they stand. Birnick 2025, "The Lattice
    Geometry of Neural Network Quantization", who hints at reduction. Babai 1986: see
    :func:`~cllm_lib.lattice.search.babai_nearest_plane`.
    """
    weights, hessian, scales, scale, order = _prepared(weights, hessian, bits, group_size, act_order)
    if lll_block is not None:
        lll_block = positive_integer(lll_block, "lll_block")
        if scales.shape[1] > 1:
            raise ValueError(
                "lll_block and group_size are both given: with several scales a row has a lattice of its own; give one of them"
            )
    order = order[::-1]
    scale = scale[:, order]
    basis = _cholesky(hessian[np.ix_(order, order)]).T  # upper triangular: column j is what column j does to the outputs
    left = weights[:, order] @ basis.T
    integers = np.empty(left.shape)
    width = lll_block or len(order)
    for end in range(len(order), 0, -width):
        block = slice(max(end - width, 0), end)
        transform = None if lll_block is None else _reduction(basis[block, block])
        point = _nearest_plane(left[:, block], basis[block, block], scale[:, block], transform)
        integers[:, block] = _bounded(point, bits, clip)
        left[:, :end] -= (integers[:, block] * scale[:, block]) @ basis[:end, block].T
    return _result(integers[:, np.argsort(order)], scales)


def _nearest_plane(targets, basis, scale, transform):  # (rows, n), (n, n), (rows, n) -> (rows, n)
    """The integers z of points ``basis @ (scale * z)`` near the targets, one in each row.

    With a transform U, z = c U for the coefficients c on the reduced vectors, and the scale is one for the row.
    """
    if transform is not None:
        directions, basis = np.linalg.qr(basis @ transform.T)
        targets = targets @ directions
    coefficients, settled = np.empty(targets.shape), np.empty(targets.shape)
    for j in reversed(range(len(basis))):
        along = targets[:, j] - settled[:, j + 1 :] @ basis[j, j + 1 :]  # what is left of the target along this Gram-Schmidt vector
        coefficients[:, j] = np.rint(along / (basis[j, j] * scale[:, j]))
        settled[:, j] = coefficients[:, j] * scale[:, j]
    return coefficients if transform is None else coefficients @ transform


def _reduction(basis):  # (n, n) -> (n, n)
    """A unimodular U for which the rows of ``U @ basis.T`` are LLL-reduced, as nearly as whole numbers can tell.

    LLL is given the vectors in whole numbers; its U, not its rounded vectors, is what is kept, so the lattice stays the same.
    """
    whole = np.rint(basis.T * (2.0**LLL_BITS / np.diag(basis).min()))
    _, transform = lll_reduce(np.frompyfunc(int, 1, 1)(whole), LLL_DELTA, certified=False)
    return transform.astype(np.float64)


def bits_needed(integers):
    """Return the fewest bits, in two's complement, that hold every one of these integers; 1 at least.

    Parameters
    ----------
    integers : array_like of int, any shape

    Returns
    -------
    int

    >>> bits_needed([-8, 7]), bits_needed([-9, 7]), bits_needed([0, 8])
    (4, 5, 5)
    """
    integers = whole_numbers(integers, -(2**63), 2**63 - 1, "integers")
    return int(np.maximum(integers, ~integers).max(initial=0)).bit_length() + 1  # ~i is -i - 1: as far down as i goes up


def pack(integers, bits):  # any shape -> (ceil(size * bits / 8),)
    """Bit packing: put integers of so many bits one behind the other into bytes.

    Parameters
    ----------
    integers : array_like of int, any shape
        From -2^(bits-1) to 2^(bits-1) - 1.
    bits : int
        1 to 32.

    Returns
    -------
    ndarray of uint8
        In two's complement, lowest bit first. Only the last byte may hold bits that mean nothing; they are 0.

    Raises
    ------
    ValueError
        If an integer does not fit, and says which; or `bits` is out of range.

    >>> pack([1, -1, 0, 1, 1], bits=2).tolist()
    [77, 1]
    """
    bits = _packed_bits(bits)
    flat = whole_numbers(integers, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, "integers").ravel()
    digits = np.empty((flat.size, bits), dtype=np.uint8)
    for i in range(bits):
        digits[:, i] = (flat >> i) & 1
    return np.packbits(digits.ravel(), bitorder="little")


def unpack(packed, bits, shape):  # (ceil(size * bits / 8),) -> shape
    """Undo `pack`.

    Parameters
    ----------
    packed : ndarray of uint8
    bits : int
    shape : tuple of int

    Returns
    -------
    ndarray of int64, of that shape

    Raises
    ------
    ValueError
        If there are not as many bytes as that takes, or `bits` is out of range.
    """
    bits, packed = _packed_bits(bits), np.asarray(packed)
    size = int(np.prod(shape, dtype=np.int64))
    n_bytes = -(-size * bits // 8)
    if packed.dtype != np.uint8 or packed.shape != (n_bytes,):
        raise ValueError(f"packed is {packed.dtype} of shape {packed.shape}: {size:,} integers of {bits} bits take {n_bytes:,} of uint8")
    digits = np.unpackbits(packed, count=size * bits, bitorder="little").reshape(size, bits)
    integers = np.zeros(size, dtype=np.int64)
    for i in range(bits):
        weight = 2**i if i < bits - 1 else -(2**i)  # the highest bit counts negative
        integers += weight * digits[:, i].astype(np.int64)
    return integers.reshape(shape)


def _prepared(weights, hessian, bits, group_size, act_order):
    """Everything checked, the scales (also one for each weight), and the order of the columns."""
    weights = finite_matrix(weights, "weights")
    scales = largest_scales(weights, bits, group_size)
    hessian = _symmetric(hessian, weights.shape[1])
    _cholesky(hessian)
    order = np.argsort(-np.diag(hessian), kind="stable") if act_order else np.arange(len(hessian), dtype=np.int64)
    return weights, hessian, scales, _by_column(scales, weights.shape), order


def _symmetric(hessian, columns):
    hessian = finite_matrix(hessian, "hessian")
    if hessian.shape != (columns, columns):
        raise ValueError(f"hessian has shape {hessian.shape}, and weights have {columns} columns: give ({columns}, {columns})")
    if np.abs(hessian - hessian.T).max() > 1e-8 * np.abs(hessian).max():
        raise ValueError("hessian is not symmetric: give X^T X / n, as input_hessian(inputs) makes it")
    return (hessian + hessian.T) / 2


def _cholesky(matrix):
    factor = np.array(np.nan)
    with contextlib.suppress(np.linalg.LinAlgError):  # in a browser, whose arithmetic raises no flags, NumPy leaves NaN instead
        factor = np.linalg.cholesky(matrix)
    if np.isfinite(factor).all():
        return factor
    if not np.any(matrix):
        raise ValueError("hessian is 0 throughout: every input was 0, and damping, a share of it, is 0 too; give inputs that occur")
    raise ValueError(
        "hessian is not positive definite: some combination of inputs never occurs; add damping, input_hessian(inputs, damping=0.01)"
    )


def _bounded(integers, bits, clip):
    return np.clip(integers, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if clip else integers


def _result(integers, scales):
    if not np.abs(integers).max() < EXACT_FLOATS:  # NaN, too
        raise ValueError("an integer passes 2^53: give a hessian with more damping, or clip=True")
    integers = integers.astype(np.int64)
    return Quantized(integers, scales, dequantize(integers, scales))


def _checked_bits(bits):
    bits = positive_integer(bits, "bits")
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"bits is {bits}: give {FEWEST_BITS} to {MOST_BITS}")
    return bits


def _packed_bits(bits):
    bits = positive_integer(bits, "bits")
    if bits > MOST_PACKED_BITS:
        raise ValueError(f"bits is {bits}: give 1 to {MOST_PACKED_BITS}")
    return bits
