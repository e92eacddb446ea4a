"""The doctor for PyTorch from a terminal: `python -m cllm_lib.instruments script.py:function`.

Exit codes: 0, nothing found; 1, something found; 2, it could not be examined: the command line or the script has to be changed
first; 130, stopped by Ctrl-C.
"""

import argparse
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

from cllm_lib.faces import needed
from cllm_lib.terminal import say

HEALTHY, FOUND, BAD_USE, INTERRUPTED = 0, 1, 2, 130
NAME = "cllm_lib.instruments"
OWN_STAGE = "examined_script"  # the name of a script whose own name is taken


class BadUse(Exception):
    """What was asked for cannot be done; the text says why, and what to do."""


class ScriptFailed(Exception):
    """The script raised something by itself, which is the cause of this exception."""


def main(words=None):
    """Examine the training that a script hands over, and print the report.

    Parameters
    ----------
    words : list of str, optional
        The command line, without the program's name; the real one by default.

    Returns
    -------
    int
        The exit code.
    """
    options = parser().parse_args(words)
    try:
        report = _examined(*_place(options.place))
    except BadUse as error:
        say(f"{NAME}: {error}", error=True)
        return BAD_USE
    except ScriptFailed as error:
        _print_their_traceback(error.__cause__)
        return BAD_USE
    except KeyboardInterrupt:
        say("", error=True)
        return INTERRUPTED
    for line in str(report).splitlines():
        say(line)
    return HEALTHY if report.is_healthy else FOUND


def parser():
    """The command line."""
    found = argparse.ArgumentParser(
        prog=f"python -m {NAME}",
        description="Examine a training in PyTorch on copies, and name what is wrong with it.",
        epilog="Exit codes: 0, nothing found; 1, something found; 2, it could not be examined.",
    )
    found.add_argument(
        "place",
        metavar="script.py:function",
        help="a script, and a function in it, called without arguments, that returns the arguments of examine: a dict of them by name, "
        "or a tuple (module, loss, inputs, targets) with optimizer, scheduler, step and batches after these if you like",
    )
    return found


def _place(text):
    """Path and function of `script.py:function`; a path may hold a colon of its own, as on Windows."""
    path, _, function = text.rpartition(":")
    if not path or not function.isidentifier():
        raise BadUse(f"{text!r} names no function: write script.py:function, the function being one that returns what is to be examined")
    if not Path(path).is_file():
        raise BadUse(f"there is no file {path}: give the path of the script, seen from this folder or in full")
    return Path(path), function


def _examined(path, name):
    try:
        needed("torch", "the doctor for PyTorch", "`pip install torch` brings it")
    except ModuleNotFoundError as missing:
        raise BadUse(missing.msg) from None
    from cllm_lib.instruments.torch import examine

    function = getattr(_loaded(path), name, None)
    if not callable(function):
        what = "has no" if function is None else f"has something of the type {type(function).__name__} as its"
        raise BadUse(f"{path} {what} {name!r}: define a function of that name at the outermost level, as `def {name}():`")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise BadUse(f"{path}:{name} is called without arguments, and that does not fit ({error}): give each a default") from None
    except ValueError:  # a callable of C, whose signature nobody can read
        pass
    arguments = _arguments(_by_the_script(function), f"{path}:{name}", inspect.signature(examine))
    try:
        return examine(**arguments)
    except Exception as error:
        if isinstance(error, ValueError) and _is_ours(error):
            raise BadUse(f"{path}:{name}: {error}") from None
        raise ScriptFailed from error


def _loaded(path):
    """The script as a module of its own name, its folder first among those that are searched, as if Python had been called with it."""
    stem = path.stem if path.stem.isidentifier() and path.stem not in {*sys.modules, *sys.stdlib_module_names} else OWN_STAGE
    spec = importlib.util.spec_from_file_location(stem, path, loader=importlib.machinery.SourceFileLoader(stem, str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[stem] = module
    try:
        _by_the_script(spec.loader.exec_module, module)
    except SystemExit:
        raise BadUse(f'{path} ended while it was loaded: put what runs by itself under `if __name__ == "__main__":`') from None
    return module


def _by_the_script(function, *arguments):
    """What a function of the script returns; what it raises is its own affair."""
    try:
        return function(*arguments)
    except Exception as error:
        raise ScriptFailed from error


def _arguments(returned, place, signature):
    """The arguments of examine, by name, from what the script's function returned."""
    names = list(signature.parameters)
    wanted = [name for name, parameter in signature.parameters.items() if parameter.default is parameter.empty]
    if isinstance(returned, tuple):
        if not len(wanted) <= len(returned) <= len(names):
            raise BadUse(f"{place} returned a tuple of {len(returned)}: it has to be ({', '.join(wanted)}), perhaps with more after these")
        return dict(zip(names, returned, strict=False))
    if not isinstance(returned, dict):
        kind = type(returned).__name__
        raise BadUse(f"{place} returned {kind}: it has to return a dict of examine's arguments, or a tuple ({', '.join(wanted)})")
    if strange := [str(name) for name in returned if name not in names]:
        raise BadUse(f"{place} returned a dict with {', '.join(strange)}: examine takes {', '.join(names)}")
    if missing := [name for name in wanted if name not in returned]:
        raise BadUse(f"{place} returned a dict without {', '.join(missing)}: examine needs {', '.join(wanted)}")
    return returned


def _is_ours(error):
    """Whether an exception was raised by the doctor itself, and not by the reader's code that it called."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(f"{NAME}.torch")


def _print_their_traceback(error):
    """As Python prints it, from the first line that is not ours."""
    lines = error.__traceback__
    while lines.tb_next is not None and _is_before_the_script(lines.tb_frame):
        lines = lines.tb_next
    traceback.print_exception(error.with_traceback(lines))


def _is_before_the_script(frame):
    name = frame.f_globals.get("__name__", "")
    return frame.f_globals is globals() or name.startswith(("importlib", f"{NAME}.torch"))


if __name__ == "__main__":
    sys.exit(main())
