"""What a reader moves.

Sliders, also where one chooses from a list: JupyterLab takes ArrowDown and every letter away from a dropdown
(ArrowDown goes to the next cell, a pressed M turns the cell into text), and leaves the arrow keys of sliders alone.
"""

from decimal import Decimal, InvalidOperation
from html import escape
from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from IPython.display import HTML, display

from cllm_lib.browser import in_browser
from cllm_lib.checks import one_of

WIDE = {"width": "440px", "max_width": "98%"}  # as wide as a phone lets it
WRAPPED = {"flex_flow": "row wrap"}

# A notebook that is opened again holds the widget's place and not the widget: JupyterLab says "model not found" there. Where a
# widget lives beside the sentence, it is hidden; where styles are not heard, it stays, and is true.
SLEEPING = """\
<p class="cllm-sleeping"><em>Nothing to move here? The panel lives as long as its kernel: run this cell again.</em></p>
<style>
.jp-OutputArea:has(.widget-vbox) .cllm-sleeping { display: none; }
.jp-OutputArea:has(.cllm-sleeping):not(:has(.widget-vbox)) .jupyter-widgets { font-size: 0; }
</style>"""


class Panel(ipywidgets.VBox):
    """What a chapter shows to be moved: widgets one below another, and a sentence for those who find them asleep."""

    def __init__(self, children):
        super().__init__([Watch(), *children])
        self.add_class("cllm-panel")
        hear_on_the_main_shell(self)

    def _ipython_display_(self):
        if hasattr(super(), "_repr_mimebundle_"):
            display(self._repr_mimebundle_(), raw=True)
        else:  # ipywidgets 7, which Colab's page knows
            super()._ipython_display_()
        display(HTML(SLEEPING))


class Watch(anywidget.AnyWidget):
    """The part of a panel that lives in the page: it names the handles of sliders, and says when the kernel is gone.

    Attributes
    ----------
    patience : int
        Milliseconds that the kernel has for an answer. One that trains has it within a tenth of a second, and in a browser later.
    """

    _esm = Path(__file__).with_name("panel.mjs")
    patience = traitlets.Int().tag(sync=True)

    def __init__(self):
        super().__init__(patience=15_000 if in_browser() else 3_000)
        self.on_msg(lambda _, content, __: self.send(content))  # the page asks whether anybody is there


def hear_on_the_main_shell(widget):
    """Let a widget and all in it be heard where cells run, and nowhere else.

    JupyterLab sends what is pressed to a second shell, another thread of the kernel: SAVE there would write weights in the midst
    of a step. And after a restart it goes on naming a shell that is gone, where nobody hears STOP.
    """
    if widget.comm is not None and hasattr(widget.comm, "_reply_subshell_for"):  # ipykernel 7.4 asks this which shell to take
        widget.comm._reply_subshell_for = lambda data, default: None
    for child in getattr(widget, "children", ()):
        hear_on_the_main_shell(child)


class NumberField(ipywidgets.HBox):
    """A number to type, and beside it what is wrong with what was typed.

    The usual fields make another number of one that is out of range (99999 becomes 4096), and of "1e9" they read the 1.

    Parameters
    ----------
    name : str
    value : int or float
        What stands there first.
    read : callable
        From (text, name) to the number, or a ValueError with one sentence; see :func:`whole` and :func:`above_zero`.
    width : str

    Raises
    ------
    ValueError
        If `value` is no such number; later, :attr:`value` raises it.
    """

    def __init__(self, name, value, read, width="190px"):
        self.name, self._read = name, read
        read(str(value), name)
        self.text = ipywidgets.Text(f"{value}", description=name, continuous_update=False, layout={"width": width})
        self.problem = ipywidgets.HTML()
        self.text.observe(self._look, names="value")
        super().__init__([self.text, self.problem], layout=WRAPPED)

    @property
    def value(self):
        """The number, or a ValueError."""
        return self._read(self.text.value, self.name)

    @value.setter
    def value(self, number):
        self.text.value = f"{number}"

    @property
    def disabled(self):
        """Whether nothing can be typed."""
        return self.text.disabled

    @disabled.setter
    def disabled(self, now):
        self.text.disabled = now

    def when_changed(self, action):
        """Call `action()` whenever another number stands there, and a right one."""
        self.text.observe(lambda change: self.problem.value or action(), names="value")

    def _look(self, change):
        try:
            self._read(self.text.value, self.name)
        except ValueError as error:
            self.problem.value = f'<span role="alert">{escape(str(error))}</span>'
        else:
            self.problem.value = ""


def whole(least, most):
    """A reader of whole numbers from `least` to `most`, for a field: "20", also "2e1"."""

    def read(text, name):
        number = _decimal(text)
        if number is None or not least <= number <= most or number != int(number):
            raise ValueError(f"{name} is {_shown(text)}: give a whole number from {least:,} to {most:,}, in digits alone")
        return int(number)

    return read


def above_zero(text, name):
    """The reader of numbers above 0, for a field."""
    number = _decimal(text)
    if number is None or not 0.0 < float(number) < float("inf"):
        raise ValueError(f"{name} is {_shown(text)}: give a number above 0, such as 0.003 or 3e-3")
    return float(number)


def _decimal(text):
    """A finite number, or None."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _shown(text):
    text = text.strip()
    return "empty" if not text else f"{text[:20]!r}..." if len(text) > 20 else repr(text)


def choice(description, options, value, **traits):
    """A slider that steps through `options`: values, or (label, value) pairs.

    Returns
    -------
    ipywidgets.SelectionSlider
    """
    return ipywidgets.SelectionSlider(description=description, options=options, value=value, layout=WIDE, **traits)


def stops(description, numbers, value):
    """The same over numbers, of which `value` becomes one: a slider between two of its stops would move by itself.

    Returns
    -------
    ipywidgets.SelectionSlider
    """
    return choice(description, [(f"{number:g}", number) for number in sorted({*numbers, value})], value)


def pick(description, options, value):
    """One of a few words, as buttons: unlike a slider's handle or a list, each has a name of its own and takes Tab, Enter and Space.

    Returns
    -------
    ipywidgets.ToggleButtons

    Raises
    ------
    ValueError
        If `value` is none of the words.
    """
    one_of(value, dict.fromkeys(options), description)
    return ipywidgets.ToggleButtons(
        options=list(options),
        value=value,
        description=description,
        tooltips=[f"{description}: {option}" for option in options],
        style={"button_width": "auto"},
        layout={"width": "auto"},
    )


def button(name, tooltip, action, width="auto"):
    """A button that calls `action()`.

    Returns
    -------
    ipywidgets.Button
    """
    made = ipywidgets.Button(description=name, tooltip=tooltip, layout={"width": width})
    made.on_click(lambda _: action())
    return made
