"""Merges by places and a heap are those of counting anew each time, with a count of steps that grows like the text."""

import itertools
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.text import merging
from cllm_lib.text.merging import BYTES, EDGE, TIES, Row, join_by_rank, learn_merges, merged, merges_by_recounting

WORDS = st.dictionaries(
    st.text("ab ", min_size=1, max_size=9).map(str.encode) | st.binary(min_size=1, max_size=5), st.integers(0, 5), max_size=8
)
# The example of Sennrich et al. grown by a word, as courses have it; ties go to the pair that is later in the alphabet.
COURSE = {b"low": 5, b"lower": 2, b"widest": 3, b"newest": 6}
COURSE_MERGES = "s t, e st, o w, l ow, w est, n e, ne west, w i, wi d, wid est, low e, lowe r"


@given(words=WORDS, most=st.integers(0, 30), ties=st.sampled_from(list(TIES)), min_count=st.integers(1, 4))
def test_merges_are_those_of_counting_anew(words, most, ties, min_count):
    expected = merges_by_recounting(words, most, ties, min_count)
    assert learn_merges(words, most, ties, min_count) == expected


def test_the_example_of_the_courses():
    expected = [tuple(part.encode() for part in pair.split()) for pair in COURSE_MERGES.split(", ")]
    assert learn_merges(COURSE, 99, "greater bytes")[:12] == expected
    assert merges_by_recounting(COURSE, 12, "greater bytes") == expected


def test_ties_go_to_the_smaller_ids_or_to_the_greater_bytes():
    words = {b"ab": 1, b"ba": 1, b"b\n": 1}
    assert learn_merges(words, 1) == [(b"a", b"b")]
    assert learn_merges(words, 1, "greater bytes") == [(b"b", b"a")]
    words = {b"xax": 2, b"xa": 2, b"q": 1}  # (x, a) first; then its like
    assert learn_merges(words, 2) == [(b"x", b"a"), (b"xa", b"x")]
    shorter = {b"tha": 3, b"thb": 3, b"t.": 3}
    assert learn_merges(shorter, 2, "greater bytes")[1] == (b"th", b"b")


def test_the_bytes_are_all_there_in_the_order_of_gpt2():
    assert sorted(BYTES) == [bytes([byte]) for byte in range(256)]
    assert (BYTES[0], BYTES[93], BYTES[188], BYTES[220]) == (b"!", b"~", b"\0", b" ")


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"ties": "longest"}, "unknown ties 'longest': choose one of 'smaller ids'"), ({"min_count": 0}, "min_count is 0")],
)
def test_what_makes_no_sense_is_said(settings, words):
    with pytest.raises(ValueError, match=words):
        learn_merges({b"ab": 1}, 5, **settings)


def test_a_pair_is_merged_from_left_to_right():
    parts = [b"a"] * 5
    assert merged(parts, (b"a", b"a")) == [b"aa", b"aa", b"a"]
    assert merged([b"a", b"b", b"b"], (b"a", b"b")) == [b"ab", b"b"]


def plainly_joined(ids, ranks):
    """The definition: look for the best pair of all, join the leftmost of its kind, and begin again."""
    ids = list(ids)
    while True:
        found = [(*ranks[pair], i) for i, pair in enumerate(itertools.pairwise(ids)) if pair in ranks]
        if not found:
            return ids
        _, new, i = min(found)
        ids[i : i + 2] = [new]


@st.composite
def rank_tables(draw):
    """Merges of three ids and what comes of them, in any order that could have been learnt, some to the same id."""
    known, ranks = [0, 1, 2], {}
    for rank in range(draw(st.integers(0, 8))):
        pair = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        new = draw(st.sampled_from([3 + rank, 3 + rank, max(known)]))
        if pair not in ranks and new not in pair:
            ranks[pair] = (rank, new)
            known += [new] * (new not in known)
    return ranks


@given(ids=st.lists(st.integers(0, 2), max_size=25), ranks=rank_tables())
def test_joining_by_rank_is_that_of_looking_for_the_best_each_time(ids, ranks):
    assert join_by_rank(ids, ranks) == plainly_joined(ids, ranks)


def test_in_a_row_two_become_one():
    row = Row([EDGE, 5, 6, 7, EDGE])
    row.join(1, 8)
    assert row.pair(1) == (8, 7)
    row.join(1, 9)
    assert row.pair(0) == (EDGE, 9)
    assert row.pair(1) == (9, EDGE)


@pytest.fixture
def steps(monkeypatch):
    """How often places were looked at, and the heap was asked, by whatever the test runs."""
    made = []

    def counted(plain):
        def counting(*arguments):
            made.append(1)
            return plain(*arguments)

        return counting

    for owner, name in ((merging.Row, "pair"), (merging.Row, "join"), (merging, "heappush"), (merging, "heappop")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))

    def count(function, *arguments):
        made.clear()
        function(*arguments)
        return len(made)

    return count


def lengths_of_words(size, seed=0):
    draw = random.Random(seed)
    return {"".join(draw.choices(string.ascii_lowercase[:6], k=8)).encode(): 1 + i % 3 for i in range(size)}


@pytest.mark.parametrize("text", [lengths_of_words, lambda size: {b"ab" * size: 1}, lambda size: {b"a" * size: 1}])
def test_steps_grow_like_the_bytes_of_the_different_words(steps, text):
    """Four times the bytes, four times the steps and a little; with the square it would be sixteen times."""
    small, large = (steps(learn_merges, text(size), 400) for size in (300, 1200))
    assert small < large < 6 * small


def test_a_long_word_is_joined_in_steps_that_grow_like_it(steps):
    ranks = {(i, i): (i, i + 1) for i in range(30)}
    small, large = (steps(join_by_rank, [0] * size, ranks) for size in (300, 1200))
    assert small < large < 6 * small
