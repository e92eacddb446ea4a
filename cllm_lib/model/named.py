"""A model's arrays by their names: to be read like any dictionary, and written into, never replaced.

The arrays are views of the model's one flat buffer. Put another array into a plain dictionary of views, and the quick layers
would not read it, nor would an optimiser train it: so here an assignment copies the values to where they belong.
"""

import difflib

import numpy as np

NAMES_SHOWN = 8


class NamedArrays(dict):
    """A dictionary of arrays whose names and arrays stay: `named[name] = values` copies the values into the array that is there.

    Parameters
    ----------
    arrays : dict of str to ndarray, or to such a dictionary
    kind : str
        What one of them is called in an error: "parameter", or "gradient".

    Raises
    ------
    ValueError
        On assignment, if there is no such name, or the values do not fit the array: nothing is written then.
    TypeError
        If a name is to be taken out.

    Notes
    -----
    A copy of it, or what it becomes when pickled, is a plain dictionary, as are `named | other` and `dict(named)`.

    Examples
    --------
    >>> named = NamedArrays({"gain": np.ones(3)}, "parameter")
    >>> gain = named["gain"]
    >>> named["gain"] = [1, 2, 3]
    >>> gain
    array([1., 2., 3.])
    """

    __slots__ = ("kind",)

    def __init__(self, arrays, kind):
        super().__init__((name, NamedArrays(node, kind) if isinstance(node, dict) else node) for name, node in arrays.items())
        self.kind = kind

    def __setitem__(self, name, values):
        """Copy `values` into the array of that name."""
        self.update({name: values})

    def update(self, *others, **named):
        """Copy all of these in, or, if one does not fit, none."""
        for own, values in list(self._checked(dict(*others, **named))):  # a list: all are looked at before one is written
            own[...] = values

    def __ior__(self, other):
        """As :meth:`update`."""
        self.update(other)
        return self

    def setdefault(self, name, default=None):
        """The array of that name; there is always one."""
        self._known(name)
        return self[name]

    def _refuse(self, *arguments):
        """Nothing is taken out."""
        raise TypeError(f"a model's {self.kind}s stay: none can be taken out; to set one to zero write [name][...] = 0")

    __delitem__ = pop = popitem = clear = _refuse

    def __reduce__(self):
        """As a plain dictionary."""
        return dict, (dict(self),)

    def _known(self, name):
        if name not in self:
            near = difflib.get_close_matches(str(name), self, 3, 0.4)
            names = list(self) if len(self) <= NAMES_SHOWN else [*near, *(other for other in self if other not in near)][:NAMES_SHOWN]
            more = f" and {len(self) - len(names)} more" if len(self) > len(names) else ""
            raise ValueError(f"there is no {self.kind} {name!r}: the names are {', '.join(names)}{more}")

    def _checked(self, others):
        """The arrays that are there, each with what is to be copied into it."""
        for name in others:
            self._known(name)
        for name, values in others.items():
            own = self[name]
            if isinstance(own, NamedArrays):
                if values is not own:
                    if not isinstance(values, dict):
                        raise ValueError(
                            f"{name!r} is a group of {self.kind}s: give a dictionary of arrays with the names {', '.join(own)}"
                        )
                    yield from own._checked(values)
            elif values is not own:
                yield own, fitting(values, own, f"the {self.kind} {name!r}")


class FixedArrays(dict):
    """A dictionary of arrays that refuses any change, because others share its arrays; `advice` says what to do instead.

    A copy of it, or what it becomes when pickled, is a plain dictionary.

    Raises
    ------
    TypeError
        On assignment, or where something is to be taken out.
    """

    __slots__ = ("advice",)

    def __init__(self, arrays, advice):
        super().__init__(arrays)
        self.advice = advice

    def _refuse(self, *arguments, **named):
        """Nothing is replaced, added or taken out."""
        raise TypeError(f"these arrays stay as they are: {self.advice}")

    __setitem__ = update = setdefault = __ior__ = __delitem__ = pop = popitem = clear = _refuse

    def __reduce__(self):
        """As a plain dictionary."""
        return dict, (dict(self),)


def fitting(values, own, name):
    """Return `values` as an array of the shape of `own`, whose numbers `own` can hold.

    Parameters
    ----------
    values : array_like
    own : ndarray
    name : str
        With its article; used in the error.

    Raises
    ------
    ValueError
        If the shape is another, or they are no real numbers.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} has shape {own.shape}, and what is given has rows of different lengths: give numbers of that shape"
        ) from None
    if not np.can_cast(array.dtype, own.dtype, "same_kind"):
        raise ValueError(f"{name} holds {own.dtype}, and what is given is of type {array.dtype}: give real numbers")
    if array.shape != own.shape:
        raise ValueError(f"{name} has shape {own.shape}, and what is given {array.shape}: give one value for each number of it")
    return array
