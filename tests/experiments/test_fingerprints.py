import dataclasses
import functools
import json
import linecache
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from cllm_lib.experiments.fingerprints import fingerprint
from cllm_lib.text.tasks import AssociativeRecall

ROOT = Path(__file__).parents[2]


def scaled(scale):
    return lambda value: scale * value


DIFFERENT = [
    *(0, 1, True, 1.0, "1", b"1", None, 1j, np.float64(1), np.float32(1), np.int64(1), 0.1, 0.1 + 1e-17 + 2e-17, -0.0, 0.0),
    *((), [], {}, set(), (1,), [1], (1, (2,)), ((1, 2),), ("ab",), ("a", "b"), {"a": 1}, {"a": 2}, {1, 2}, {1, 3}),
    *(
        np.arange(3, dtype=np.int64),
        np.arange(3.0),
        np.arange(4, dtype=np.int64),
        np.zeros((2, 3)),
        np.zeros((3, 2)),
        np.zeros(2000),
        np.eye(1, 2000, 1000)[0],
    ),
    *(AssociativeRecall(8), AssociativeRecall(9), AssociativeRecall),
    *(scaled(2), scaled(3), functools.partial(scaled, 2), functools.partial(scaled, scale=2), scaled),
    *(lambda x: x + 1, lambda x: x + 2, lambda y: y),
    *(np.exp, np.sin, np.mean, len, math_module := __import__("math"), math_module.sqrt, Path("a"), Path("b")),
]


def test_different_values_are_described_differently():
    seen = {}
    for value in DIFFERENT[:-1]:
        words = json.dumps(fingerprint(value))
        twin = seen.setdefault(words, value)
        assert twin is value or (isinstance(value, float) and repr(twin) == repr(value)), (twin, value)


def test_equal_values_are_described_alike():
    for one, other in [
        (scaled(2), scaled(2)),
        (np.arange(6, dtype=np.int64)[::2], np.array([0, 2, 4], dtype=np.int64)),
        ({"b", "a"}, {"a", "b"}),
        ("ab" * 2, "abab"),
    ]:
        assert fingerprint(one) == fingerprint(other)


PROGRAM = "import json, experiments.test_fingerprints as t; print(json.dumps([t.fingerprint(v) for v in t.PORTABLE]))"
PORTABLE = [
    {"set", "of", "strings"},
    AssociativeRecall(8),
    scaled(2),
    functools.partial(scaled, np.arange(3, dtype=np.int64)),
    ("x", 0.1),
    np.exp,
]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_says_the_same(hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    printed = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True).stdout
    from experiments import test_fingerprints  # under the name it has there

    assert json.loads(printed) == json.loads(json.dumps([fingerprint(value) for value in test_fingerprints.PORTABLE]))


def cell(source):
    """What a notebook's cell defines: functions whose module has no file, and whose source only `linecache` knows."""
    name = f"<cell {hash(source)}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    module = types.ModuleType("a_notebook")
    exec(compile(source, name, "exec"), module.__dict__)
    return module


NOTEBOOK = """
import numpy as np
RATE = 0.1
def helper(x):
    return x + 1
def measure(variant, seed, steps=10):
    return [helper(RATE * x) for x in np.arange(steps)], [measure, rest][:0]
def rest():
    return measure
"""


def test_of_a_notebook_whatever_the_function_names_is_seen():
    kept = fingerprint(cell(NOTEBOOK).measure)
    assert fingerprint(cell(NOTEBOOK + "\nunused = 3\n").measure) == kept
    for old, new in (("0.1", "0.2"), ("x + 1", "x + 2"), ("steps=10", "steps=11"), ("return measure", "return 1"), ("[:0]", "[:1]")):
        assert fingerprint(cell(NOTEBOOK.replace(old, new)).measure) != kept, old


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match="of type object"):
        fingerprint([object()])
    with pytest.raises(ValueError, match="Generator"):
        fingerprint(np.random.default_rng(0))
    with pytest.raises(ValueError, match="cannot be told"):
        fingerprint(np.array([object()]))
    with pytest.raises(ValueError, match="source of <lambda> cannot be read"):
        fingerprint(eval("lambda: 1", {"__name__": "nowhere"}))


def test_dataclasses_are_told_by_their_fields():
    @dataclasses.dataclass
    class Point:
        x: float

    assert fingerprint(Point(1.0)) == fingerprint(Point(1.0)) != fingerprint(Point(2.0))
