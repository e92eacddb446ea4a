"""Measures of lattices known by heart, and by SymPy's determinant."""

import math

import numpy as np
import pytest
from hypothesis import given
from lattice.bases import bases, gram_determinant

from cllm_lib.lattice.quality import hermite_factor, minkowski_bound, orthogonality_defect


def test_measures_of_lattices_known_by_heart():
    assert orthogonality_defect(np.diag([2, 3, 5])) == pytest.approx(1)
    assert orthogonality_defect([[1, 0], [1, 1]]) == pytest.approx(math.sqrt(2))
    assert hermite_factor([[3, 4]]) == pytest.approx(1)
    assert hermite_factor(np.diag([1, 4])) == pytest.approx(1 / 2)
    assert minkowski_bound(np.diag([2, 2])) == pytest.approx(4 / math.sqrt(math.pi))
    assert minkowski_bound([[3, 4]]) == pytest.approx(5)  # in one dimension the ball is the interval: sharp


@given(basis=bases(largest=8, most=1000))
def test_measures_are_those_of_a_determinant_in_floats(basis):
    volume = math.sqrt(gram_determinant(basis))
    lengths = np.linalg.norm(np.array(basis, dtype=float), axis=1)
    assert orthogonality_defect(basis) == pytest.approx(np.prod(lengths) / volume, rel=1e-6)
    assert hermite_factor(basis) == pytest.approx(lengths[0] / volume ** (1 / len(basis)), rel=1e-6)


def test_a_defect_beyond_floats_is_told_so():
    with pytest.raises(ValueError, match="largest float"):
        orthogonality_defect([[10**400, 1], [10**400 + 1, 1]])
