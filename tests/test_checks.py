import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import checks


@pytest.mark.parametrize("value", [1, np.int64(7), 2**70])
def test_whole_numbers_come_back_as_ints(value):
    for check in (checks.positive_integer, checks.non_negative_integer):
        assert type(check(value, "n")) is int
        assert check(value, "n") == value


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, float("nan")])
def test_what_is_no_positive_integer_is_named(value):
    with pytest.raises(ValueError, match=r"n is .*: give a whole number of at least 1"):
        checks.positive_integer(value, "n")
    if value != 0 or isinstance(value, bool):
        with pytest.raises(ValueError, match=r"n is .*: give a whole number of at least 0"):
            checks.non_negative_integer(value, "n")


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan"), True, "0.1", 1j])
def test_what_is_no_size_is_named(value):
    with pytest.raises(ValueError, match=r"rate is .*: give a finite number of at least 0"):
        checks.non_negative_number(value, "rate")


def test_limits_are_allowed_themselves():
    assert checks.at_most(5, 5, "n", "too much") == 5
    with pytest.raises(ValueError, match="n is 1,006: it would not fit; give 1,005 at most"):
        checks.at_most(1_006, 1_005, "n", "it would not fit")


@given(values=st.lists(st.integers(-(2**62), 2**62), max_size=6))
def test_integers_of_a_list_are_of_64_bits_on_every_system(values):
    found = checks.whole_numbers(values, -(2**62), 2**62, "n")
    assert found.dtype == np.int64
    assert found.tolist() == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 10], r"n\[1\] is 10: give whole numbers from 0 to 9"),
        (-1, "n is -1"),
        ([[1, 2], [3]], "rows of different lengths"),
        ([1.0], r"an array of float64.*astype\(np.int64\)"),
        ([True], "an array of bool"),
        (["1"], "give whole numbers, of an integer type"),
        ([2**70], r"n\[0\] is 1180591620717411303424"),
    ],
)
def test_what_is_out_of_place_is_said_with_its_place(values, message):
    with pytest.raises(ValueError, match=message):
        checks.whole_numbers(values, 0, 9, "n")


@given(rows=st.lists(st.lists(st.integers(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_matrices_keep_integers_of_any_size(rows):
    found = checks.integer_matrix(rows, "basis")
    assert found.dtype == object
    assert found.tolist() == rows


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3]], "different lengths"),
        ([1, 2], r"shape \(2,\)"),
        ([], r"shape \(0,\)"),
        ([[1, 0.5]], r"basis\[0, 1\] is 0.5: give integers, not float"),
        ([[True]], r"basis\[0, 0\] is True"),
    ],
)
def test_what_is_no_matrix_of_integers_is_said(values, message):
    with pytest.raises(ValueError, match=message):
        checks.integer_matrix(values, "basis")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, float("nan")]], r"w\[0, 1\] is nan: give finite numbers"),
        ([1.0], r"shape \(1,\)"),
        ([["a"]], "no array of numbers"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
    ],
)
def test_what_is_no_finite_matrix_is_said(values, message):
    with pytest.raises(ValueError, match=message):
        checks.finite_matrix(values, "w")


def test_a_finite_matrix_is_a_copy():
    given_one = np.eye(2)
    checks.finite_matrix(given_one, "w")[0, 0] = 5.0
    assert given_one[0, 0] == 1.0


def test_an_unknown_word_is_told_which_there_are():
    assert checks.one_of("a", {"a": 1}, "kind") == 1
    for value in ("b", ["a"], None):
        with pytest.raises(ValueError, match=r"unknown kind .*: choose one of 'a', 'bb'"):
            checks.one_of(value, {"a": 1, "bb": 2}, "kind")


def test_token_ids_lie_in_the_vocabulary():
    assert checks.token_ids([[0, 4]], 5).tolist() == [[0, 4]]
    with pytest.raises(ValueError, match=r"targets\[0, 1\] is 5, outside the vocabulary of 5 ids \(0 to 4\)"):
        checks.token_ids([[0, 5]], 5, "targets")
    with pytest.raises(ValueError, match=r"tokens\[0\] is -1"):
        checks.token_ids([-1], 5)
    with pytest.raises(ValueError, match="tokens have dtype float64: token ids are integers"):
        checks.token_ids([0.0], 5)


@pytest.mark.parametrize("value", [0, -0.1, float("inf"), float("nan"), True, "0.1", None, 1j])
def test_what_is_not_above_zero_is_named(value):
    with pytest.raises(ValueError, match=r"rate is .*: give a finite number above 0, such as 1"):
        checks.positive_number(value, "rate", ", such as 1")


@pytest.mark.parametrize("value", [1, 1e-300, np.float32(0.5), np.int64(3)])
def test_numbers_above_zero_come_back_as_floats(value):
    assert type(checks.positive_number(value, "rate")) is float
    assert checks.positive_number(value, "rate") == value


def test_an_object_is_told_from_its_class_and_from_what_lacks_a_method():
    assert checks.instance("text", "it", ("upper", "lower")) == "text"
    with pytest.raises(ValueError, match=r"it is the class str itself: give one of its objects, it=str\(...\)"):
        checks.instance(str, "it", ("upper",))
    with pytest.raises(ValueError, match="it is a list, without upper and lower: give an object with the methods upper, lower, append"):
        checks.instance([], "it", ("upper", "lower", "append"))
    with pytest.raises(ValueError, match="it is None, without upper"):
        checks.instance(None, "it", ("upper",))


def test_functions_are_given_in_a_list():
    assert checks.functions([len, max], "it") == checks.functions(iter([len, max]), "it") == (len, max)
    assert checks.functions((), "it") == ()
    caller = type("Caller", (), {"__call__": lambda self: None})
    assert len(checks.functions([caller(), functools.partial(max, 1), [].append], "it")) == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (len, r"it is one function: give a list of them, it=\[...\]"),
        (int, r"it is one function: give a list of them"),
        (3, r"it is 3: give a list of functions, it=\[...\]"),
        (None, "it is None: give a list"),
        ([len, 3], r"it\[1\] is 3, which cannot be called: give functions, or objects with __call__"),
        ("no", r"it\[0\] is 'n', which cannot be called"),
        ([None], r"it\[0\] is None, which"),
        ([len, list], r"it\[1\] is the class list itself: give one of its objects, list\(...\)"),
    ],
)
def test_what_is_no_list_of_functions_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        checks.functions(values, "it")


@pytest.mark.parametrize("padding", [-1, -100])
def test_a_mark_for_padding_is_told_from_another_corpus(padding):
    with pytest.raises(ValueError, match=rf"targets\[1\] is {padding}, .* no mark for padding.*every position counts.*cut to one length"):
        checks.token_ids([0, padding], 5, "targets")
    with pytest.raises(ValueError, match="was the text encoded with another corpus"):
        checks.token_ids([0, 5], 5)
