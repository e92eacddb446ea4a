"""Names in words for the cases of a parametrised test, so that a failing line says what was tried.

pytest by itself numbers what is no text, number or class: `settings3`, `<lambda>0`.
"""

import functools
import linecache
import textwrap
import types

import numpy as np

LONGEST = 60  # characters


def words(value, name):
    """Say in a few words what the case `value` of the parameter `name` is; None leaves it to pytest.

    The words are the same in every process, since the workers of a parallel run must agree on them: no addresses,
    sets in order, and bytes by their number unless they are plain text, for an archive holds the second it was made in.
    """
    if isinstance(value, type | types.FunctionType) and value.__name__ != "<lambda>":
        return None
    if isinstance(value, bool | int | float | complex | None):
        return f"{name}={value}"
    said = value if isinstance(value, str) else _short(value)
    return textwrap.shorten(said, LONGEST, placeholder="...") if said.strip() else repr(said)


def _short(value):
    if isinstance(value, types.LambdaType) and value.__name__ == "<lambda>":
        return _body(value)
    if isinstance(value, functools.partial):
        return f"{value.func.__name__}({', '.join([*map(_short, value.args), *_items(value.keywords)])})"
    if isinstance(value, np.ndarray):
        return _short(value.tolist()) if value.size <= 6 else f"{value.dtype} of shape {value.shape}"
    if isinstance(value, bytes) and not (value.isascii() and value.decode("ascii").isprintable()):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        return ", ".join(_items(value)) or "nothing given"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_short, value))) + "}"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_short, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return value.__name__
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def _items(settings):
    return [f"{key if isinstance(key, str) else _short(key)}={_short(value)}" for key, value in settings.items()]


def _body(function):
    """What a lambda computes, as it is written: `lambda: Adam(-1)` gives "Adam(-1)"."""
    code = function.__code__
    places = [place for place in code.co_positions() if None not in place and place[3] > 0]  # (line, last line, column, its end)
    if not places:  # an interpreter that was told to keep no columns
        return "a function"
    (first, begin), (last, end) = min((line, column) for line, _, column, _ in places), max(place[1::2] for place in places)
    lines = [line.encode() for line in linecache.getlines(code.co_filename)[first - 1 : last]]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode()
