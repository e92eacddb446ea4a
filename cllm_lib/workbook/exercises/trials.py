"""What an answer does on random arguments, beside what the reference does there, and the slip that explains the difference."""

import contextlib
import copy
import inspect
import io
import warnings
from collections.abc import Mapping, Set

import numpy as np

from cllm_lib.workbook.exercises.machinery import NotYet, Unexplained, brief, listed, side_by_side
from cllm_lib.workbook.exercises.patience import SECONDS, TooLong, processor_time, within
from cllm_lib.workbook.exercises.slips import slips

N_TRIALS = 24
TOLERANCE = 1e-6  # float32 answers are welcome


def on(arguments, seen=lambda result, given: result, judges=True):
    """A trial: a function is called on what `arguments(generator)` gives, and `seen(result, arguments after it)` is compared.

    Where several functions are right it does not judge: it only finds the slip in an answer that the check has refused.
    """

    def trial(function, generator):
        given = arguments(generator)
        return seen(function(*given), given)

    trial.judges = judges
    return trial


def what_is_left(result, given):
    """For functions that change their arguments: these are compared, and not what comes back."""
    return given


def alike(first, second):
    """Whether two results agree: numbers nearly, lists and arrays entry by entry, whatever holds them."""
    if isinstance(first, str | bool | None) or isinstance(second, str | bool | None):
        return type(first) is type(second) and first == second if None in (first, second) else bool(first == second)
    if isinstance(first, Mapping) or isinstance(second, Mapping):
        both = isinstance(first, Mapping) and isinstance(second, Mapping)
        return both and first.keys() == second.keys() and all(alike(first[name], second[name]) for name in first)
    if isinstance(first, Set) or isinstance(second, Set):
        return isinstance(first, Set) and isinstance(second, Set) and first == second
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(alike, first, second))
    try:
        first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    except (TypeError, ValueError):
        return first is second
    if first.shape != second.shape:
        return first.size == second.size == 1 and alike(first.item(), second.item())
    scale = max(1.0, np.abs(second[np.isfinite(second)]).max(initial=0.0))
    return bool(np.allclose(first / scale, second / scale, rtol=0, atol=TOLERANCE, equal_nan=True))


def done(trial, function, form, seed, seconds=SECONDS):
    """What a function does in one trial: what it gives, in that form, or how it fails; and the arguments it was called with."""
    last = []

    def watched(*arguments):
        last[:] = copy.deepcopy(arguments)
        result = listed(function(*arguments))
        return form(result) if form else result

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            seen = within(seconds, trial, watched, np.random.default_rng(seed))
    except TooLong:
        return ("does not come back",), last
    except NotYet as reason:
        return ("is refused", str(reason)), last
    except Exception as error:
        return ("raises", f"{type(error).__name__}: {error}"), last
    return ("gives", seen), last


def same_deed(first, second):
    """Whether two functions did the same in a trial."""
    return first[0] == second[0] and all(map(alike, first[1:], second[1:]))


def tried(exercise, trial, answer):
    """Hold an answer to the reference on random arguments.

    Raises
    ------
    Unexplained
        Where the two part.
    """
    for seed in range(N_TRIALS):
        right, _ = done(trial, exercise.reference, exercise.form, seed)
        found, arguments = done(trial, answer, exercise.form, seed)
        if not same_deed(found, right):
            raise Unexplained(f"given {', '.join(map(brief, arguments))}, {_parted(found, right)}.")


def _parted(found, right):
    """Where two deeds part, as the end of a sentence; in arrays of one shape at a place."""
    arrays = [deed[-1] for deed in (found, right) if isinstance(deed[-1], np.ndarray)]
    if len(arrays) == 2 and arrays[0].shape == arrays[1].shape and all(np.isfinite(array).all() for array in arrays):
        place = np.unravel_index(np.abs(arrays[0] - arrays[1]).argmax(), arrays[0].shape)
        at = f" at {list(map(int, place))}" if place else ""
        return f"its result{at} is {side_by_side(*(float(array[place]) for array in arrays))} was asked for"
    if len(arrays) == 2 and arrays[0].shape == arrays[1].shape and not np.isfinite(arrays[0]).all():
        return "its result holds NaN or infinity, and the solution's does not: is something too large for exp, or divided by 0"
    several = [deed[-1] for deed in (found, right) if deed[0] == "gives" and isinstance(deed[-1], tuple | list)]
    if len(several) == 2 and len(several[0]) == len(several[1]) <= 4:
        place = next(i for i, pair in enumerate(zip(*several, strict=True)) if not alike(*pair))
        return f"in what it returns at {place}, {_parted(*(('gives', one[place]) for one in several))}"
    if all(deed[0] == "gives" and isinstance(deed[-1], float) and np.isfinite(deed[-1]) for deed in (found, right)):
        return f"its result is {side_by_side(found[-1], right[-1])} was asked for"
    return f"it {_told(found)}; the solution {_told(right)}"


def _told(deed):
    what, *result = deed
    return f"{what} {brief(*result)}" if what == "gives" else " ".join([what, *result])[:120]


def explained(exercise, trial, answer, patience=2.0):
    """The slip with which the reference does in all trials what the answer does, or None."""
    if not callable(answer):
        return None
    seeds = range(N_TRIALS // 2)
    deeds = [done(trial, answer, exercise.form, seed, seconds=1.0)[0] for seed in seeds[:1]]
    if deeds[0][0] == "does not come back":
        return None
    deeds += [done(trial, answer, exercise.form, seed, seconds=1.0)[0] for seed in seeds[1:]]
    if _all_one(deeds):
        return None
    right = [done(trial, exercise.reference, exercise.form, seed)[0] for seed in seeds]
    until = processor_time() + patience  # not the clock: a busy machine leaves nobody without an explanation
    for slip in slips(source_of(exercise.reference)):
        if processor_time() > until:
            return None
        function = made(slip.source, exercise.reference)
        its = (done(trial, function, exercise.form, seed, seconds=0.5)[0] for seed in seeds)
        if all(map(same_deed, deeds, its)) and not all(map(same_deed, deeds, right)):
            pair = (answer, function)  # two slips may do the same for long: look on
            later = ([done(trial, one, exercise.form, seed, seconds=0.5)[0] for one in pair] for seed in range(N_TRIALS, 3 * N_TRIALS))
            if all(same_deed(*both) for both in later):
                return slip
    return None


def _all_one(deeds):
    """Whether an answer says one word or number whatever it is given, or is no number: seldom one step from the solution."""
    if any(deed[0] != "gives" for deed in deeds):
        return False
    try:
        values = np.concatenate([np.ravel(np.asarray(deed[-1])) for deed in deeds])
    except ValueError:
        return False
    if values.dtype.kind == "f" and np.isnan(values).any():
        return True
    return values.dtype.kind in "biufU" and len(np.unique(values)) == 1


def source_of(function):
    """A function's source, its docstring left out."""
    source = inspect.getsource(function)
    return source.replace(f'    """{function.__doc__}"""\n', "", 1) if function.__doc__ else source


def made(source, like):
    """The function of that name which a source defines, among the names that `like` knows."""
    names = dict(like.__globals__)
    exec(compile(source, "<slip>", "exec"), names)
    return names[like.__name__]
