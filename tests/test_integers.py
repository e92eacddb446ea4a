"""Integers that may grow say how many bits they have.

NumPy's integer has 64 bits on the systems of today, and 32 where Python runs in a browser: there the square of 62,000
overflows without a word, and `np.bincount`, `np.repeat`, `np.take` refuse 64 bits. So whatever makes an array of integers names
its type: `np.int64` for numbers, `np.intp` for places in an array. What the rule cannot see, tests/wasm runs.
"""

import ast
import re

import numpy as np
import pytest
from notebooks.books import ROOT, programs

MAKERS = {"arange", "indices", "array", "asarray", "full", "fromiter"}
TAKE_A_TYPE = MAKERS | {"astype", "zeros", "ones", "empty"}
PLACES = {"bincount": 0, "choose": 0, "repeat": 1, "take": 1, "put": 1, "reduceat": 1}  # which argument counts, or says where
FINDERS = r"np\.intp|return_index|return_inverse|argsort|flatnonzero|nonzero\(|searchsorted|\.argm"  # what gives places, of type intp
ADDERS = {"sum", "prod", "cumsum", "cumprod", "dot", "outer", "power"}  # keep the type of what they are given
NUMBERS = {"group", "n_heads", "n_kv_heads"}  # names of one number, in every program
PLAIN = {"int", "np.int_", "'int'"}  # as many bits as the system likes
FOLDERS = ("cllm_lib", "benchmarks", "tools", "tests")


def of_no_size(source):
    """The calls in a program that make an array of integers of the system's size, or count what may not be counted there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, of_numpy = node.func.attr, ast.unparse(node.func.value) == "np"
            types = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "dtype"]
            types += [ast.unparse(argument) for argument in node.args if name in TAKE_A_TYPE]
            plain = any(kind in PLAIN for kind in types)
            unsaid = of_numpy and name in MAKERS and not _has_type(node) and _makes_integers(node)
            unsaid = unsaid or (of_numpy and name in ADDERS and _adds_integers(node))
            if plain or unsaid or _counted_wrong(node, source):
                found.append(ast.unparse(node))
    return found


def _has_type(call):
    """By name, or in its place: the second argument of most, the third of `full`, the fourth of `arange`."""
    place = {"full": 3, "arange": 4}.get(call.func.attr, 2)
    return len(call.args) >= place or any(keyword.arg == "dtype" for keyword in call.keywords)


def _makes_integers(call):
    """Whether a call without a type makes integers: of what is written there, since nobody knows what a name holds."""
    values = call.args[1:2] if call.func.attr == "full" else call.args
    parts = [part for value in values for part in ast.walk(value)]
    numbers = [part.value for part in parts if isinstance(part, ast.Constant)]
    if call.func.attr in ("arange", "indices"):
        return not any(isinstance(number, float) for number in numbers)
    named = any(isinstance(part, ast.Name | ast.Call | ast.Attribute) for part in parts)
    return bool(numbers) and not named and all(type(number) is int for number in numbers)


def _adds_integers(call):
    """Whether it adds or multiplies what is a list of integers by what is written there: numbers, lengths, counts, a shape."""
    if any(keyword.arg in ("dtype", "weights") for keyword in call.keywords):
        return False
    given = call.args[0]
    if isinstance(given, ast.Attribute) and given.attr == "shape":
        return True
    parts = given.elts if isinstance(given, ast.List | ast.Tuple) else [given.elt] if isinstance(given, ast.ListComp) else []
    return bool(parts) and all(map(_is_integer, parts))


def _is_integer(part):
    if isinstance(part, ast.Call):
        return ast.unparse(part.func) in ("len", "int", "np.count_nonzero", "math.prod")
    return isinstance(part, ast.Constant) and type(part.value) is int


def _counted_wrong(call, source):
    """Whether what counts, or says where, may be no place: of type intp there, or where the name was given its value, or one number."""
    place = PLACES.get(call.func.attr)
    if place is None or not ast.unparse(call.func.value).startswith("np"):
        return False
    argument = call.args[place] if place < len(call.args) else call.keywords[0].value
    said = ast.unparse(argument)
    if isinstance(argument, ast.Name):
        one_number = said in NUMBERS or re.search(rf"\b{said} = (len\(|.*//)", source)
        return not one_number and re.search(rf"\b{said}\b[^=\n]* = .*({FINDERS})", source) is None
    return not re.search(FINDERS, said) and not (isinstance(argument, ast.List) or _is_one_number(argument))


def _is_one_number(part):
    """Arithmetic of constants, sizes and names of numbers, such as `n_heads // n_kv_heads`."""
    if isinstance(part, ast.BinOp):
        return _is_one_number(part.left) and _is_one_number(part.right)
    if isinstance(part, ast.Subscript):
        return ast.unparse(part.value).endswith("shape")
    return isinstance(part, ast.Constant) or ast.unparse(part) in NUMBERS or ast.unparse(part).startswith("len(")


def all_programs():
    """Every program of the house by name, a chapter's pieces one by one."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    yield from programs()


