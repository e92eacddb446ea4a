"""Instruments that change one input and watch all outputs: what depends on what."""

import copy

import torch
from torch import nn

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.catalogue import Instrument, Word
from cllm_lib.instruments.torch.answers import by_words
from cllm_lib.instruments.torch.inside import stirred, watched
from cllm_lib.instruments.torch.layout import examples, sequence, unlike_the_first
from cllm_lib.instruments.torch.structures import exchanged, tensors_in
from cllm_lib.instruments.torch.subject import once, quiet
from cllm_lib.instruments.torch.wants import wanted

COPIED = 0.9  # cosine of two matrices: drawn apart, they are at right angles
DEEP = 6  # layers of one class: fewer learn without residual connections, too (He 2015, "Deep Residual Learning", section 4.2)
MOVES = 1e-9  # of the outputs' size
PLACES = 5  # that are changed, one after the other


def _outputs(subject, tokens, module=None):
    """Outputs for tokens of the first batch's shape, (B, T, classes), time turned to the second axis.

    Parameters
    ----------
    subject : Subject
    tokens : torch.Tensor of int
        As the module takes them.
    module : torch.nn.Module, optional
        The still copy by default.
    """
    row = sequence(subject)
    with quiet():
        outputs = subject.main_of(module or subject.still, exchanged(subject.inputs, row.source, tokens)).double()
    outputs = outputs.movedim(wanted(subject).axis, -1)
    shape = row.tokens.shape if row.time == 1 else row.tokens.T.shape
    laid = outputs.reshape(*shape, -1)
    return laid if row.time == 1 else laid.transpose(0, 1)


