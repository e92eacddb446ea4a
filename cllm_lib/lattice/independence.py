"""Linear independence of the rows of an integer matrix: decided modulo a prime where that will do, else by Gram determinants.

Whatever takes a lattice basis sends it through here first: what is none is told so, and which row is at fault.
"""

import numpy as np

from cllm_lib.checks import integer_matrix
from cllm_lib.lattice.exact_lll import IntegralBasis

CHECK_PRIME = 2**31 - 1  # products of two remainders fit int64


def independent_rows(basis):
    """`basis` as an array of Python integers, once its rows are known to be independent."""
    basis = integer_matrix(basis, "basis")
    n, m = basis.shape
    if n > m:
        raise ValueError(f"basis has {n} rows and {m} columns: so many rows are dependent; the rows are the basis vectors")
    for i, row in enumerate(basis):
        if not row.any():
            raise ValueError(f"basis[{i}] is zero: a basis vector is not; leave it out")
    if _rank_modulo(basis, CHECK_PRIME) < n:  # independent modulo a prime is independent; the converse may fail
        IntegralBasis(basis)  # says which row depends on others
    return basis


def _rank_modulo(matrix, prime):
    left = (matrix % prime).astype(np.int64)
    rank = 0
    for column in range(left.shape[1]):
        usable = np.flatnonzero(left[rank:, column])
        if len(usable) == 0:
            continue
        pivot = rank + usable[0]
        left[[rank, pivot]] = left[[pivot, rank]]
        left[rank] = left[rank] * pow(int(left[rank, column]), -1, prime) % prime
        left[rank + 1 :] = (left[rank + 1 :] - left[rank + 1 :, column, None] * left[rank]) % prime
        rank += 1
        if rank == len(left):
            break
    return rank
