import math
import re
import xml.etree.ElementTree as ElementTree
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.lattice.lll import is_lll_reduced
from cllm_lib.workbook.widgets import gauss_viewer, lll_viewer
from cllm_lib.workbook.widgets.reduction import BASES, COORDINATES, DELTAS, between, lattice_points, step_sentence, steps_of


def tree(viewer):
    """The picture as a tree: it has to be well formed."""
    return ElementTree.fromstring(viewer.picture.value)


def arrows(viewer):
    """Ends of the two thick lines, in units of the lattice."""
    paths = [path for path in tree(viewer).findall("path") if path.attrib.get("stroke-width") == "3"]
    ends = [[float(x) for x in re.findall(r"[-\d.]+", path.attrib["d"])][2:] for path in paths]
    return np.round((np.array(ends) - 195) / [13, -13], 6).tolist()


def test_next_step_leads_to_a_reduced_basis_and_undo_back():
    viewer, seen = gauss_viewer(), []
    while not viewer.next.disabled:
        seen.append(arrows(viewer))
        viewer.next.click()
    assert seen[0] == [[7, 7], [5, 3]]
    assert arrows(viewer) == [[-3, 1], [2, 4]]
    assert "Reduced" in viewer.sentence.value
    for before in reversed(seen):
        viewer.undo.click()
        assert arrows(viewer) == before
    assert viewer.undo.disabled


def test_each_sentence_says_what_was_done():
    viewer = gauss_viewer((7, 7), (5, 3))
    said = []
    for step in viewer.step.options:
        viewer.step.value = step
        said.append(viewer.sentence.value)
    assert "As given." in said[0]
    assert "change places" in said[1]
    assert "From the longer 2 times the shorter was taken. 2 more to go." in said[2]
    assert "(-3, 1) of length 3.16" in said[2]
    assert all("Area 14," in sentence for sentence in said)


def test_another_vector_makes_another_lattice_and_starts_again():
    viewer = gauss_viewer(step=4)
    viewer.coordinates[0].value = 12
    assert viewer.step.value == 0
    assert arrows(viewer)[0] == [12, 7]
    assert "Area 1," in viewer.sentence.value


def test_two_vectors_on_one_line_are_told_and_harm_nothing():
    viewer = gauss_viewer((2, 4), (3, 6))
    assert "Move one of them" in viewer.sentence.value
    assert viewer.next.disabled
    assert viewer.undo.disabled
    viewer.next.click()
    viewer.coordinates[3].value = 5
    assert arrows(viewer) == [[2, 4], [3, 5]]


@given(*[st.integers(COORDINATES[0], COORDINATES[-1])] * 4)
def test_any_two_vectors_can_be_chosen(a, b, c, d):
    viewer = gauss_viewer((a, b), (c, d))
    viewer.step.value = viewer.step.options[-1]
    assert bool(viewer.steps) == (a * d != b * c)
    if viewer.steps:
        assert "Reduced" in viewer.sentence.value


def test_dots_are_all_whole_multiples_and_no_others():
    basis = np.array([[3, 1], [-1, 4]], dtype=np.int64)
    expected = {tuple(pair @ basis) for pair in np.stack(np.meshgrid(*[np.arange(-20, 21, dtype=np.int64)] * 2), axis=-1).reshape(-1, 2)}
    expected = {point for point in expected if max(map(abs, point)) <= 9}
    assert set(map(tuple, lattice_points(basis, 9))) == expected


def test_the_angle_is_that_between_the_vectors():
    assert between([[1, 0], [0, 3]]) == pytest.approx(90)
    assert between([[1, 0], [-2, 2]]) == pytest.approx(135)
    assert between([[1, 1], [1, 0]]) == pytest.approx(45)


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("delta", DELTAS)
def test_sentences_of_lll_are_true_and_the_end_is_reduced(name, delta):
    steps = steps_of(name, delta)
    for before, (here, after) in zip(steps, enumerate(steps[1:], 1), strict=False):
        rows, said = before.basis.copy(), step_sentence(steps, here)
        if swap := re.fullmatch(r"rows (\d) and (\d) change places", said):
            i, j = (int(x) - 1 for x in swap.groups())
            rows[[i, j]] = rows[[j, i]]
            assert after.potential < before.potential
        else:
            row, sign, times, other = re.fullmatch(r"row (\d) (minus|plus) (\d+) times row (\d)", said).groups()
            rows[int(row) - 1] -= (1 if sign == "minus" else -1) * int(times) * rows[int(other) - 1]
            assert after.potential == before.potential
        np.testing.assert_array_equal(rows, after.basis)
    assert is_lll_reduced(steps[-1].basis, Fraction(DELTAS[delta]))


def test_the_picture_has_the_rows_and_the_potential_of_the_step():
    viewer = lll_viewer("knapsack", step=2)
    label = tree(viewer).attrib["aria-label"]
    assert label.startswith("LLL, step 2 of 26: rows 1 and 2 change places; rows ")
    assert f"log10 of the potential {math.log10(viewer.steps[2].potential):.4g}" in label
    drawn = [text.text for text in tree(viewer).findall("text")]
    assert {str(entry) for entry in viewer.steps[2].basis.ravel()} <= set(drawn)
    framed = [rect for rect in tree(viewer).findall("rect") if rect.attrib.get("stroke-width") == "2"]
    assert len(framed) == 2


def test_the_dot_goes_down_the_stairs():
    viewer, heights = lll_viewer("knapsack"), []
    for step in viewer.step.options:
        viewer.step.value = step
        dot = tree(viewer).find("circle")
        heights.append(float(dot.attrib["cy"]))
    assert heights == sorted(heights)
    assert len(set(heights)) == 1 + sum(step.kind == "swap" for step in viewer.steps)


def test_another_basis_or_delta_starts_again():
    viewer = lll_viewer("four", step=5)
    viewer.basis.value = "three"
    assert viewer.step.value == 0
    assert "Step 0 of 5" in viewer.sentence.value
    viewer.basis.value = "knapsack"
    viewer.step.value = 20
    viewer.delta.value = "0.99"
    assert "Step 0 of 31" in viewer.sentence.value


def test_next_and_undo_stop_at_the_ends():
    viewer = lll_viewer("three")
    for _ in range(9):
        viewer.next.click()
    assert viewer.step.value == 5
    assert viewer.next.disabled
    for _ in range(9):
        viewer.undo.click()
    assert viewer.step.value == 0
    assert viewer.undo.disabled


def test_controls_and_pictures_have_names():
    viewer = lll_viewer()
    assert list(viewer.basis.tooltips) == ["basis: three", "basis: four", "basis: knapsack"]
    for one in (viewer, gauss_viewer()):
        assert (one.next.description, one.undo.description) == ("next step", "undo")
        assert tree(one).attrib["role"] == "img"
        assert "run this cell in JupyterLab" in repr(one)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gauss_viewer((13, 0), (0, 1)), "first, x is 13: give whole numbers from -12 to 12"),
        (lambda: gauss_viewer((1, 0.5), (0, 1)), "first, y is 0.5"),
        (lambda: gauss_viewer(step=9), "step is 9: give one of 0 to 4"),
        (lambda: lll_viewer("five"), "unknown basis 'five'"),
        (lambda: lll_viewer(delta="1/2"), "unknown delta '1/2'"),
        (lambda: lll_viewer(step=-1), "step is -1"),
    ],
)
def test_what_does_not_exist_gets_a_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()
