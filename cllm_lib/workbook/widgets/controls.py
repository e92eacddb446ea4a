"""What a reader moves.

Sliders, also where one chooses from a list: JupyterLab takes ArrowDown and every letter away from a dropdown
(ArrowDown goes to the next cell, a pressed M turns the cell into text), and leaves the arrow keys of sliders alone.
"""

import ipywidgets

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
