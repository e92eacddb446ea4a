"""What a value is, told in the same words by every process: names for results that are kept on disk."""

import dataclasses
import functools
import hashlib
import inspect
import json
import numbers
import sys
import types
from pathlib import Path

import numpy as np


def fingerprint(value, within=()):
    """Fingerprint of a value by content, in lists and strings that are the same in every process and differ where the value does.

    Parameters
    ----------
    value : object
        Numbers, strings, arrays, containers and dataclasses by their content; functions by module, name, source (the whole
        file they stand in, or of a notebook what they name), defaults and closure; classes by name and source.
    within : tuple
        The functions it is part of the description of; for the recursion's own use.

    Returns
    -------
    list
        JSON can hold it.

    Raises
    ------
    ValueError
        If an object says nothing by which it could be told from another of its type, or a function's source cannot be read.

    Examples
    --------
    >>> fingerprint(1) == fingerprint(1.0)
    False
    """
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or isinstance(value, str | bytes | numbers.Number):
        return [kind, repr(value)]
    if isinstance(value, Path):
        return [kind, str(value)]
    if isinstance(value, list | tuple):
        return [kind, [fingerprint(item, within) for item in value]]
    if isinstance(value, dict):
        return [kind, [[fingerprint(key, within), fingerprint(item, within)] for key, item in value.items()]]
    if isinstance(value, set | frozenset):
        return [kind, sorted((fingerprint(item, within) for item in value), key=json.dumps)]
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return [kind, value.dtype.str, list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, functools.partial):
        return [kind, *(fingerprint(part, within) for part in (value.func, value.args, value.keywords))]
    if isinstance(value, types.ModuleType):
        return [kind, value.__name__]
    if isinstance(value, types.MethodType):
        return [kind, value.__name__, fingerprint(value.__self__, within)]
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return [kind, *_code(value, within)]
    if hasattr(value, "__wrapped__") and callable(value):  # functools.cache and the like
        where, stands = [kind, value.__module__, value.__qualname__], _in_its_module(value)
        return [*where, _digest_of(_file_of(value)) if stands else fingerprint(value.__wrapped__, within)]
    if dataclasses.is_dataclass(value):
        return [
            kind,
            fingerprint(type(value), within),
            [[field.name, fingerprint(getattr(value, field.name), within)] for field in dataclasses.fields(value)],
        ]
    raise ValueError(
        f"{value!r} cannot be told from others of type {kind.removeprefix('builtins.')}, so no result can be kept for it: "
        "name it by strings and numbers and make it inside the measure, or run without cache"
    )


def _code(value, within):
    """A function or class by where it stands and what is written there."""
    where = [value.__module__, getattr(value, "__qualname__", value.__name__)] if hasattr(value, "__module__") else [value.__name__]
    if value in within or not isinstance(value, type | types.FunctionType) or value.__module__ == "builtins":
        return where
    file = _file_of(value)
    in_file = file is not None
    source = _digest_of(file) if in_file else _source(value)
    if isinstance(value, type) or (in_file and _in_its_module(value)):
        return [*where, source]
    code, within = value.__code__, (*within, value)
    place = hashlib.sha256(repr(list(code.co_positions())).encode()).hexdigest()  # two lambdas of one line are two
    closure = [cell.cell_contents for cell in value.__closure__ or ()]
    used = {} if in_file else {name: value.__globals__[name] for name in sorted(_names(code)) if name in value.__globals__}
    return [*where, source, place, *(fingerprint(part, within) for part in (value.__defaults__, value.__kwdefaults__, closure, used))]


def _in_its_module(value):
    """Whether the module has it under its own name, so that the module's file says all about it."""
    return _file_of(value) is not None and getattr(sys.modules[value.__module__], value.__name__, None) is value


def _file_of(value):
    file = getattr(sys.modules.get(value.__module__), "__file__", None)
    return file if file is not None and Path(file).is_file() else None


def _digest_of(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _source(value):
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        raise ValueError(
            f"the source of {value.__qualname__} cannot be read: define it in a module or a cell, or run without cache"
        ) from None


def _names(code):
    """The names that a function asks for, in its inner functions too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)
