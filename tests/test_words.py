import functools
import re

import numpy as np
import pytest
from words import LONGEST, words

from cllm_lib.training.optimizers import Adam


class Unnamed:
    """Its repr holds an address, which differs from process to process."""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "case=3"),
        (None, "case=None"),
        ("a text", "a text"),
        ("", "''"),
        ("of two\nlines", "of two lines"),
        (Adam, None),
        ([], "[]"),
        ({}, "nothing given"),
        ({"rate": -1.0, "make": Adam}, "rate=-1.0, make=Adam"),
        (np.array([1, 2], dtype=np.int64), "[1, 2]"),
        (np.zeros((3, 5)), "float64 of shape (3, 5)"),
        ({"b", "a"}, "{'a', 'b'}"),
        (lambda: Adam(-1.0), "Adam(-1.0)"),
        (lambda x, y: (x + y) * 2, "(x + y) * 2"),
        (lambda text: "größer" + text, '"größer" + text'),
        (functools.partial(Adam, 0.1, eps=1e-3), "Adam(0.1, eps=0.001)"),
        ((Unnamed(), [len]), "(Unnamed, [len])"),
    ],
)
def test_a_case_is_said_in_words(value, said):
    assert words(value, "case") == said


def test_what_is_long_is_cut_at_a_word():
    assert words(["some words"] * 20, "case").endswith("...")
    assert len(words(["some words"] * 20, "case")) <= LONGEST


def test_no_case_of_any_test_has_a_number_for_a_name(request):
    """pytest's own names for what it has no words for: `settings3`, `<lambda>0`."""
    for item in request.session.items:
        numbered = [name for name in getattr(getattr(item, "callspec", None), "params", ()) if re.search(rf"\b{name}\d+\b", item.nodeid)]
        assert not numbered, item.nodeid
        assert "<lambda>" not in item.nodeid
