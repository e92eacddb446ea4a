import functools
import os
import re
import subprocess
import sys
from pathlib import Path

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
        (b"plain text", "b'plain text'"),
        ((b"\x1f\x8b\x08\x00", "gzip"), "(4 bytes, 'gzip')"),
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


ROOT = Path(__file__).parents[1]
ELSEWHEN = """
import time
now, local, shift = time.time, time.localtime, {shift}
time.time = lambda: now() + shift
time.localtime = lambda seconds=None: local(time.time() if seconds is None else seconds)

def pytest_configure():
    import words
    words.LONGEST = 100_000  # what is cut off shows by chance alone: a second that is a hyphen moves the cut
"""


@pytest.mark.elsewhere
def test_cases_are_named_and_ordered_alike_in_another_process_at_another_time(tmp_path):
    """Workers of a parallel run refuse each other's lists otherwise: "Different tests were collected"."""
    names = []
    for seed, shift in (("1", 0), ("2", 40_000_001)):  # seconds: another year, month, day, hour, minute and second
        folder = tmp_path / seed
        folder.mkdir()
        (folder / "elsewhen.py").write_text(ELSEWHEN.format(shift=shift))
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "elsewhen", "-p", "no:cacheprovider", "-n0", "-m", "", "--collect-only", "tests"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(folder)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        names.append([line for line in run.stdout.splitlines() if "::" in line])
    assert len(names[0]) > 10_000, names[0][-5:]
    assert names[0] == names[1]
