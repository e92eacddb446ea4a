"""Whatever takes a basis tells what is none, and leaves it as it was."""

import numpy as np
import pytest

from cllm_lib.lattice.gauss import gauss_reduce, gauss_steps
from cllm_lib.lattice.lll import is_lll_reduced, lll_reduce, lll_steps
from cllm_lib.lattice.orthogonalization import gram_schmidt
from cllm_lib.lattice.quality import hermite_factor, minkowski_bound, orthogonality_defect
from cllm_lib.lattice.search import shortest_vector

REDUCERS = [lll_reduce, lll_steps, is_lll_reduced, shortest_vector, gram_schmidt, orthogonality_defect, hermite_factor, minkowski_bound]


@pytest.mark.parametrize("reduce", [*REDUCERS, gauss_reduce, gauss_steps])
@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ([[1, 2], [0, 0]], r"basis\[1\] is zero"),
        ([[1, 2], [2, 4]], r"basis\[1\] is a combination.*Without it the lattice may be another one"),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], r"basis\[2\] is a combination"),
        ([[10**40, 0], [10**40, 0]], r"basis\[1\] is a combination"),
        ([[1], [2]], "2 rows and 1 columns"),
        ([[1, 2], [3]], "different lengths"),
        ([[1, 2.5], [3, 4]], r"basis\[0, 1\] is 2.5"),
        ([[1.0, 2.0], [3.0, 4.0]], r"basis\[0, 0\] is 1.0"),
        ([[True, 2], [3, 4]], r"True"),
        ([["1", "2"], ["3", "4"]], r"basis\[0, 0\]"),
        ([1, 2, 3], "shape"),
        ([], "shape"),
        ([[]], "shape"),
        (7, "shape"),
        (None, "shape"),
    ],
)
def test_what_is_no_basis_is_told_so(reduce, basis, words):
    with pytest.raises(ValueError, match=words):
        reduce(basis)


def test_the_input_stays_as_it_was():
    basis = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 10]], dtype=object)
    before = basis.copy()
    lll_reduce(basis)
    gram_schmidt(basis)
    shortest_vector(basis)
    list(lll_steps(basis))
    assert (basis == before).all()
