"""Whoever reduces to another lattice is no faster."""

import pytest

from benchmarks import reduction
from benchmarks.compare import Missing, Ratio


@pytest.mark.parametrize("build", [reduction.ours, reduction.unproved, reduction.sympy_lll])
@pytest.mark.parametrize(
    "basis", [reduction.random_basis(6, 20), reduction.knapsack_basis(6, 30), reduction.ntru_basis(3, 97), reduction.random_basis(4, 600)]
)
def test_all_reduce_to_the_same_lattice(build, basis):
    assert reduction.agree(basis, build(basis).answer())


@pytest.mark.slow
def test_flint_does_too():
    pytest.importorskip("flint", reason="a peer; `make test-all` installs it")
    basis = reduction.knapsack_basis(6, 30)
    assert reduction.agree(basis, reduction.flint_lll(basis).answer())


def test_another_lattice_and_a_basis_left_as_it_was_are_found_out():
    basis = reduction.knapsack_basis(6, 60)
    reduced, transform = reduction.ours(basis).answer()
    assert not reduction.agree(basis, (2 * reduced, 2 * transform))
    assert not reduction.agree(basis, (2 * reduced, transform))
    identity = reduction.ours([[int(i == j) for j in range(6)] for i in range(6)]).answer()[1]
    assert not reduction.agree(basis, (identity @ basis, identity))


def test_a_row_says_whether_the_ratio_is_reached():
    quick, slow = (Ratio(ours=0.005, peer=0.2, value=value, low=value, high=value) for value in (0.025, 0.1))
    assert reduction.row(reduction.TARGET, "a", "b", quick, 1 / 20)[-1] == "reached"
    assert reduction.row(reduction.TARGET, "a", "b", slow, 1 / 20)[-1] == "not reached"
    assert reduction.row("another", "a", "b", slow, 1 / 20)[-2:] == ["", ""]
    assert reduction.row(reduction.LONG_TARGET, "a", "b", slow, 1 / 20)[-1] == "not reached"
    assert reduction.row("another", "a", "b", Missing("b is not installed"), 25.0)[5] == "b is not installed"


def test_the_page_has_a_line_for_each_row():
    rows = [reduction.row("another", "a", "b", Missing("b is not installed"), 25.0)] * 2
    assert reduction.page(["a machine"], rows).count("b is not installed") == 2
    assert reduction.long_section(rows).count("b is not installed") == 2


def test_a_title_stands_in_one_table():
    assert not set(reduction.BASES) & set(reduction.LONG_BASES)
    assert reduction.LONG_TARGET in reduction.LONG_BASES
