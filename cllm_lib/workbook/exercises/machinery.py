"""What every check needs: calling a reader's function safely, and saying what was seen instead of just "wrong"."""

import contextlib
import copy
import io
import itertools
import warnings
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from functools import partial

import numpy as np

from cllm_lib.workbook.exercises.patience import SECONDS, TooLong, within

_NOT_FINITE = "Was something divided by 0, too large for exp, or a root or logarithm taken of what has none?"
_ONLY_PRINTED = "it printed something and returned None: print only shows a value, `return` hands it on."
MANY = 100_000  # things in an answer, after which it counts as one without end


class NotYet(Exception):
    """The answer is not right yet; the message says what was seen and what it suggests."""


class Named(NotYet):
    """The answer does what one mistake does, wherever the check looked: raised by :func:`told_apart`, which compares.

    `mistake` is the sentence for it, and which of the mistakes that this sentence covers.
    """

    def __init__(self, seen, mistake):
        super().__init__(f"{seen} {mistake[0]}".lstrip())
        self.mistake = mistake


class Unexplained(NotYet):
    """The answer is not right, and no mistake that the check knows does the same.

    What was `seen` is told in any case; the `hint`, what would be right, where no slip explains the answer either.
    """

    def __init__(self, seen, hint=""):
        super().__init__(f"{seen} {hint}".rstrip())
        self.seen = seen


class NotAttempted(Exception):
    """The answer is still the stub."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    reference : object
        What the notebook goes on with until the reader's answer holds.
    examine : callable
        Takes the answer. Raises :class:`NotYet` where it does not hold; may return the sentence that follows
        "passed." in place of the usual one.
    only_one : bool
        Whether an answer that passes says just what the reference says, perhaps with other capitals or in another
        order. The notebook then goes on with the reference, whose form it knows.
    form : callable, optional
        Turns a right answer, or what a right function returns, into the one form that the chapter uses.
    bet : bool
        Whether it is a prediction, which is noted and not judged.
    """

    reference: object
    examine: Callable
    only_one: bool = False
    form: Callable | None = None
    bet: bool = False


def _stub(): ...


def is_open(answer):
    """Whether an answer is the stub `...`, a function with nothing else in its body, or a dictionary of stubs."""
    if isinstance(answer, dict):
        return bool(answer) and all(value is ... for value in answer.values())
    return answer is ... or _body(answer) == _body(_stub)


def _body(function):
    """What a function consists of, arguments and docstring left out; of anything else nothing."""
    code = getattr(function, "__code__", None)
    return code and (code.co_code, [value for value in code.co_consts if value not in (None, function.__doc__)])


def answer_name(answer):
    """How to call the answer in a sentence."""
    return getattr(answer, "__name__", "answer")


def shown(value, digits=4):
    """A number as a reader would write it."""
    value += 0.0  # no -0
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if abs(value) >= 10**-digits or value == 0 else f"{value:.1e}"


def call(function, *arguments):
    """Call a reader's function on copies of `arguments`; turn every way to fail into a line that helps.

    Raises
    ------
    NotAttempted
        If it returns `...`.
    NotYet
        If it is no function, raises, does not come back, returns None, or changes its arguments.
    """
    given = copy.deepcopy(arguments)
    result, printed = _run(function, *given)
    if result is None:
        if printed:
            raise NotYet(_ONLY_PRINTED)
        raise NotYet("it returned None. Is there a `return` on every path?")
    for before, after in zip(arguments, given, strict=True):
        if not same(before, after):
            raise NotYet("your function changed its input. Did you use -=, *= or [...] = on an argument? Work on a copy.")
    return result


def run(function, *arguments, seconds=SECONDS):
    """Call `function`, its warnings silenced, its exceptions turned into :class:`NotYet`, `...` into not attempted."""
    return _run(function, *arguments, seconds=seconds)[0]


def maybe_none(function, *arguments, right):
    """As :func:`run`, for a function that may return None where `right` is None; elsewhere a printed answer is no answer."""
    result, printed = _run(function, *arguments)
    if result is None and right is not None and printed:
        raise NotYet(_ONLY_PRINTED)
    return result


