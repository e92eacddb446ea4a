"""What a reader moves.

Sliders, also where one chooses from a list: JupyterLab takes ArrowDown and every letter away from a dropdown
(ArrowDown goes to the next cell, a pressed M turns the cell into text), and leaves the arrow keys of sliders alone.
"""

import ipywidgets

from cllm_lib.checks import one_of

WIDE = {"width": "440px"}


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