def _changed(subject, place):
    """The first batch's tokens, with another word at one place of its first row: one that stands at this place in another row."""
    row = sequence(subject)
    tokens = row.source.clone()
    turned = tokens if row.time == 1 else tokens.T
    here = turned[0, place + row.skipped]
    others = turned[:, place + row.skipped]
    others = others[others != here]
    if not len(others):
        others = row.tokens[row.tokens != here] if not row.skipped else others
    if len(others):
        turned[0, place + row.skipped] = others[len(others) // 2]
    return tokens


def _apart(before, after):
    """By how much outputs moved at each place, as a share of their size; 1 where NaN came or went."""
    finite = before[torch.isfinite(before)]
    size = float(finite.abs().max()) if finite.numel() else 1.0
    lost = torch.isfinite(before).all(-1) != torch.isfinite(after).all(-1)
    moved = (after - before).abs().amax(-1) / (size or 1.0)
    return torch.where(lost, torch.ones_like(moved), torch.nan_to_num(moved, nan=0.0))


@once
def reach_in_time(subject):
    """Which outputs of the first row move when one of its words is exchanged.

    Returns
    -------
    back, ahead : float
        The largest move of an output before the exchanged word, and of one after it, as a share of the outputs' size; 0 where that
        is no more than rounding.
    """
    found = _reach(subject, subject.still)
    return found if any(found) else _reach(subject, stirred(subject))  # layers that begin at zero let nothing through at first


def _reach(subject, module):
    row = sequence(subject)
    length, before = row.tokens.shape[1], _outputs(subject, row.source, module)
    places = sorted({round(k * (length - 1) / (PLACES - 1)) for k in range(PLACES)} | {1})
    back, ahead = 0.0, 0.0
    for place in places:
        moved = _apart(before, _outputs(subject, _changed(subject, place), module))[0]
        moved = torch.where(row.counts[0], moved, torch.zeros_like(moved))  # a prompt may be read both ways
        back, ahead = max(back, *moved[:place].tolist(), 0.0), max(ahead, *moved[place + 1 :].tolist(), 0.0)
    return tuple(value if value > subject.rounding else 0.0 for value in (back, ahead))


def sees_later(subject):
    """Whether an output depends on a later word."""
    return reach_in_time(subject)[0] > 0.0


def _print_a_batch(subject):
    ahead = sequence(subject).ahead
    if ahead == 0 and sees_later(subject):  # an autoencoder gives back what it has seen
        ahead = None
    numbers = {
        "rows that stand in the text": 1.0, "rows that rise": 0.0, "different batches": 2.0, "different first batches": 2.0,
        "rows that end alike": 0.0,
    }  # what a few batches alone cannot tell  # fmt: skip
    return numbers | {
        "target is the word itself": float(ahead == 0),
        "target is the next input": float(ahead in (None, 1)),
        "target is two ahead": float(ahead == 2),
    }


def _perturb_a_later_token(subject):
    back, ahead = reach_in_time(subject)
    return {"earlier outputs": back, "later outputs": ahead}


def _perturb_an_earlier_token(subject):
    _, ahead = reach_in_time(subject)
    return {"share that reach": float(ahead > 0.0), "later outputs": ahead}


def _perturb_another_sequence(subject):
    first, axis, out_axis = examples(subject)
    with quiet():
        after = subject.main_of(subject.still, exchanged(subject.inputs, first, unlike_the_first(first, axis))).double()
    before = subject.main.detach().double()
    if out_axis is None:  # (B * T, classes)
        before, after = (side.reshape(*first.shape, -1) for side in (before, after))
        out_axis = axis
    before, after = (side.movedim(out_axis, 0).reshape(side.shape[out_axis], -1) for side in (before, after))
    largest = float(_apart(before[:, None], after[:, None])[1:].max())
    return {"other sequences": largest if largest > subject.rounding else 0.0}


def _of_several(subject):
    found = examples(subject)
    if found is None:
        return "no axis of examples was found in inputs and outputs"
    return "" if found[0].shape[found[1]] > 1 else "the batch has one example only"


def _of_language(subject):
    return by_words(subject) or ("" if sequence(subject).ahead in (1, 2) else "the targets are not the words that follow: all may be seen")


def tied_pair(subject):
    """The matrix of an embedding and the output's, of the same shape, where they are two; else None."""
    embeddings = [m.weight for m in subject.still.modules() if isinstance(m, nn.Embedding)]
    heads = [m.weight for m in subject.still.modules() if isinstance(m, nn.Linear)]
    return next(((e, h) for e in embeddings for h in heads if e.shape == h.shape and e.data_ptr() != h.data_ptr() and e.shape[0] > 2), None)


def _compare_embedding_and_output(subject):
    one, other = (matrix.detach().double() - matrix.detach().double().mean() for matrix in tied_pair(subject))
    size = float(one.norm() * other.norm())
    return {"cosine": float((one * other).sum()) / size if size else 0.0}


def _has_two(subject):
    return "" if tied_pair(subject) is not None else "there are no two matrices that could be one"


@once
def attention(subject):
    """Names of the innermost modules in which positions look at each other, in the order of their calls, and all that was seen."""
    seen = watched(subject)
    return tuple(dict.fromkeys(name for name in seen.attends if name)), seen


def _silence_attention(subject):
    """Let attention, and what lies between the first and the last of it, return nothing: does an input still reach its own output?"""
    names, seen = attention(subject)
    (begin, _), (_, end) = seen.spans[names[0]], seen.spans[_block_around(names[-1], seen)]
    module = copy.deepcopy(subject.still)
    with torch.no_grad():
        for name, part in module.named_modules():
            inside = name in seen.spans and begin <= seen.spans[name][0] and seen.spans[name][1] <= end
            if inside and not isinstance(part, nn.Embedding):
                _silence(part)
    own, silent = (_own_word(subject, m) if not by_words(subject) else _own_rows(subject, m) for m in (subject.still, module))
    return {"past attention": float(own > 0.0), "past a silent attention": silent / own if own > 0.0 else 0.0}


def _silence(part):
    """Put a module's own weights to 0, in place; a norm's would silence what passes beside it, too."""
    if "norm" not in type(part).__name__.lower():
        for parameter in part.parameters(recurse=False):
            parameter.zero_()


def _own_word(subject, module):
    """By how much the first and the last output of a row move when their own words are exchanged."""
    row = sequence(subject)
    before = _outputs(subject, row.source, module)
    places = (0, row.tokens.shape[1] - 1)
    return max(float(_apart(before, _outputs(subject, _changed(subject, place), module))[0, place]) for place in places)


def _own_rows(subject, module):
    """By how much what leaves the last attention's layer moves when the first example is exchanged for another.

    Looked at before anything is pooled: a token that stands for the whole is the same for all when attention is silent.
    """
    names, seen = attention(subject)
    first, axis, _ = examples(subject)
    found = []

    def look(part, inputs, outputs):
        found.append(next(t for t in tensors_in(outputs) if t.is_floating_point()).detach().double())

    with quiet():
        for inputs in (subject.inputs, exchanged(subject.inputs, first, unlike_the_first(first, axis))):
            hook = dict(module.named_modules())[_block_around(names[-1], seen)].register_forward_hook(look)
            try:
                subject.outputs_of(module, inputs)
            finally:
                hook.remove()
    before, after = (found[0], found[len(found) // 2]) if len(found) > 1 else (found[0], found[0])
    return float(_apart(before, after).max()) if before.shape == after.shape else 1.0


def _block_around(name, seen):
    """The module right around an attention, where that takes and gives what the attention does; else the attention itself."""
    shapes = {called: (came, went) for called, came, went in seen.calls}
    parent = name.rpartition(".")[0]
    came, went = shapes.get(parent, (None, None))
    return parent if parent and parent in seen.spans and came is not None and came == went and len(came) == 3 else name


@once
def stack(subject):
    """Names of the layers of a deep stack: modules of one class, of two matrices each at least, that return what they take in shape."""
    names, seen = attention(subject)
    inner, found = dict(subject.still.named_modules()), {}
    for name, came, went in seen.calls:
        part = inner[name]
        wide = [p for p in part.parameters() if p.ndim >= 2 and min(p.shape[:2]) > 1]
        if name and came == went and len(wide) >= 2 and not names:
            found.setdefault(type(part), {})[name] = None
    return next((tuple(layers) for layers in found.values() if len(layers) >= DEEP), ())


def _silence_a_stack(subject):
    """Let all layers of a deep stack return nothing: does the input still reach the output?"""
    module, layers = copy.deepcopy(subject.still), stack(subject)
    inner = dict(module.named_modules())
    with torch.no_grad():
        for name in layers:
            for part in inner[name].modules():
                _silence(part)
    first = examples(subject)[0]
    other = exchanged(subject.inputs, first, unlike_the_first(first, examples(subject)[1]))
    with quiet():
        moved = [
            float(_apart(*(subject.main_of(m, inputs).double().flatten()[None, :, None] for inputs in (subject.inputs, other))).max())
            for m in (subject.still, module)
        ]
    return {"past the layers": moved[0] if moved[0] > subject.rounding else 0.0, "past silent layers": moved[1]}


def _is_deep(subject):
    if examples(subject) is None:
        return "no axis of examples was found in inputs and outputs"
    return "" if stack(subject) else "it is no deep stack of layers alike"


def _attends(subject):
    if subject.main is None:
        return "the module returns no outputs but its loss"
    names, seen = attention(subject)
    if not names:
        return "nothing in it looks from one position at another"
    bare = _block_around(names[-1], seen) == names[-1]
    if by_words(subject) and (bare or examples(subject) is None):
        return "what leaves its layers cannot be seen"
    return "it is no stack of layers" if bare and len(names) == 1 else ""


_KIT = kit.ALL
_RESIDUAL = _KIT["activation statistics"].only("nothing passes a layer but by attention")
_NONE_REACHES = _KIT["perturb an earlier token"].only("no earlier token reaches the last output")
_OF_WORDS = _KIT["print a batch"].only("the targets are the inputs", "the targets stand two words ahead")
INSTRUMENTS = (
    (Instrument("print a batch", 2, _print_a_batch, _OF_WORDS, "Which word does the loss want at each place?"), by_words),
    (Instrument("perturb another sequence", 3, _perturb_another_sequence, _KIT["perturb another sequence"].words,
                _KIT["perturb another sequence"].asks), _of_several),
    (Instrument("perturb a later token", 3, _perturb_a_later_token, (
        *_KIT["perturb a later token"].words,
        Word("an earlier output changes, and no later one", lambda n: n["earlier outputs"] > 0.0 == n["later outputs"],
             "the mask lets through what came before"),
    ), _KIT["perturb a later token"].asks), _of_language),
    (Instrument("perturb an earlier token", 3, _perturb_an_earlier_token, _NONE_REACHES,
                _KIT["perturb an earlier token"].asks), _of_language),
    (Instrument("silence attention", 3, _silence_attention, _RESIDUAL, "Does anything pass a layer but by attention?"), _attends),
    (Instrument("silence a stack", 3, _silence_a_stack, (
        Word("nothing passes many layers but through their weights", lambda n: n["past silent layers"] <= MOVES < n["past the layers"],
             "a residual connection adds the input to what a layer returns"),
    ), "Does anything pass a deep stack but through its weights?"), _is_deep),
    (Instrument("embedding and output", 2, _compare_embedding_and_output, (
        Word("two matrices that are copies of one another", lambda n: n["cosine"] > COPIED, "drawn apart, they are at right angles"),
    ), "Is the output's matrix the embedding, or a copy?"), _has_two),
)  # fmt: skip
