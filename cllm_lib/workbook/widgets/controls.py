"""What a reader moves.

Sliders, also where one chooses from a list: JupyterLab takes ArrowDown and every letter away from a dropdown
(ArrowDown goes to the next cell, a pressed M turns the cell into text), and leaves the arrow keys of sliders alone.
"""

import ipywidgets
from IPython.display import HTML, display

from cllm_lib.checks import one_of

WIDE = {"width": "440px"}

# A notebook that is opened again holds the widget's place and not the widget: JupyterLab says "model not found" there. Where a
# widget lives beside the sentence, it is hidden; where styles are not heard, it stays, and is true.
SLEEPING = """\
<p class="cllm-sleeping"><em>Nothing to move here? The panel lives as long as its kernel: run this cell again.</em></p>
<style>
.jp-OutputArea:has(.widget-vbox) .cllm-sleeping { display: none; }
.jp-OutputArea:has(.cllm-sleeping) .jupyter-widgets:not(:has(*)) { font-size: 0; }
</style>"""


class Panel(ipywidgets.VBox):
    """What a chapter shows to be moved: widgets one below another, and a sentence for those who find them asleep."""

    def _ipython_display_(self):
        display(self._repr_mimebundle_(), raw=True)
        display(HTML(SLEEPING))


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
