"""The plane of numbers, to explore: a curve, a colour, a window that moves, and one number with its neighbours.

What is moved lives in the page, in explorer.mjs: there a click, the wheel and every key are answered at once. From here the
page gets what is computed: of which kind each number is, a byte for each.
"""

from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets

from cllm_lib.checks import whole_numbers
from cllm_lib.workbook.figures.planes import CURVES, MOST_RESIDUES, PROPERTIES, checked_limit, colouring
from cllm_lib.workbook.widgets.controls import WRAPPED, NumberField, Panel, pick, whole

HERE = Path(__file__).parent


def spiral_explorer(limit=1_000_000, **settings):
    """An explorer; see :class:`SpiralExplorer`."""
    return SpiralExplorer(limit, **settings)


class PlaneView(anywidget.AnyWidget):
    """The part of the explorer that lives in the page.

    Attributes
    ----------
    limit, number : int
        The last number, and the one that is chosen.
    curve : str
    kinds : bytes
        Of 1, 2, ..., limit: each an index into labels and colours.
    colouring : dict
        `name`, `labels`, and `colours`: red, green and blue from 0 to 255.
    """

    _esm = HERE / "explorer.mjs"
    _css = HERE / "explorer.css"

    limit = traitlets.Int().tag(sync=True)
    number = traitlets.Int(1).tag(sync=True)
    curve = traitlets.Unicode().tag(sync=True)
    kinds = traitlets.Bytes().tag(sync=True)
    colouring = traitlets.Dict().tag(sync=True)


class SpiralExplorer(Panel):
    """Choose a curve and a colour, click on a number or type it, zoom and move; see its neighbours, and where memory has them.

    Nothing is computed before the explorer is shown. The static figure of the same is
    :func:`~cllm_lib.workbook.figures.planes.number_plane`.

    Parameters
    ----------
    limit : int
        The numbers go from 1 to this; at most four millions.
    curve : str
        "Ulam", "Sacks", "Vogel", "Hilbert", "Morton" or "row-major".
    colour : str
        "prime", "factors", "residue" or "frequency".
    number : int
        The one chosen at first.
    modulus : int
        For the residues.
    frequencies : array_like of int, optional
        How often each token occurs, by id; the token of n has the id n - 1. Otherwise those of "python-docs".

    Attributes
    ----------
    curve, colour : ipywidgets.ToggleButtons
    modulus : NumberField
    view : PlaneView
        `view.number` is the number that is chosen; it can be set, too.

    Raises
    ------
    ValueError
        If a name is unknown, or a number makes no sense.
    """

    def __init__(self, limit=1_000_000, curve="Ulam", colour="prime", number=1, modulus=12, frequencies=None):
        limit, self.frequencies = checked_limit(limit), frequencies
        number = int(whole_numbers(number, 1, limit, "number"))
        modulus = int(whole_numbers(modulus, 2, MOST_RESIDUES, "modulus"))
        self.curve, self.colour = pick("curve", CURVES, curve), pick("colour", PROPERTIES, colour)
        self.modulus = NumberField("modulus", modulus, whole(2, MOST_RESIDUES))
        self.modulus.disabled = colour != "residue"
        self.view = PlaneView(limit=limit, number=number, curve=curve)
        self.curve.observe(lambda change: setattr(self.view, "curve", change.new), names="value")
        self.colour.observe(lambda change: self._renew(), names="value")
        self.modulus.when_changed(self._renew)
        super().__init__([self.curve, ipywidgets.HBox([self.colour, self.modulus], layout=WRAPPED), self.view])

    def __repr__(self):
        return "The plane of numbers: curve, colour, window, a number and its neighbours (run this cell in JupyterLab to move around)"

    def _ipython_display_(self):
        if not self.view.kinds:
            self._renew()
        super()._ipython_display_()

    def _renew(self):
        """Another colour: compute of which kind each number is, and hand it to the page."""
        name = self.colour.value
        self.modulus.disabled = name != "residue"
        settings = {}
        if name == "residue" and self.modulus.problem.value:
            return  # it says beside the field what is wrong
        if name == "residue":
            settings = {"modulus": self.modulus.value}
        elif name == "frequency":
            settings = {"frequencies": self.frequencies}
        found = colouring(name, self.view.limit, **settings)
        colours = np.rint(255 * found.colours).astype(np.int64).tolist()
        with self.view.hold_sync():
            self.view.colouring = {"name": found.name, "labels": list(found.labels), "colours": colours}
            self.view.kinds = found.kinds.tobytes()