def test_what_makes_integers_says_of_which_size():
    found = [f"{name}: {call}" for name, source in all_programs() for call in of_no_size(source)]
    assert not found, "name the type, np.int64 for numbers and np.intp for places:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "np.arange(n)",
        "np.arange(1, n + 1)",
        "np.arange(0, n, 2)",
        "x.astype(int)",
        "np.zeros(n, dtype=int)",
        "np.zeros(n, int)",
        "np.asarray(rows, dtype='int')",
        "np.array([[1, 2], [3, 4]])",
        "np.full(3, 7)",
        "np.indices((2, 3))",
        "np.bincount(ids, minlength=3)",
        "ids = tokens.ravel()\nnp.bincount(ids)",
        "np.repeat(x, counts)",
        "lengths = np.zeros(3, dtype=np.int64)\nnp.repeat(x, lengths)",
        "np.take(table, ids, axis=0)",
        "np.add.reduceat(x, starts)",
        "np.cumsum([len(part) for part in parts])",
        "np.prod(x.shape)",
        "np.prod([100_000, 100_000])",
    ],
)
def test_the_rule_sees(source):
    assert len(of_no_size(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "np.arange(n, dtype=np.int64)",
        "np.arange(0, n, 2, np.int64)",
        "np.arange(0.0, 1.0, 0.1)",
        "x.astype(np.int64)",
        "np.zeros(n)",
        "np.array([1.0, 2.0])",
        "np.array(rows)",
        "np.full(3, 7, np.int64)",
        "np.full(shape, value)",
        "np.bincount(ids.astype(np.intp))",
        "ids = tokens.astype(np.intp)\nnp.bincount(ids)",
        "np.repeat(x, n_heads // n_kv_heads, axis=1)",
        "np.repeat(x, 3)",
        "every = len(batches)\nnp.repeat(x, every)",
        "np.repeat(x, 12 // x.shape[1])",
        "np.repeat(x, [1, 2])",
        "words, lengths = [], np.zeros(3, dtype=np.intp)\nnp.repeat(x, lengths)",
        "order = np.argsort(x)\nnp.take(x, order)",
        "_, starts = np.unique(x, return_index=True)\nnp.add.reduceat(x, starts)",
        "np.cumsum([len(part) for part in parts], dtype=np.int64)",
        "np.sum([0.5, 1])",
        "np.cumsum(values)",
        "np.frompyfunc(int, 1, 1)",
        "[int(i) for i in np.argwhere(x)[0]]",
    ],
)
def test_the_rule_lets_pass(source):
    assert of_no_size(source) == []


def test_without_the_rule_a_square_overflows_silently():
    """What happens where the default has 32 bits, tried with such an array here."""
    numbers = np.arange(62, 200_000, dtype=np.int32)
    assert (numbers**2 < 0).any()
    assert (numbers.astype(np.int64) ** 2 > 0).all()
