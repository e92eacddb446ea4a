"""Weights as integers: GPTQ against brute force and against Babai, and what each costs."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.lattice.integers import is_unimodular
from cllm_lib.lattice.lll import is_lll_reduced
from cllm_lib.lattice.search import babai_nearest_plane
from cllm_lib.quantization import matrices as quantization
from cllm_lib.quantization.matrices import (
    babai_quantize,
    bits_needed,
    dequantize,
    gptq,
    input_hessian,
    largest_scales,
    layer_error,
    pack,
    round_to_nearest,
    unpack,
)

LAYERS = range(200)


def random_layer(seed):
    """Normal weights, up to 64 x 64, and inputs that are random mixtures of as many independent normal numbers."""
    generator = np.random.default_rng(seed)
    rows, columns = generator.integers(1, 65), generator.integers(2, 65)
    inputs = generator.normal(size=(4 * columns, columns)) @ generator.normal(size=(columns, columns))
    return generator.normal(size=(rows, columns)), inputs


def group_size_of(columns, seed):
    """None, or one that divides."""
    sizes = [None, *(size for size in range(1, columns + 1) if columns % size == 0)]
    return sizes[np.random.default_rng(seed).integers(len(sizes))]


def textbook_gptq(weights, hessian, scale):
    """The optimal brain surgeon as it is derived: after each column solve anew for all that are not yet rounded."""
    weights, rounded = weights.copy(), np.zeros(weights.shape)
    for j in range(weights.shape[1]):
        rounded[:, j] = np.rint(weights[:, j] / scale[:, 0])
        error = weights[:, j] - rounded[:, j] * scale[:, 0]
        # Of all changes of the later columns, which makes least of the outputs' error? The normal equations say.
        change = np.linalg.solve(hessian[j + 1 :, j + 1 :], hessian[j + 1 :, j])
        weights[:, j + 1 :] += np.outer(error, change)
    return rounded


def test_rounding_takes_the_nearest_multiple_of_the_scale():
    weights = np.random.default_rng(0).normal(size=(5, 12))
    for bits, group_size in itertools.product((2, 3, 8), (None, 4)):
        integers, scales, dequantized = round_to_nearest(weights, bits, group_size)
        top = 2 ** (bits - 1) - 1
        assert scales.shape == (5, 1 if group_size is None else 3)
        per_weight = np.repeat(scales, 12 // scales.shape[1], axis=1)
        np.testing.assert_array_equal(dequantized, integers * per_weight)
        assert np.abs(integers).max() == top  # the largest weight uses the range to its end
        for shift in (-1, 1):
            other = np.clip(integers + shift, -top, top) * per_weight
            assert (np.abs(weights - dequantized) <= np.abs(weights - other) + 1e-12).all()


def test_gptq_is_what_the_optimal_brain_surgeon_would_do():
    for seed in range(20):
        weights, inputs = random_layer(seed)
        hessian = input_hessian(inputs)
        found = gptq(weights, hessian, 4, clip=False)
        np.testing.assert_array_equal(found.integers, textbook_gptq(weights, hessian, found.scales))


def test_babai_is_nearest_plane_of_the_library_on_each_row():
    for seed in range(10):
        weights, inputs = random_layer(seed)
        hessian = input_hessian(inputs)
        integers, scales, _ = babai_quantize(weights, hessian, 3, clip=False)
        vectors = np.linalg.cholesky(hessian[::-1, ::-1])  # rows; the last is the first column
        for row, scale, found in zip(weights[:5], scales[:5, 0], integers[:5], strict=True):
            assert babai_nearest_plane(scale * vectors, row[::-1] @ vectors).tolist() == found[::-1].tolist()


def test_gptq_and_babai_give_the_same_integers():
    """Chen et al. 2025: on 200 random layers, with groups and orders of all kinds, not one integer differs."""
    groups, orders = set(), set()
    for seed in LAYERS:
        weights, inputs = random_layer(seed)
        settings_ = dict(bits=2 + seed % 7, group_size=group_size_of(weights.shape[1], seed), act_order=seed % 3 == 0, clip=False)
        ours, others = (f(weights, input_hessian(inputs), **settings_) for f in (gptq, babai_quantize))
        np.testing.assert_array_equal(ours.integers, others.integers)
        np.testing.assert_array_equal(ours.scales, others.scales)
        np.testing.assert_array_equal(ours.dequantized, others.dequantized)
        groups.add(settings_["group_size"] is None)
        orders.add((settings_["act_order"], settings_["group_size"] is None))
    assert groups == {True, False}
    assert len(orders) == 4


def test_both_conditions_matter():
    """With the columns in the other order, or with clipping, they part: gptq clips as it goes, babai_quantize at the end."""
    other_order = clipped = blocks_of_one = worse = 0
    for seed in LAYERS[:60]:
        weights, inputs = random_layer(seed)
        hessian = input_hessian(inputs)
        free, kept = gptq(weights, hessian, 2, clip=False), gptq(weights, hessian, 2)
        turned = babai_quantize(weights[:, ::-1], hessian[::-1, ::-1], 2, clip=False).integers[:, ::-1]
        ends_clipped = babai_quantize(weights, hessian, 2)
        other_order += not np.array_equal(turned, free.integers)
        clipped += not np.array_equal(ends_clipped.integers, kept.integers)
        worse += layer_error(weights, ends_clipped.dequantized, hessian) - layer_error(weights, kept.dequantized, hessian) > 0
        np.testing.assert_array_equal(ends_clipped.integers, np.clip(free.integers, -2, 1))  # clipped when all is settled
        blocks_of_one += np.array_equal(babai_quantize(weights, hessian, 2, lll_block=1).integers, kept.integers)
    assert other_order >= 55
    assert clipped >= 40  # in the others no integer passes the limits
    assert blocks_of_one == 60  # and where each column is a block, it clips as gptq does
    assert worse > 0.7 * clipped


def test_in_the_mean_each_step_is_worth_it_and_single_layers_may_differ():
    """Error by the inputs themselves, without damping, over that of no weights at all; one scale a row, nothing clipped."""
    found = []
    for seed in LAYERS:
        weights, inputs = random_layer(seed)
        hessian, moments = input_hessian(inputs), input_hessian(inputs, damping=0)
        quantized = [
            round_to_nearest(weights, 3),
            gptq(weights, hessian, 3, clip=False),
            babai_quantize(weights, hessian, 3, clip=False, lll_block=32),
        ]
        for one in quantized:
            np.testing.assert_array_equal(one.scales, quantized[0].scales)
        found.append([layer_error(weights, one.dequantized, moments) / layer_error(weights, 0 * weights, moments) for one in quantized])
    rounding, gptq_error, lll_error = np.array(found).T
    assert gptq_error.mean() < 0.7 * rounding.mean()
    assert lll_error.mean() < 0.9 * gptq_error.mean()
    against = (gptq_error > rounding).sum(), (lll_error > gptq_error).sum()
    assert against[0] <= 10
    assert 0 < against[1] <= 20  # nearest plane on a better basis is nearer as a rule, not in every case


def test_uncorrelated_inputs_leave_nothing_to_gain():
    weights = np.random.default_rng(1).normal(size=(4, 9))
    hessian = np.diag(np.linspace(0.1, 7.0, 9))
    rounded = round_to_nearest(weights, 4).integers
    for act_order in (False, True):
        np.testing.assert_array_equal(gptq(weights, hessian, 4, act_order=act_order).integers, rounded)
        np.testing.assert_array_equal(babai_quantize(weights, hessian, 4, act_order=act_order).integers, rounded)


def test_act_order_takes_the_largest_inputs_first():
    weights, inputs = random_layer(5)
    hessian = input_hessian(inputs)
    order = np.argsort(-np.diag(hessian))
    by_hand = gptq(weights[:, order], hessian[np.ix_(order, order)], 3).integers[:, np.argsort(order)]
    np.testing.assert_array_equal(gptq(weights, hessian, 3, act_order=True).integers, by_hand)
    assert not np.array_equal(gptq(weights, hessian, 3).integers, by_hand)


def test_reduction_stays_in_the_lattice_and_reduces():
    for seed in range(5):
        _, inputs = random_layer(seed)
        basis = np.linalg.cholesky(input_hessian(inputs)).T
        transform = quantization._reduction(basis)
        assert is_unimodular(transform.astype(np.int64))
        whole = np.rint(basis.T * 2.0**30).astype(np.int64)
        assert is_lll_reduced(transform.astype(np.int64).astype(object) @ whole.astype(object), 0.98)


def test_on_a_reduced_basis_the_best_integers_are_found_where_gptq_mostly_misses_them():
    """Two inputs that are nearly the same, and all pairs of integers tried."""
    pairs = np.array(list(itertools.product(range(-12, 13), repeat=2)))
    found = {"lll": 0, "gptq": 0}
    for seed in range(40):
        generator = np.random.default_rng(seed)
        weights, inputs = generator.normal(size=(1, 2)), generator.normal(size=(50, 1)) + 0.03 * generator.normal(size=(50, 2))
        hessian = input_hessian(inputs, damping=0)
        reduced, plain = babai_quantize(weights, hessian, 3, clip=False, lll_block=2), gptq(weights, hessian, 3, clip=False)
        off = weights - pairs * plain.scales
        best = ((off @ hessian) * off).sum(axis=1).min() * (1 + 1e-9)
        found["lll"] += layer_error(weights, reduced.dequantized, hessian) <= best
        found["gptq"] += layer_error(weights, plain.dequantized, hessian) <= best
    assert found["lll"] >= 38
    assert found["gptq"] <= 32


@pytest.mark.parametrize("width", [1, 5, 7, 100])
def test_blocks_of_any_width_settle_every_column(width):
    weights, inputs = random_layer(3)
    hessian = input_hessian(inputs)
    integers, scales, dequantized = babai_quantize(weights, hessian, 4, clip=False, lll_block=width)
    np.testing.assert_array_equal(dequantize(integers, scales), dequantized)
    assert layer_error(weights, dequantized, hessian) < layer_error(weights, round_to_nearest(weights, 4).dequantized, hessian)


@pytest.mark.parametrize("bits", range(2, 9))
def test_clipped_integers_fit_their_bits(bits):
    weights, inputs = random_layer(2)
    hessian = input_hessian(inputs)
    for found in (
        round_to_nearest(weights, bits),
        gptq(weights, hessian, bits),
        babai_quantize(weights, hessian, bits),
        babai_quantize(weights, hessian, bits, lll_block=32),
    ):
        assert bits_needed(found.integers) <= bits


def test_unclipped_integers_may_need_a_bit_more():
    needed = [bits_needed(gptq(weights, input_hessian(inputs), 4, clip=False).integers) for weights, inputs in map(random_layer, range(40))]
    assert set(needed) == {4, 5}


def test_layer_error_is_the_mean_squared_error_of_outputs():
    weights, inputs = random_layer(4)
    other = round_to_nearest(weights, 3).dequantized
    outputs = inputs @ (weights - other).T
    np.testing.assert_allclose(layer_error(weights, other, input_hessian(inputs, 0)), (outputs**2).sum(axis=1).mean())


def test_the_hessian_takes_all_leading_axes_as_samples_and_damps_by_a_share_of_the_mean():
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4))
    rows = inputs.reshape(6, 4)
    moments = sum(np.outer(row, row) for row in rows) / 6
    np.testing.assert_allclose(input_hessian(inputs, 0), moments)
    np.testing.assert_allclose(input_hessian(inputs, 0.5), moments + 0.5 * np.trace(moments) / 4 * np.eye(4))


def test_zero_rows_and_groups_stay_zero():
    weights, inputs = random_layer(6)
    weights[0] = 0.0
    hessian = input_hessian(inputs)
    for found in (round_to_nearest(weights, 4), gptq(weights, hessian, 4), babai_quantize(weights, hessian, 4, lll_block=8)):
        assert found.scales[0] == 1.0
        assert not found.integers[0].any()
    assert largest_scales([[0.0, 0.0, 3.0, -6.0]], 3, group_size=2).tolist() == [[1.0, 2.0]]


@given(bits=st.integers(1, 16), shape=st.lists(st.integers(0, 7), min_size=1, max_size=3).map(tuple), data=st.data())
def test_packing_loses_nothing_and_wastes_no_bit(bits, shape, data):
    size = int(np.prod(shape))
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = data.draw(st.lists(st.integers(least, most), min_size=size, max_size=size))
    integers = np.array(values, dtype=np.int64).reshape(shape)
    packed = pack(integers, bits)
    assert packed.dtype == np.uint8
    assert len(packed) == (size * bits + 7) // 8
    np.testing.assert_array_equal(unpack(packed, bits, shape), integers)
    text = "".join(format(value % 2**bits, f"0{bits}b")[::-1] for value in values)  # bit by bit, as a string
    assert [int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8)] == packed.tolist()
    needed = bits_needed(integers)
    assert needed <= bits
    np.testing.assert_array_equal(unpack(pack(integers, needed), needed, shape), integers)
    if needed > 1:
        with pytest.raises(ValueError, match=r"integers\[.*give whole numbers from"):
            pack(integers, needed - 1)


def test_wide_integers_pack_too():
    values = [-(2**31), 2**31 - 1, 0, -1]
    assert unpack(pack(values, 32), 32, 4).tolist() == values


def broken(weights=None, hessian=None, **changes):
    return (
        dict(weights=np.ones((2, 4)) if weights is None else weights, hessian=np.eye(4) if hessian is None else hessian, bits=4) | changes
    )


@pytest.mark.parametrize("quantizer", [gptq, babai_quantize])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (broken(weights=np.ones(4)), r"weights has shape \(4,\)"),
        (broken(weights=[[1.0, 2.0], [3.0]]), "weights is no array of numbers"),
        (broken(weights=np.array([[1.0, np.nan, 0.0, 0.0]])), r"weights\[0, 1\] is nan"),
        (broken(weights=np.array([[1.0, np.inf, 0.0, 0.0]])), r"weights\[0, 1\] is inf"),
        (broken(weights=np.ones((0, 4))), "one of each at least"),
        (broken(hessian=np.eye(3)), r"hessian has shape \(3, 3\), and weights have 4 columns"),
        (broken(hessian=np.triu(np.ones((4, 4)))), "not symmetric"),
        (broken(hessian=np.ones((4, 4))), "not positive definite.*add damping"),
        (broken(hessian=np.zeros((4, 4))), "hessian is 0 throughout: every input was 0"),
        (broken(hessian=np.full((4, 4), np.nan)), r"hessian\[0, 0\] is nan"),
        (broken(bits=1), "bits is 1: give 2 to 8"),
        (broken(bits=9), "bits is 9"),
        (broken(bits=2.0), "bits is 2.0: give a whole number"),
        (broken(group_size=3), "group_size is 3, and there are 4 columns"),
        (broken(group_size=0), "group_size is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(quantizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        quantizer(**arguments)


def test_other_refusals():
    with pytest.raises(ValueError, match="lll_block and group_size are both given"):
        babai_quantize(**broken(group_size=2, lll_block=2))
    with pytest.raises(ValueError, match="lll_block is 0"):
        babai_quantize(**broken(lll_block=0))
    with pytest.raises(ValueError, match="damping is -1"):
        input_hessian(np.ones((3, 2)), damping=-1)
    with pytest.raises(ValueError, match=r"inputs has shape \(3,\)"):
        input_hessian(np.ones(3))
    with pytest.raises(ValueError, match="inputs is no array of numbers"):
        input_hessian([[1.0, 2.0], [3.0]])
    with pytest.raises(ValueError, match=r"inputs has shape \(2, 0, 3\)"):
        input_hessian(np.ones((2, 0, 3)))
    with pytest.raises(ValueError, match="give two forms of one matrix"):
        layer_error(np.ones((2, 2)), np.ones((2, 3)), np.eye(2))
    with pytest.raises(ValueError, match=r"scales have shape \(2, 3\)"):
        dequantize(np.ones((2, 4), dtype=np.int64), np.ones((2, 3)))
    with pytest.raises(ValueError, match="bits is 33"):
        pack([1], 33)
    with pytest.raises(ValueError, match="integers is an array of float64"):
        pack([0.5], 4)
    with pytest.raises(ValueError, match="4 integers of 3 bits take 2 of uint8"):
        unpack(np.zeros(3, dtype=np.uint8), 3, (4,))


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_lazy_batches_are_the_same_as_column_by_column(act_order, clip):
    """More columns than a batch, against the algorithm as it stands in the paper: each error passed on at once."""
    generator = np.random.default_rng(3)
    columns = quantization.LAZY_BLOCK + 40
    hessian = input_hessian(generator.normal(size=(600, columns)) @ generator.normal(size=(columns, columns)))
    weights = generator.normal(size=(5, columns))
    order = np.argsort(-np.diag(hessian), kind="stable") if act_order else np.arange(columns, dtype=np.int64)
    factor = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    left, scales, expected = weights[:, order].copy(), largest_scales(weights, 3), np.empty(weights.shape, np.int64)
    for j in range(columns):
        rounded = np.rint(left[:, j] / scales[:, 0])
        rounded = np.clip(rounded, -4, 3) if clip else rounded
        expected[:, order[j]] = rounded
        left[:, j:] -= np.outer((left[:, j] - rounded * scales[:, 0]) / factor[j, j], factor[j, j:])
    found = gptq(weights, hessian, 3, None, act_order, clip)
    np.testing.assert_array_equal(found.integers, expected)


@pytest.mark.parametrize("left", [np.nan, None], ids=["NaN is left", "an error is raised"])
def test_what_has_no_cholesky_factor_is_told_with_and_without_flags(left, monkeypatch):
    """A browser's arithmetic raises no flags: there NumPy has no error to raise, and leaves NaN."""

    def cholesky(matrix):
        if left is None:
            raise np.linalg.LinAlgError
        return np.full_like(matrix, left)

    monkeypatch.setattr(np.linalg, "cholesky", cholesky)
    with pytest.raises(ValueError, match="not positive definite"):
        gptq(np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 1.0]]), 4)
