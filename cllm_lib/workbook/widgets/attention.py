"""Attention weights, to walk through: layer, head, and the word that looks."""

from html import escape

import ipywidgets
import numpy as np

from cllm_lib.workbook.widgets.controls import Panel, choice
from cllm_lib.workbook.widgets.svg import MARK, SHADE, svg, text

MAP_SIZE = 240  # pixels
DARKEST = 0.75  # of SHADE behind a word: the word stays readable in a light and in a dark theme


class AttentionViewer(Panel):
    """Pick a layer, a head and a query: how much of its look goes to each word, and the whole map beside it.

    Parameters
    ----------
    weights : sequence of array_like, shape (H, T, T)
        One array a layer, as :func:`~cllm_lib.model.attention.attention_weights` collects them.
    words : sequence of str
        T of them.
    layer, head, query : int
        Where it opens; -1 is the last.

    Attributes
    ----------
    layer, head, query : ipywidgets.SelectionSlider
    sentence, line, picture : ipywidgets.HTML
        What was found, the words with their weights, and the map.

    Raises
    ------
    ValueError
        If weights and words do not fit together.
    """

    def __init__(self, weights, words, layer=0, head=0, query=-1):
        self.words = [str(word) for word in words]
        self.weights = np.stack([_checked(i, array, len(self.words)) for i, array in enumerate(_layers(weights))])
        n_layers, n_heads, time, _ = self.weights.shape
        positions = [(f"{t}: {word}", t) for t, word in enumerate(self.words)]
        self.layer = choice("layer", range(n_layers), range(n_layers)[layer])
        self.head = choice("head", range(n_heads), range(n_heads)[head])
        self.query = choice("query", positions, range(time)[query])
        self.sentence, self.line, self.picture = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        for control in (self.layer, self.head):
            control.disabled = len(control.options) == 1  # nothing to choose: Tab passes it by
        for control in (self.layer, self.head, self.query):
            control.observe(self._redraw, names="value")
        self._redraw()
        super().__init__([self.layer, self.head, self.query, self.sentence, self.line, self.picture])

    def __repr__(self):
        return "Attention weights by layer, head and query (run this cell in JupyterLab to move them)"

    @property
    def row(self):  # (T,)
        """The weights on show: of the chosen query, over the keys."""
        return self.weights[self.layer.value, self.head.value, self.query.value]

    def _redraw(self, change=None):
        query, row = self.query.value, self.row
        best = int(np.argmax(row))
        where = f"Layer {self.layer.value}, head {self.head.value}"
        self.sentence.value = (
            f"<p>{where}: <b>{escape(self.words[query])}</b> (position {query}) looks most at "
            f"<b>{escape(self.words[best])}</b> (position {best}), with weight <b>{row[best]:.2f}</b>.</p>"
        )
        self.line.value = words_html(row, self.words, query)
        self.picture.value = map_svg(self.weights[self.layer.value, self.head.value], self.words, query, where)


def reached(key, query, weight):
    """Whether the query can see the key: what a mask hides stands later and has weight 0."""
    return key <= query or weight != 0.0


def words_html(row, words, query):
    """The words in their order, each with its weight below it and as much shade behind it; the query is framed.

    Parameters
    ----------
    row : ndarray, shape (T,)
    words : list of str
    query : int
        Position of the word that looks.

    Returns
    -------
    str
    """
    boxes = []
    for t, (word, weight) in enumerate(zip(words, row, strict=True)):
        shade = f"color-mix(in srgb, {SHADE} {DARKEST * min(max(weight, 0.0), 1.0):.0%}, transparent)"
        frame = MARK if t == query else "transparent"
        number = f"{weight:.2f}" if reached(t, query, weight) else ""
        boxes.append(
            f'<span style="display:inline-block; text-align:center; line-height:1.3; margin:1px; padding:1px 4px; border-radius:3px; '
            f'vertical-align:top; background:{shade}; border:2px solid {frame}">{escape(word)}<br><small>{number}</small></span>'
        )
    return f'<div style="max-width:640px">{"".join(boxes)}</div>'


def map_svg(weights, words, query, title):
    """The whole map small, as SVG: query rows, key columns, the chosen row framed.

    Parameters
    ----------
    weights : ndarray, shape (T, T)
    words : list of str
    query : int
    title : str
        Which map it is.

    Returns
    -------
    str
    """
    side = MAP_SIZE / len(words)
    row = enumerate(zip(words, weights[query], strict=True))
    numbers = ", ".join(f"{word} {weight:.2f}" for t, (word, weight) in row if reached(t, query, weight))
    cells = [
        f'<rect x="{20 + k * side:.1f}" y="{20 + q * side:.1f}" width="{side:.1f}" height="{side:.1f}" fill-opacity="{weights[q, k]:.2f}"/>'
        for q, k in np.argwhere(np.abs(weights) >= 0.005)
    ]
    return svg(
        f"Map of attention weights, {title}, query rows and key columns; the row of {words[query]} (position {query}): {numbers}",
        MAP_SIZE + 30,
        MAP_SIZE + 30,
        f'<g fill="{SHADE}" stroke="none">{"".join(cells)}</g>',
        f'<rect x="20" y="20" width="{MAP_SIZE}" height="{MAP_SIZE}"/>',
        f'<rect x="20" y="{20 + query * side:.1f}" width="{MAP_SIZE}" height="{side:.1f}" stroke="{MARK}" stroke-width="2.5"/>',
        text(20, 14, "keys, from first to last"),
        f'<g transform="translate(14 {20 + MAP_SIZE}) rotate(-90)">{text(0, 0, "queries, last to first")}</g>',
    )


def _layers(weights):
    if hasattr(weights, "config"):
        raise ValueError("the viewer takes weights, not a model: give it attention_weights(model, tokens)")
    if len(weights) == 0:
        raise ValueError("weights are empty: give one array (heads, time, time) for each layer")
    return weights


def _checked(layer, weights, n_words):
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 3 or 0 in weights.shape or weights.shape[1:] != (n_words, n_words):
        raise ValueError(
            f"the weights of layer {layer} have shape {weights.shape}, and there are {n_words} words: give (heads, {n_words}, {n_words})"
        )
    return weights
