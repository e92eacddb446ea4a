import re
import types
from html import unescape

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.workbook.widgets.controls import (
    NumberField,
    Panel,
    Watch,
    above_zero,
    button,
    choice,
    hear_on_the_main_shell,
    pick,
    stops,
    whole,
)


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


def test_a_panel_is_shown_by_an_older_ipywidgets_too(monkeypatch, capsys):
    """Version 7, which Colab's page knows, makes no bundle: it displays itself."""
    shown = []
    monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)
    monkeypatch.setattr(ipywidgets.VBox, "_ipython_display_", lambda panel: shown.append(panel), raising=False)
    panel = Panel([button("START", "begin", lambda: None)])
    panel._ipython_display_()
    assert shown == [panel]


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


def said(field):
    return unescape(re.sub("<[^>]+>", "", field.problem.value))


@given(number=st.integers(-(10**30), 10**30))
def test_a_whole_number_is_taken_as_typed_or_refused_never_another(number):
    field = NumberField("epochs", 5, whole(1, 100))
    field.text.value = str(number)
    if 1 <= number <= 100:
        assert field.value == number
        assert said(field) == ""
    else:
        with pytest.raises(ValueError, match="epochs is .*: give a whole number from 1 to 100"):
            field.value
        assert said(field).startswith("epochs is ")
    assert field.text.value == str(number)  # what was typed stands there, right or wrong


@pytest.mark.parametrize(("typed", "number"), [("20", 20), (" 20 ", 20), ("2e1", 20), ("20.0", 20), ("1e3", 1_000)])
def test_ways_to_write_a_whole_number(typed, number):
    field = NumberField("epochs", 5, whole(1, 1_000))
    field.text.value = typed
    assert field.value == number


@pytest.mark.parametrize("typed", ["", " ", "2.5", "1e9", "1e999999999", "1,000", "twenty", "nan", "inf", "0x10", "-1", "9" * 5_000])
def test_what_is_no_whole_number_in_range_gets_a_sentence(typed):
    field = NumberField("epochs", 5, whole(1, 1_000))
    field.text.value = typed
    assert re.fullmatch(r"epochs is .{1,30}: give a whole number from 1 to 1,000, in digits alone", said(field))


@given(number=st.floats(1e-300, 1e300))
def test_a_number_above_zero_is_taken_to_the_last_bit(number):
    field = NumberField("rate", 0.003, above_zero)
    field.value = number
    assert field.value == number


@pytest.mark.parametrize("typed", ["0", "-3e-3", "0,003", "nan", "inf", "1e400", "1e-400", "fast", ""])
def test_what_is_no_number_above_zero_gets_a_sentence(typed):
    field = NumberField("rate", 0.003, above_zero)
    field.text.value = typed
    assert "give a number above 0, such as 0.003" in said(field)
    with pytest.raises(ValueError, match="rate is "):
        field.value


def test_markup_that_was_typed_is_shown_and_not_obeyed():
    field = NumberField("rate", 0.003, above_zero)
    field.text.value = "<b>1</b>"
    assert "<b>" not in field.problem.value
    assert "rate is '<b>1</b>'" in unescape(field.problem.value)


def test_only_right_numbers_are_told_on():
    told, field = [], NumberField("modulus", 12, whole(2, 24))
    field.when_changed(lambda: told.append(field.value))
    for typed in ("25", "5", "x", "24"):
        field.text.value = typed
    assert told == [5, 24]


def test_a_first_value_out_of_range_is_refused():
    with pytest.raises(ValueError, match="modulus is '1'"):
        NumberField("modulus", 1, whole(2, 24))


def test_every_panel_watches_for_its_kernel_and_answers_the_page(monkeypatch):
    panel, sent = Panel([button("START", "begin", lambda: None)]), []
    (watch,) = [child for child in panel.children if isinstance(child, Watch)]
    monkeypatch.setattr(watch, "send", sent.append)
    watch._handle_custom_msg({"asked": 3}, [])
    assert sent == [{"asked": 3}]


def test_every_part_of_a_panel_is_heard_on_the_main_shell():
    """A kernel with several shells asks the comm of a message which of them is to take it; None is the main one."""
    inner = types.SimpleNamespace(comm=types.SimpleNamespace(_reply_subshell_for=lambda data, default: default))
    hear_on_the_main_shell(types.SimpleNamespace(comm=None, children=[inner]))
    assert inner.comm._reply_subshell_for({}, "a shell that is gone") is None
    hear_on_the_main_shell(ipywidgets.HBox([ipywidgets.Button()]))  # where there is no kernel, or an older one, nothing changes
