"""LLL reduction in exact integers: the all-integer Gram-Schmidt numbers of a basis, kept up to date by each step.

They are slow, since they grow with each row, but never wrong: they decide what floating point leaves open.
"""

import numpy as np

from cllm_lib.lattice.integers import exact_product, nearest_integer


class IntegralBasis:
    """A basis and its Gram-Schmidt numbers as integers, after Cohen's algorithm 2.6.7 (de Weger 1987).

    `d[i]` is the Gram determinant of the first i rows, so that ``|b*_i|^2 = d[i + 1] / d[i]``, and
    ``lambdas[i][j] = d[j + 1] mu[i, j]``; all of them are whole numbers. Columns beyond `width` are carried along.
    """

    def __init__(self, rows, width=None):
        self.width = rows.shape[1] if width is None else width
        self.rows = list(rows)
        vectors = rows[:, : self.width]
        self.d, self.lambdas = [1], []
        for k, products in enumerate(exact_product(vectors, vectors.T).tolist()):
            self._orthogonalize(k, products)

    def _orthogonalize(self, k, products):
        """Find the numbers of row k from its inner products, the rows before it being known."""
        d, row = self.d, []
        for j in range(k + 1):
            u, other = products[j], self.lambdas[j] if j < k else row
            for i in range(j):
                u = (d[i + 1] * u - row[i] * other[i]) // d[i]
            row.append(u)
        if row[k] == 0:
            raise ValueError(
                f"basis[{k}] is a combination of the rows before it, and the rows of a basis are independent. Without it the lattice "
                "may be another one: make a basis of all rows first, by their Hermite normal form (SymPy has it)"
            )
        d.append(row.pop())
        self.lambdas.append(row)

    def basis(self):
        """The rows as they are now."""
        return np.array(self.rows)

    def reduction(self, delta):
        """Make the rows LLL-reduced, and yield what is done and to which two rows."""
        k = 1
        while k < len(self.rows):
            if self.reduce(k, k - 1):
                yield "reduce", k, k - 1
            if not self.lovasz(k, delta):
                self.swap(k)
                yield "swap", k, k - 1
                k = max(k - 1, 1)
                continue
            for j in reversed(range(k - 1)):
                if self.reduce(k, j):
                    yield "reduce", k, j
            k += 1

    def reduce(self, k, j):
        """Take from row k the multiple of row j that leaves least of it, and return the multiple."""
        row, other = self.lambdas[k], self.lambdas[j]
        multiple = nearest_integer(row[j], self.d[j + 1])
        if multiple:
            self.rows[k] = self.rows[k] - multiple * self.rows[j]
            row[j] -= multiple * self.d[j + 1]
            for i in range(j):
                row[i] -= multiple * other[i]
        return multiple

    def lovasz(self, k, delta):
        """Whether the Gram-Schmidt vector of row k is long enough beside that of the row before."""
        d = self.d
        return delta.denominator * (d[k + 1] * d[k - 1] + self.lambdas[k][k - 1] ** 2) >= delta.numerator * d[k] ** 2

    def swap(self, k):
        """Swap row k and the one before it."""
        rows, d, lambdas = self.rows, self.d, self.lambdas
        rows[k - 1], rows[k] = rows[k], rows[k - 1]
        lambdas[k - 1][:], lambdas[k][: k - 1] = lambdas[k][: k - 1], lambdas[k - 1][:]
        common = lambdas[k][k - 1]
        changed = (d[k - 1] * d[k + 1] + common**2) // d[k]
        for row in lambdas[k + 1 :]:
            before = row[k]
            row[k] = (d[k + 1] * row[k - 1] - common * before) // d[k]
            row[k - 1] = (changed * before + common * row[k]) // d[k + 1]
        d[k] = changed


def reduce_in_integers(rows, width, delta):
    """Reduce rows exactly."""
    state = IntegralBasis(rows, width)
    for _ in state.reduction(delta):
        pass
    return state.basis()
