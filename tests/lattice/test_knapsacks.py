import pytest

from cllm_lib.lattice import knapsack


@pytest.mark.parametrize(("n", "bits", "seed"), [(4, 16, 1), (9, 24, 2), (18, 60, 0)])
def test_half_of_the_weights_add_up_to_the_total(n, bits, seed):
    weights, total, chosen = knapsack(n, bits, seed)
    assert sum(weight for weight, c in zip(weights, chosen, strict=True) if c) == total
    assert len(weights) == n
    assert sum(chosen) == n // 2
    assert all(weight.bit_length() == bits for weight in weights)
    assert knapsack(n, bits, seed) == (weights, total, chosen)
