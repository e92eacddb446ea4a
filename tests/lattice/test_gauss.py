"""Two dimensions, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from lattice.bases import bases

from cllm_lib.lattice.gauss import gauss_reduce, gauss_steps
from cllm_lib.lattice.integers import is_unimodular


@given(basis=bases(largest=2, least=2, most=10**6))
def test_gauss_finds_both_shortest_vectors(basis):
    reduced, transform = gauss_reduce(basis)
    basis = np.array(basis, dtype=object)
    assert (transform @ basis == reduced).all()
    assert is_unimodular(transform)
    a, b = reduced
    assert a @ a <= b @ b
    assert 2 * abs(a @ b) <= a @ a
    multiples = [x * a + y * b for x, y in itertools.product(range(-3, 4), repeat=2) if (x, y) != (0, 0)]
    assert min(v @ v for v in multiples) == a @ a


@given(basis=bases(largest=2, least=2))
def test_gausss_steps_lead_there_and_each_is_shorter_or_a_swap(basis):
    steps = gauss_steps(basis)
    assert steps[0].tolist() == basis
    assert (steps[-1] == gauss_reduce(basis)[0]).all()
    for before, after in itertools.pairwise(steps):
        swapped = (before[::-1] == after).all()
        assert swapped or ((before[0] == after[0]).all() and after[1] @ after[1] < before[1] @ before[1])


def test_gauss_takes_two_rows():
    with pytest.raises(ValueError, match="1 rows"):
        gauss_reduce([[1, 2, 3]])