def _run(function, *arguments, seconds=SECONDS):
    """What `function` returns, and what it printed."""
    if not callable(function):
        raise NotYet(f"a function was asked for, and this is {_what_it_is(function)}. Hand over the function itself, without calling it.")
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(printed):
            warnings.simplefilter("ignore")
            result = within(seconds, lambda: listed(function(*arguments)))
    except (NotYet, NotAttempted):
        raise
    except TooLong:
        raise NotYet(
            f"it had not come back after {seconds:g} seconds. Does each loop end? The arguments were {', '.join(map(brief, arguments))}."
        ) from None
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        said = said if len(said) <= 120 else f"{said[:117]}..."
        told = NotYet if isinstance(error, NameError) else Unexplained  # Python has named the mistake
        raise told(f"it raised {said}. The arguments were {', '.join(map(brief, arguments))}.") from None
    finally:
        print(printed.getvalue(), end="")  # to whoever listens: `check` shows the first lines
    if result is ...:
        raise NotAttempted
    return result, printed.getvalue()


def _what_it_is(value):
    return "None" if value is None else f"of type {type(value).__name__}"


def listed(value):
    """What can be read only once, or need not end, as a list; anything else as it is.

    Raises
    ------
    NotYet
        If it goes on and on.
    """
    if not isinstance(value, Iterable) or isinstance(value, Sized | type):
        return value
    several = list(itertools.islice(value, MANY + 1))
    if len(several) > MANY:
        raise NotYet(f"this is of type {type(value).__name__}, and after {MANY:,} things it goes on: where does it end?")
    return several


def by_letter(answer, letters, otherwise):
    """Read one entry for each letter out of a dictionary, or of pairs; small letters are welcome.

    Raises
    ------
    NotYet
        With `otherwise` if it is no dictionary; naming the letters if some are missing or still `...`.
    """
    try:
        given = {str(letter).strip().upper(): entry for letter, entry in dict(answer).items()}
    except (TypeError, ValueError):
        raise NotYet(otherwise) from None
    open_ones = [letter for letter in letters if given.get(letter, ...) is ...]
    if open_ones:
        raise NotYet(f"still open: {', '.join(open_ones)}.")
    return {letter: given[letter] for letter in letters}


def faults_by_letter(answer, right, would_show):
    """Compare one fault a letter with the right ones; of a wrong one is said what it would have shown.

    Parameters
    ----------
    answer : object
        What the reader gave.
    right : dict of str to str
        The fault of each letter.
    would_show : dict of str to str
        Of each fault, what one would have measured.

    Raises
    ------
    NotYet
        If the answer is no dictionary of these letters and faults, or a fault is at the wrong letter.
    """
    given = by_letter(answer, right, f"this is of type {type(answer).__name__}; a dictionary from letter to name was asked for.")
    names = {letter: str(name).strip(" `").lower().replace("_", " ") for letter, name in given.items()}
    for letter, name in names.items():
        if name not in would_show:
            raise NotYet(f"{letter} is {name!r}, which is not in the table: take one of {', '.join(would_show)}.")
    for letter, name in names.items():
        if name != right[letter]:
            raise NotYet(f"{letter} as {name!r}: then {would_show[name]} Look at {letter} there.")


def number(value, what="it"):
    """Read one finite number out of what a reader returned: a float, a NumPy scalar, an array of one."""
    if is_open(value):
        raise NotYet(f"{what} is still open; a number was asked for.")
    if value is None:
        raise NotYet(f"{what} is None; a number was asked for. (print shows a value and hands on None.)")
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"{what} is {brief(value)}; a number was asked for.") from None
    if array.size != 1:
        raise NotYet(f"{what} has shape {array.shape}; one number was asked for.")
    if not np.isfinite(array).all():
        raise Unexplained(f"{what} is {array.item()}; a finite number was asked for.", _NOT_FINITE)
    return array.item()


def plain_number(result, what):
    """A number as the next cell can print it: no text, and no array or tuple around it."""
    if isinstance(result, str):
        raise NotYet(f"{what} is the text {brief(result)}; a number was asked for.")
    value = number(result, what)
    if np.ndim(result):
        raise NotYet(f"{what} is a {type(result).__name__} with one number in it. Return the number itself.")
    return value


def array(value, shape, what, why):
    """Read an array of finite numbers of a known shape out of what a reader returned; `why` ends what is said of another shape."""
    try:
        result = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"{what} is of type {type(value).__name__}; an array of numbers was asked for.") from None
    if result.shape != shape:
        raise NotYet(f"{what} has shape {result.shape}; {shape} was asked for: {why}")
    if not np.isfinite(result).all():
        raise Unexplained(f"{what} holds NaN or infinite numbers.", _NOT_FINITE)
    return result


def matches(found, expected, tolerance=1e-6):
    """Whether two arrays agree, relative to the largest entry; float32 answers are welcome."""
    return bool(np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max()))


