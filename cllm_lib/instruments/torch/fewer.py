"""Of a large model's batches only a part is looked at: the first rows, and of words the first places in them."""

from cllm_lib.instruments.torch.structures import mapped, tensors_in

LARGE = 5e8  # weights times numbers that come in: about the multiplications of one pass through the model
LESS = ((8, None), (4, None), (4, 32), (4, 16), (2, None), (2, 16))  # rows and places: the first that is enough


def smaller(pairs, weights, runs):
    """Batches cut until one pass through a model is no more than :data:`LARGE`, as far as it takes them.

    Parameters
    ----------
    pairs : list of (inputs, targets)
    weights : int
        Of the model.
    runs : callable
        Whether the model and its loss take a pair.

    Returns
    -------
    pairs : list of (inputs, targets)
    said : str
        What is left of each batch, for a sentence; empty where nothing was cut.
    """
    first = _first(pairs[0])
    if first is None or weights * first.numel() < LARGE:
        return pairs, ""
    cuts = [(rows, places) for rows, places in LESS if len(first) > rows and (places is None or _can_be_shortened(first, places))]
    sizes = {cut: weights * _first(_cut(pairs[0], *cut)).numel() for cut in cuts}
    for rows, places in sorted(cuts, key=lambda cut: (sizes[cut] >= LARGE, sizes[cut] if sizes[cut] >= LARGE else cuts.index(cut))):
        if runs(_cut(pairs[0], rows, places)):  # else it is a model of another layout
            said = f"the first {rows} rows" + (f" and {places} places in them" if places else "")
            return [_cut(pair, rows, places) for pair in pairs], said
    return pairs, ""


def _first(pair):
    return next((t for t in tensors_in(pair[0]) if t.ndim), None)


def _can_be_shortened(first, places):
    """Whether these are words, and more of them; padding at the end of a row has to stay there."""
    whole = not first.is_floating_point() and first.ndim == 2
    return whole and places is not None and first.shape[1] > places and not bool((first[:, -1] == first[:, -2]).any())


def _cut(pair, rows, places):
    """Of all tensors that are as long as the first of the inputs, the first rows; of all as wide, the first places."""
    first = _first(pair)

    def cut(tensor):
        if not tensor.ndim or len(tensor) != len(first):
            return tensor
        return tensor[:rows, :places] if places and tensor.ndim > 1 and tensor.shape[1] == first.shape[1] else tensor[:rows]

    return tuple(mapped(side, cut) for side in pair)
