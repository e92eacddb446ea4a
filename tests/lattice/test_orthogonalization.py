"""Gram-Schmidt by its definition in fractions, and float64 against them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lattice.bases import bases

from cllm_lib.lattice.orthogonalization import gram_schmidt


@given(basis=bases(largest=6))
def test_gram_schmidt_in_fractions(basis):
    orthogonal, mu = gram_schmidt(basis)
    assert (mu @ orthogonal == np.array(basis, dtype=object)).all()
    products = orthogonal @ orthogonal.T
    assert all(products[i, j] == 0 for i in range(len(basis)) for j in range(i))
    assert all(mu[i, j] == (i == j) for i in range(len(basis)) for j in range(i, len(basis)))


@given(seed=st.integers(0, 2**32), n=st.integers(1, 12))
def test_gram_schmidt_in_floats_agrees_with_fractions(seed, n):
    basis = np.random.default_rng(seed).integers(-1000, 1001, (n, n + 2))
    orthogonal, mu = gram_schmidt(basis, exact=False)
    exact_orthogonal, exact_mu = gram_schmidt(basis)
    np.testing.assert_allclose(orthogonal, exact_orthogonal.astype(float), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(mu, exact_mu.astype(float), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gram_schmidt([[1.0, 2.0], [2.0, 4.0]], exact=False), r"basis\[1\]"),
        (lambda: gram_schmidt([[1.0], [2.0]], exact=False), "shape"),
    ],
)
def test_other_bad_input_is_told_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
