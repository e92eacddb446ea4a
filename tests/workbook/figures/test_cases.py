from types import SimpleNamespace

import numpy as np
import pytest

from cllm_lib import casebook
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures.cases import GROUPS


def case(losses, held_out, vocab_size=100):
    return SimpleNamespace(losses=losses, validation_losses=held_out, settings=SimpleNamespace(vocab_size=vocab_size))


def test_each_case_has_a_panel_with_its_losses_and_the_uniform_guess():
    cases = {f"case {k}": case([4.6 - 0.1 * k * i for i in range(20)], {10: 4.0, 20: 3.0 + k}) for k in range(3)}
    panels = figures.case_curves(cases)
    assert [axes.get_title() for axes in panels] == list(cases)
    for axes, one in zip(panels, cases.values(), strict=True):
        training, held_out, uniform = axes.lines
        np.testing.assert_array_equal(training.get_ydata(), one.losses)
        assert dict(zip(held_out.get_xdata(), held_out.get_ydata(), strict=True)) == one.validation_losses
        np.testing.assert_allclose(uniform.get_ydata(), np.log(100))


def test_both_curves_of_a_verdict_are_drawn_from_the_first_step_on():
    axes = figures.before_and_after(SimpleNamespace(before=[5.0, 4.0], after=[5.0, 3.0]), "Title")
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {"as it was": [5.0, 4.0], "repaired": [5.0, 3.0]}
    assert list(axes.lines[0].get_xdata()) == [1, 2]


def test_the_map_says_in_words_how_many_defects_each_instrument_tells():
    groups = {"a": "attention", "b": "attention", "c": "texts"}
    axes = figures.what_instruments_tell({"one": {"a": 1.0, "b": 0.6, "c": 0.0}, "two": {"a": 0.0, "b": 0.4, "c": 1.0}}, groups)
    assert figures.numbers_drawn(axes)[0].split("\n  ") == ["  one: 2 of 3", "two: 1 of 3"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1.0, 0.6, 0.0], [0.0, 0.4, 1.0]])
    assert [label.get_text() for label in axes.get_xticklabels()] == [GROUPS["attention"], GROUPS["texts"]]
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5]


def test_the_groups_of_the_map_are_the_places_of_defects():
    assert list(dict.fromkeys(casebook.places().values())) == list(GROUPS)


def test_beliefs_show_what_was_ever_likely_with_its_number():
    steps = [("first", {"healthy": 0.5, "x": 0.48, "y": 0.02}), ("second", {"healthy": 0.01, "x": 0.97, "y": 0.02})]
    axes = figures.beliefs(steps, "Title")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["healthy", "x"]
    assert sorted(text.get_text() for text in axes.texts) == ["0.48", "0.50", "0.97"]
    assert figures.numbers_drawn(axes)[0].split("\n  ") == ["  first: healthy 0.50, x 0.48", "second: x 0.97, y 0.02"]


@pytest.mark.parametrize("found", [(), ("a",), ("a", "b", "c", "d", "e")])
def test_the_tree_names_three_of_what_branches_off_and_counts_the_rest(found):
    axes = figures.question_tree([("weights", found, 0.25)], "Title")
    texts = [text.get_text() for text in axes.texts]
    assert {"weights", "silent: healthy 0.25"} <= set(texts)
    assert {0: "none", 1: "1: a", 5: "5: a, b, c and 2 more"}[len(found)] in texts
    assert figures.numbers_drawn(axes)[-1].endswith(f"weights: {len(found)} branch off, healthy 0.25")
