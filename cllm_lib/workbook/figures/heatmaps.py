"""Figures of attention: who looks where, as maps of queries and keys."""

import numpy as np

from cllm_lib.workbook.figures.style import several_axes


def attention_map(weights, words, title):
    """Where each word looks in one head, as a labelled map.

    Parameters
    ----------
    weights : array_like, shape (T, T)
        Query rows, key columns.
    words : sequence of str
        T of them.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    return attention_maps({title: weights}, words)[0]


def attention_maps(maps, words):
    """Maps side by side, in one scale of colours: before and after training, or all heads of a layer.

    Parameters
    ----------
    maps : dict of str to array_like, shape (T, T)
        Weights, query rows and key columns, by title. `{f"head {h}": w for h, w in enumerate(weights[0])}` shows a layer.
    words : sequence of str
        T of them.

    Returns
    -------
    list of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If a map is not T x T.
    """
    arrays = [np.asarray(weights, dtype=float) for weights in maps.values()]
    for title, weights in zip(maps, arrays, strict=True):
        if weights.shape != (len(words), len(words)):
            raise ValueError(f"the map {title!r} has shape {weights.shape}, and there are {len(words)} words: give weights[layer][head]")
    side = min(5.0, max(2.8, 0.24 * len(words)))
    titles, width, height = [str(title) for title in maps], len(maps) * side + 0.8, side + 0.4
    row = several_axes(titles, "key: what is looked at", "query: who looks", len(maps), width, height)
    scale = {"vmin": min(0.0, *(np.nanmin(a) for a in arrays)), "vmax": max(1.0, *(np.nanmax(a) for a in arrays))}
    for axes, weights in zip(row, arrays, strict=True):
        image = axes.imshow(weights, cmap="Blues", **scale)
        axes.set_xticks(range(len(words)), words, rotation=90, fontsize=9)
        axes.set_yticks(range(len(words)), words, fontsize=9)
        axes.grid(visible=False)
    for axes in row[1:]:
        axes.set_ylabel("")  # as at the first
    row[0].figure.colorbar(image, ax=row, label="weight", shrink=0.8)
    return row