def compared(what, value, expected):
    """How a sentence about a wrong number begins, with as many digits as tell it from the right one."""
    return f"{what} is {side_by_side(value, expected)} was asked for."


def side_by_side(value, expected):
    """Two numbers, with as many digits as tell them apart."""
    digits = next((digits for digits in (4, 8) if shown(value, digits) != shown(expected, digits)), 12)
    return f"{shown(value, digits)}; {shown(expected, digits)}"


def worst(what, found, right):
    """The largest error in an array, as the beginning of a sentence."""
    where = np.unravel_index(np.argmax(np.abs(found - right)), right.shape)
    return f"{what} at {list(map(int, where))} is {side_by_side(float(found[where]), float(right[where]))} was asked for."


ROUNDED = "Do not round inside the function."


def told_apart(look, inputs, agree, hint):
    """Hold an answer to what is right, and name the mistake that does on all inputs what the answer does.

    Parameters
    ----------
    look : callable
        Takes an input; returns what was seen there, as the beginning of a sentence, what was found, what is right, and a
        dictionary from the sentence for a mistake to what that mistake gives: one thing, a list of several such mistakes,
        or None where it cannot be told.
    inputs : iterable of tuple
        What to look at. The first where the answer is wrong is told of.
    agree : callable
        Whether two things are the same.
    hint : str
        What would be right, told where nothing explains the answer.

    Raises
    ------
    Named
        If one mistake explains what was found, right or wrong, on every input.
    Unexplained
        If none does.
    """
    seen, looked = None, []
    for given in inputs:
        try:
            told, found, right, mistakes = look(*given)
        except NotYet:
            if seen is None:
                raise
            continue  # where a wrong answer fails as well there is nothing to compare
        mistakes[ROUNDED] = _rounded(right)
        wrong = not agree(found, right)
        seen = told if wrong and seen is None else seen
        looked.append((wrong, found, {(s, i): v for s, vs in mistakes.items() for i, v in enumerate(vs if isinstance(vs, list) else [vs])}))
    if seen is None:
        return
    if len(looked) > 1 and _one_number([found for _, found, _ in looked]):
        looked = [(wrong, found, {m: of[m] for m in of if m[0] != ROUNDED}) for wrong, found, of in looked]  # a constant is no rounding
    for mistake in dict.fromkeys(mistake for _, _, mistakes in looked for mistake in mistakes):
        known = [(wrong, found, of[mistake]) for wrong, found, of in looked if of.get(mistake) is not None]
        if any(wrong for wrong, _, _ in known) and all(agree(found, value) for _, found, value in known):
            raise Named(seen, mistake)
    raise Unexplained(seen, hint)


def _one_number(several):
    """Whether all results, and all entries of each, are one and the same number."""
    try:
        return np.ptp(np.concatenate([np.ravel(np.asarray(one, dtype=float)) for one in several])) == 0
    except (TypeError, ValueError):
        return False


def _rounded(right):
    """A right answer, or a tuple of them, rounded in all usual ways; nothing where it holds no numbers."""
    several = right if isinstance(right, tuple) and right else (right,)
    if not all(isinstance(one, int | float | np.number | np.ndarray) for one in several):
        return []
    arrays = [np.asarray(one, dtype=float) for one in several]
    ways = [np.trunc, np.floor, np.ceil, *(partial(np.round, decimals=digits) for digits in range(7))]
    rounded = [tuple(map(way, arrays)) for way in ways]
    return rounded if isinstance(right, tuple) else [one for (one,) in rounded]


def same(first, second):
    """Whether two arguments are equal, arrays included."""
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")  # no NaN among Python integers
    return first is second or repr(first) == repr(second)


def close(first, second, tolerance=1e-6):
    """Whether two numbers agree to `tolerance`, relative to the larger or to 1; float32 answers are welcome."""
    return abs(first - second) <= tolerance * max(1.0, abs(first), abs(second))


_MANY_OF = {"ndarray": "arrays", "float": "numbers", "int": "numbers"}


def brief(value):
    """An argument in a few characters."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, dict):
        kinds = {_MANY_OF.get(type(entry).__name__, "entries") for entry in value.values()}
        return f"a dictionary of {len(value)} {kinds.pop() if len(kinds) == 1 else 'entries'}"
    if isinstance(value, set | frozenset) and value:
        text = "{" + ", ".join(sorted(map(repr, value))) + "}"
    elif isinstance(value, list) and value and all(isinstance(one, frozenset) for one in value):
        text = f"[{', '.join(map(brief, value))}]"
    else:
        text = repr(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"
