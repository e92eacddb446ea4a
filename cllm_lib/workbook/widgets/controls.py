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


def number(kind, description, value, lowest, highest, **traits):
    """A slider over numbers, of `kind` FloatSlider or FloatLogSlider.

    Raises
    ------
    ValueError
        If it would have to start outside its range, where ipywidgets would move it without a word.
    """
    if not lowest <= value <= highest:
        raise ValueError(f"{description} is {value!r}: the slider goes from {lowest:g} to {highest:g}, so start it there")
    return kind(value, description=description, layout=WIDE, **traits)
