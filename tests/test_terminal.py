import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.terminal import harmless, say_lines

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # classes of what changes the direction of writing


@given(text=st.text(st.characters(exclude_categories=())))
def test_no_control_character_is_left_and_everything_else_is(text):
    shown = harmless(text)
    for sign in shown:
        assert unicodedata.category(sign) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(sign) not in TURNS
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("one\r\ntwo\tthree\x08", r"one\r\ntwo\tthree\x08"),
        ("abc\u202edcba\u2069", r"abc\u202edcba\u2069"),
        ("half \ud83d", r"half \ud83d"),
        ("çök güzel, 空は青い, آسمان, \U0001f30c", "çök güzel, 空は青い, آسمان, \U0001f30c"),
        (7, "7"),
    ],
    ids=[
        "screen cleared and window renamed",
        "colour in one byte",
        "lines",
        "turned round",
        "half a character",
        "many scripts",
        "a number",
    ],
)
def test_what_moves_cursors_is_written_out(text, shown):
    assert harmless(text) == shown


def test_lines_end_where_they_say_and_nothing_else_is_obeyed(capsys):
    for piece in ("one\ntwo", " \x1b[31m\n\n", "", "\tthree"):
        say_lines(piece)
    assert capsys.readouterr().out == "one\ntwo \\x1b[31m\n\n    three"
