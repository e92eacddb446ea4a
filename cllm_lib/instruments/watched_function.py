"""A function under the gradient check: what it is given, what it returns, and what it leaves behind."""

import math
import numbers
from collections.abc import Mapping

import numpy as np

SMALLEST_STEP = 1e-13  # less is lost beside a number near 1, which float64 knows to 1e-16
SAME = 1e-12  # two losses of one input; threads may add in another order, and that moves the last digits


class WatchedFunction:
    """Calls a function, and says so where its answer cannot be used: a change of its input, another loss for the same input.

    Parameters
    ----------
    function : callable
        As :func:`~cllm_lib.instruments.gradient_check.check_gradients` takes it.
    arrays : mapping of str to ndarray
        Its input; :meth:`restore` brings it back to what it is now.

    Raises
    ------
    ValueError
        If they are not that.
    """

    def __init__(self, function, arrays):
        if not callable(function):
            raise ValueError(f"function is {_kind(function)}: give a callable that takes the arrays and returns (loss, gradients)")
        self.function, self.given, self.arrays = function, arrays, checked_arrays(arrays)
        self.kept = {name: array.copy() for name, array in self.arrays.items()}
        self.scale = 0.0  # of what is summed to the loss, which may be much less than its parts

    def start(self):
        """Loss and gradients of the input as it is.

        Returns
        -------
        loss : float
        gradients : dict of str to ndarray
            float64, of the shapes of the arrays.

        Raises
        ------
        ValueError
            If they are of no use, or a second call gives others.
        """
        loss, gradients = self._first()
        if not np.isfinite(loss):
            raise ValueError(f"the loss is {loss}: nothing can be compared with that; give inputs where it is finite")
        again, others = self._first()
        largest = max((np.max(np.abs(gradient), initial=0.0, where=np.isfinite(gradient)) for gradient in gradients.values()), default=0.0)
        with np.errstate(all="ignore"):
            parts = sum(float(np.sum(np.abs(gradient * self.arrays[name]))) for name, gradient in gradients.items())
        self.scale = parts if math.isfinite(parts) else 0.0
        self.same_loss(loss, again)
        for name, gradient in gradients.items():
            if not np.allclose(gradient, others[name], rtol=1e-6, atol=1e-9 * largest, equal_nan=True):
                raise ValueError(
                    f"the function gave two different gradients for {name!r} with the same arrays: it is random, or adds to those of "
                    "the call before; fix the seed inside it, and start gradients from zero"
                )
        return loss, gradients

    def loss(self):
        """The loss of the arrays as they stand now; it may be NaN or infinite.

        Raises
        ------
        ValueError
            If it is no number, or the function changed an array.
        """
        return checked_loss(self._call()[0])

    def probe(self):
        """The loss, as :meth:`loss` gives it, at places where nobody asked the function to go: NaN where it refuses."""
        with np.errstate(all="ignore"):
            return checked_loss(self._call(refusal=(math.nan, None))[0])

    def same_loss(self, loss, other=None):
        """Raise a ValueError if the arrays, as they stand, get another loss than `loss` (or if `other` is one)."""
        other = self.loss() if other is None else other
        finite = math.isfinite(loss) and math.isfinite(other)
        if abs(loss - other) > SAME * max(abs(loss), abs(other), self.scale) if finite else math.isfinite(loss) != math.isfinite(other):
            raise ValueError(
                f"the function gave two different losses for the same arrays, {loss!r} and {other!r}: it is random (dropout?), or keeps "
                "something from call to call; switch that off, or set its seed anew inside the function"
            )

    def restore(self):
        """Bring the caller's arrays back to what they were, whatever the function did to them."""
        for name, array in self.arrays.items():
            if not array.flags.writeable:
                array.setflags(write=True)
            if array.shape != self.kept[name].shape:
                array.shape = self.kept[name].shape
            array[...] = self.kept[name]
            if type(self.given) is dict and self.given.get(name) is not array:
                self.given[name] = array

    def _first(self):
        loss, gradients = self._call()
        loss = checked_loss(loss)
        if not isinstance(gradients, Mapping):
            raise ValueError(f"the gradients are {_kind(gradients)}: return a dictionary with the names of the arrays, {self._example()}")
        return loss, {name: checked_gradient(name, array, gradients) for name, array in self.arrays.items()}

    def _call(self, refusal=None):
        before = {name: array.copy() for name, array in self.arrays.items()}
        try:
            returned = self.function(dict(self.arrays))  # a copy: a name that the function binds anew is its own affair
        except (ArithmeticError, ValueError):  # as math.log of a negative number
            if refusal is None:
                raise
            returned = refusal
        for name, array in self.arrays.items():
            replaced = type(self.given) is dict and self.given.get(name) is not array
            if replaced or not np.array_equal(array, before[name], equal_nan=True):
                raise ValueError(
                    f"the function changed {name!r}, which it was given: its slopes would be those of another input; let it work on a "
                    f"copy, arrays[{name!r}].copy()"
                )
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise ValueError(f"the function returned {_kind(returned)}: return the loss and the gradients, (loss, {self._example()})")
        return returned

    def _example(self):
        return f"{{{next(iter(self.arrays))!r}: gradient}}"


