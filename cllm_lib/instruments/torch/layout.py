"""Where the examples and the places of a batch lie: batch first or time first, a picture before its caption, a decoder's words."""

from typing import NamedTuple

import torch

from cllm_lib.instruments.torch.structures import exchanged, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet
from cllm_lib.instruments.torch.wants import MATCH, wanted

ENOUGH = 8  # positions, at least
SHIFTS = (1, 0, 2)


class Sequence(NamedTuple):
    """Words, and what the loss wants at their places.

    Attributes
    ----------
    tokens, targets, counts : torch.Tensor, shape (B, T)
        Time is the second axis, whatever the module takes.
    source : torch.Tensor
        The tensor of the inputs that these tokens are, as the module takes it.
    time : int
        Its axis of time.
    skipped : int
        Inputs before the first that has an output, such as a picture before its caption.
    ahead : int or None
        How many words ahead each target stands: 0, 1 or 2; None where no such number fits.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    counts: torch.Tensor
    source: torch.Tensor
    time: int
    skipped: int
    ahead: int | None


@once
def sequence(subject):
    """Words and wanted targets, place by place; None where outputs are not words by words.

    Of several inputs that is taken whose words stand where the loss wants them, as a decoder's do beside an encoder's.

    Returns
    -------
    Sequence or None
    """
    heard = [source for source in subject.all_tokens if _is_heard(subject, source)] or subject.all_tokens
    found = [row for source in heard for row in _orientations(subject, source)]
    for ahead in SHIFTS:
        fitting = [row for row in found if row.ahead == ahead]
        if fitting:
            return fitting[-1] if ahead == 0 and len(fitting) > 1 and _time_first(subject, fitting[0]) else fitting[0]
    if not found:
        return None
    return found[1] if len(found) > 1 and found[1].source is found[0].source and _time_first(subject, found[0]) else found[0]


def _is_heard(subject, source):
    """Whether the outputs depend on these inputs: labels among the inputs are for the loss."""
    with quiet():
        after = subject.main_of(subject.still, exchanged(subject.inputs, source, unlike_the_first(source, 0)))
    return after.shape != subject.main.shape or not torch.equal(after, subject.main.detach())


def _orientations(subject, source):
    """The tokens as (B, T), and as (T, B) turned round; none if there is not one output for each."""
    want, skipped = wanted(subject), 0
    if want is None:
        return []
    if want.targets.ndim == 2 and len(want.targets) == len(source) and 1 < want.targets.shape[1] < source.shape[1]:
        skipped = source.shape[1] - want.targets.shape[1]
    tokens = source[:, skipped:]
    if want.targets.numel() != tokens.numel():
        return []
    sides = [tokens, want.targets.reshape(tokens.shape), want.counts.reshape(tokens.shape)]
    rows = [Sequence(*sides, source, 1, skipped, words_ahead(*sides))]
    if not skipped and len(tokens) > 1:
        turned = [side.T for side in sides]
        rows.append(Sequence(*turned, source, 0, 0, words_ahead(*turned)))
    return rows


def words_ahead(tokens, targets, counts):
    """How many words ahead each target stands.

    Parameters
    ----------
    tokens, targets : torch.Tensor of int, shape (B, T)
    counts : torch.Tensor of bool, shape (B, T)

    Returns
    -------
    int or None
        1, 0 or 2; None where none of these fits.
    """
    length = tokens.shape[1]
    for ahead in SHIFTS:
        if ahead < length:
            same, counted = tokens[:, ahead:] == targets[:, : length - ahead], counts[:, : length - ahead]
            if int(counted.sum()) >= ENOUGH and float(same[counted].double().mean()) >= MATCH:
                return ahead
    return None


def _time_first(subject, row):
    """Whether the first axis is that of time, told by behaviour: along it places hear each other, along the second they do not.

    Where rows end in padding and columns do not, the second is that of time, however the module treats it.
    """
    if padding_of(row.source) is not None and padding_of(row.source.T) is None:
        return False
    return _mixes(subject, row.source, 0) and not _mixes(subject, row.source, 1)


def _mixes(subject, source, axis):
    """Whether outputs of other slices along an axis move when the first slice is exchanged for another."""
    other = unlike_the_first(source, axis)
    with quiet():
        after = subject.main_of(subject.still, exchanged(subject.inputs, source, other)).double()
    before = subject.main.detach().double()
    places = wanted(subject).axis if wanted(subject) is not None else -1
    before, after = (side.movedim(places, -1).reshape(*source.shape[:2], -1).movedim(axis, 0) for side in (before, after))
    size = float(before.abs().max()) or 1.0
    return float((after - before).abs()[1:].max()) > subject.rounding * size


def unlike_the_first(tensor, axis):
    """The same tensor, its first slice along an axis exchanged for another one (of fractions: for other numbers)."""
    turned = tensor.movedim(axis, 0).clone()
    unlike = next((k for k in range(1, len(turned)) if not torch.equal(turned[k], turned[0])), None)
    if tensor.is_floating_point() and len(turned) > 1:
        turned[0] = 2.0 * turned[1] - turned[0] + turned.std()
    elif unlike is not None:
        turned[0] = turned[unlike]
    return turned.movedim(0, axis).contiguous()


@once
def examples(subject):
    """Where the examples of a batch lie.

    Returns
    -------
    tuple of (torch.Tensor, int, int or None) or None
        The tensor of the inputs that is changed, its axis of examples, and that of the outputs, None for outputs of (B * T, classes);
        None where it cannot be told.
    """
    if subject.main is None:
        return None
    row = sequence(subject)
    if row is not None:
        return row.source, 1 - row.time, 1 - row.time if subject.main.ndim > 2 else None
    first = subject.tokens if subject.tokens is not None else next((t for t in tensors_in(subject.inputs) if t.ndim), None)
    if first is None:
        return None
    others = [t for t in tensors_in(subject.inputs) if t is not first]
    if first.is_floating_point() and first.ndim == 2:
        others += [t for module in subject.still.modules() for t in tensors_in({**vars(module), **module._buffers})]
    if any(t.ndim == 2 and t.shape[0] == t.shape[1] == first.shape[0] for t in others):
        return None  # a graph: its nodes are told who hears whom
    sizes = {t.shape[0] for t in tensors_in(subject.targets) if t.ndim}
    if first.shape[0] in sizes or not sizes:
        if subject.main.shape[0] != first.shape[0]:
            return None
        both = first.ndim > 2 and subject.main.ndim > 1 and subject.main.shape[:2] == first.shape[:2] and first.shape[1] > 1
        along_time = both and _mixes(subject, first, 0) and not _mixes(subject, first, 1)
        return (first, 1, 1) if along_time else (first, 0, 0)
    if first.ndim > 1 and first.shape[1] in sizes and subject.main.shape[0] == first.shape[1]:
        return first, 1, 0
    return None


def padding_of(tokens, surely=False):
    """The id that fills up rows of different lengths, or None: it stands at their ends (or beginnings) only.

    Parameters
    ----------
    tokens : torch.Tensor of int, shape (B, T)
    surely : bool
        Whether half of the rows have to end in it: of a few rows two may end in a word by chance.

    Returns
    -------
    int or None
    """
    for rows in (tokens, tokens.flip(1)):
        ids = rows[:, -1]
        for candidate in ids.unique():
            same = rows == candidate
            runs = same.flip(1).int().cumprod(1).sum(1)  # how many at the end of each row
            enough = len(rows) if not surely else 2 * int((runs > 0).sum())
            alone = int(same.sum()) == int(runs.sum())
            if alone and enough >= len(rows) and int((runs >= 2).sum()) >= 2 and len(runs[runs < rows.shape[1]].unique()) >= 2:
                return int(candidate)
    return None
