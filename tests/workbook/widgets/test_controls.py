import pytest

from cllm_lib.workbook.widgets.controls import button, choice, pick, stops


def test_a_slider_steps_through_what_it_was_given():
    slider = choice("rate", [("a tenth", 0.1), ("one", 1.0)], 1.0)
    assert (slider.label, slider.value) == ("one", 1.0)
    slider.index = 0
    assert slider.value == 0.1


def test_the_first_value_is_one_of_the_stops_in_its_place():
    slider = stops("rate", [3.0, 1.0], 2.0)
    assert [value for _, value in slider.options] == [1.0, 2.0, 3.0]
    assert slider.value == 2.0
    assert len(stops("rate", [3.0, 1.0], 3.0).options) == 2


def test_words_to_pick_from_have_names_of_their_own():
    buttons = pick("curve", ["ulam", "hilbert"], "hilbert")
    assert buttons.value == "hilbert"
    assert list(buttons.tooltips) == ["curve: ulam", "curve: hilbert"]
    with pytest.raises(ValueError, match="unknown curve 'peano': choose one of 'ulam', 'hilbert'"):
        pick("curve", ["ulam", "hilbert"], "peano")


def test_a_button_does_what_it_was_made_for():
    pressed = []
    made = button("START", "begin", lambda: pressed.append(1))
    made.click()
    made.click()
    assert (made.description, made.tooltip, pressed) == ("START", "begin", [1, 1])