def checked_step(eps):
    """Return `eps` as a float, or say why it is no step.

    Raises
    ------
    ValueError
        If it is no finite number, or so small that it is lost in rounding: 0 and less as well.
    """
    is_number = isinstance(eps, numbers.Real) and not isinstance(eps, bool)
    if not is_number or not math.isfinite(eps) or eps < SMALLEST_STEP:
        raise ValueError(f"eps is {eps!r}: give a number of at least {SMALLEST_STEP:g}, less is lost in rounding; about 1e-6 suits float64")
    return float(eps)


def checked_arrays(arrays):
    """Return `arrays` as a dictionary of float64 arrays that can be nudged in place.

    Raises
    ------
    ValueError
        If there are none, or one is not such an array: the error says which, and what to do.
    """
    if not isinstance(arrays, Mapping):
        raise ValueError(f"arrays is {_kind(arrays)}: give a dictionary such as {{'x': x}}, and let the function read arrays['x']")
    if not arrays:
        raise ValueError("arrays is an empty dictionary, with nothing to check: give a name and an array at least, such as {'x': x}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            advice = f"x = np.array({name}, dtype=float)" if isinstance(name, str) and name.isidentifier() else "np.array(x, dtype=float)"
            raise ValueError(f"{name!r} is {_kind(array)}: give an array, which can be nudged in place, by {advice}")
        if array.dtype != np.float64:
            raise ValueError(
                f"{name!r} is {array.dtype}: check in float64, where a nudge of 1e-6 is not lost in rounding; use .astype(np.float64)"
            )
        if array.size == 0:
            raise ValueError(f"{name!r} is empty, of shape {array.shape}, with nothing to check: leave it out, or give it entries")
        if not array.flags.writeable:
            raise ValueError(f"{name!r} is read-only, and its entries are nudged in place: give the function and the check a .copy()")
        low, high = np.lib.array_utils.byte_bounds(array)
        if high - low < array.nbytes:
            raise ValueError(f"several entries of {name!r} share one place in memory, and a nudge moves them all: give a .copy()")
    return dict(arrays)


def checked_loss(loss):
    """Return `loss` as a float, which may be NaN or infinite.

    Raises
    ------
    ValueError
        If it is not one real number, or one of float32 or float16.
    """
    if isinstance(loss, numbers.Real) and not isinstance(loss, np.generic | bool):
        return float(loss)
    array = np.asarray(loss) if isinstance(loss, np.generic | np.ndarray) or hasattr(loss, "__array__") else None
    if array is None or array.dtype.kind not in "iuf" or array.size != 1:
        raise ValueError(f"the loss is {_kind(loss)}: return one real number, the sum or the mean of the losses")
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        raise ValueError(
            f"the loss is {array.dtype}, rounded to {np.finfo(array.dtype).precision} digits: compute in float64, where a nudge of 1e-6 is "
            "not lost in rounding"
        )
    return float(array.item())


def checked_gradient(name, array, gradients):
    """Return the gradient of one array as a new float64 array.

    Raises
    ------
    ValueError
        If it is missing, not of numbers, or of another shape than its array.
    """
    if name not in gradients:
        given = ", ".join(map(repr, gradients)) or "none at all"
        raise ValueError(f"the function returned no gradient for {name!r}: it gave {given}; add the missing one")
    try:
        gradient = np.asarray(gradients[name])
    except ValueError:
        raise ValueError(f"the gradient of {name!r} has rows of different lengths: give an array of shape {array.shape}") from None
    if gradient.dtype.kind not in "biuf":
        raise ValueError(f"the gradient of {name!r} is {_kind(gradients[name])}: give real numbers, in an array of shape {array.shape}")
    if gradient.shape != array.shape:
        raise ValueError(f"the gradient of {name!r} has shape {gradient.shape}, the array {array.shape}: they must agree")
    return gradient.astype(np.float64)


def _kind(value):
    """What something is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r}" if isinstance(value, numbers.Number) else f"of type {type(value).__name__}"
