"""Pictures drawn in the page, in the page's own colours, so that they fit a light and a dark theme."""

from html import escape

SHADE = "var(--jp-brand-color1, #0072B2)"  # JupyterLab's own blue, brighter in its dark theme; elsewhere the figures' blue
LINE, LETTER = 14, 7  # pixels: from one line of text to the next, and a letter's width at most
MARK = "#D55E00"  # stands out from white and from a dark page by more than 3 to 1 (WCAG 2.1, 1.4.11)


def svg(label, width, height, *elements):
    """Elements of SVG as one picture with a description.

    Parameters
    ----------
    label : str
        What to see, with its numbers: a screen reader says it in place of the picture.
    width, height : int
        In pixels.
    *elements : str
        Without `fill` and `stroke` of their own they are lines in the colour of the page's text.

    Returns
    -------
    str
    """
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="max-width:100%; height:auto" fill="none" stroke="currentColor">{"".join(elements)}</svg>'
    )


def labels(places):
    """Words at several places, moved up where they would lie on others.

    Parameters
    ----------
    places : list of (float, float, str, str)
        As :func:`text` takes them: x, y, words, anchor.

    Returns
    -------
    list of str
        The lowest first.
    """
    taken, drawn = [], []
    for x, y, words, anchor in sorted(places, key=lambda place: -place[1]):
        width = LETTER * len(words)
        left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        for other_left, other_right, other in taken:  # from the lowest up
            if left < other_right and other_left < left + width and abs(y - other) < LINE:
                y = other - LINE
        taken = sorted([*taken, (left, left + width, y)], key=lambda each: -each[2])
        drawn.append(text(x, y, words, anchor))
    return drawn


def text(x, y, words, anchor="start", size=12):
    """Words at a place, in the colour of the page's text; `anchor` says which end of them stands at x."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="currentColor" stroke="none">{escape(words)}</text>'
    )
