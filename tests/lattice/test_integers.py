"""The determinant, against SymPy's."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.lattice.integers import determinant, is_unimodular


@given(random=st.randoms(use_true_random=False), n=st.integers(1, 8), bound=st.sampled_from([1, 3, 10**20]))
def test_unimodular_is_a_determinant_of_one(random, n, bound):
    matrix = [[random.randint(-bound, bound) for _ in range(n)] for _ in range(n)]
    expected = int(sympy.Matrix(matrix).det())
    assert determinant(np.array(matrix, dtype=object)) == expected
    assert is_unimodular(matrix) == (abs(expected) == 1)
    scrambled = np.eye(n, dtype=object).astype(np.int64).astype(object)
    for _ in range(30):
        i, j = random.randrange(n), random.randrange(n)
        scrambled[i] = scrambled[i] + random.randint(-9, 9) * scrambled[j] if i != j else -scrambled[i]
    assert is_unimodular(scrambled)


def test_only_a_square_matrix_can_be_unimodular():
    with pytest.raises(ValueError, match="square"):
        is_unimodular([[1, 2, 3], [4, 5, 6]])
