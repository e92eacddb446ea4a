"""Exercises of 23_a_model_that_answers."""

import struct
from functools import partial

import numpy as np

from cllm_lib.casebook.decoders import DECODER_FAULTS, PATIENT
from cllm_lib.workbook.exercises.decoder_attention import attend, attend_form, examine_attend
from cllm_lib.workbook.exercises.forms import as_array, as_word, several
from cllm_lib.workbook.exercises.gradients import BACKWARDS, GRADIENT_SHAPE, same_results, worst_of
from cllm_lib.workbook.exercises.gradients import several as several_of
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, array, brief, by_letter, call, matches, shown, told_apart, worst
from cllm_lib.workbook.exercises.readings import number_by_name, numbers_by_name

# Two bets

TOUCHED, ADMITTED = "millions touched", "admitted"
MILLIONS, QUESTIONS = 134.5, 4


def examine_bets(answer):
    """A prediction: how much of the model a token needs, and how often it will say that it does not know."""
    touched, admitted = number_by_name(answer, (TOUCHED, ADMITTED))
    if not 0 <= touched <= 136:
        raise NotYet(f"{shown(touched)} millions are touched? The model has {MILLIONS} in all; give a number from 0 to {MILLIONS}.")
    if admitted not in range(QUESTIONS + 1):
        raise NotYet(f"{shown(admitted)} of {QUESTIONS} questions? Give a whole number from 0 to {QUESTIONS}.")
    return f"{shown(touched)} million for a token, and {shown(admitted)} of {QUESTIONS} admitted. The chapter will show both."


# A block of weights


def read_block(block):
    """Reference: two numbers of 16 bits, then 32 of four; a byte's low half and its high half are 16 places apart."""
    scale, offset = block[:4].view("<f2").astype(np.float32)
    low, high = block[4:] & 15, block[4:] >> 4
    return np.concatenate([low, high]) * scale + offset


def random_block(generator):
    """Twenty bytes as a file has them: a scale above 0, an offset below, and 16 bytes of any value."""
    scale, offset = generator.uniform(0.001, 0.3), generator.uniform(-2.0, 0.5)
    head = np.frombuffer(struct.pack("<ee", scale, offset), np.uint8)
    return np.concatenate([head, generator.integers(0, 256, 16).astype(np.uint8)])


def examine_read_block(answer):
    """Against arithmetic on Python's whole numbers and fractions, byte after byte."""
    generator = np.random.default_rng(31)

    def look(number):
        block = random_block(generator)
        found = array(call(answer, block), (32,), "the result", "16 bytes hold two weights each.")
        scale, offset = struct.unpack("<ee", block[:4].tobytes())
        low, high = ([divmod(int(byte), 16)[side] for byte in block[4:]] for side in (1, 0))
        right = scale * np.array(low + high, dtype=float) + offset
        known = _block_slips(block, scale, offset, low, high, right)
        return worst("the weight", found, right), found, right, {name: v for name, v in known.items() if np.isfinite(v).all()}

    told_apart(
        look, [(i,) for i in range(6)], partial(matches, tolerance=1e-6), "Scale, offset, then 16 bytes: low halves, then high ones."
    )


def _block_slips(block, scale, offset, low, high, right):
    """What one gets by plausible mistakes."""
    q = np.array(low + high, dtype=float)
    by_turns = np.array([half for pair in zip(low, high, strict=True) for half in pair], dtype=float)
    unshifted = np.array(low + [16 * half for half in high], dtype=float)
    short = np.float16(scale) * q.astype(np.float16) + np.float16(offset)
    big, whole, signed = (struct.unpack(kinds, block[:4].tobytes()) for kinds in (">ee", "<HH", "<hh"))
    first, second = map(float, block[:2])
    return {
        "Yours go low, high, low, high, byte after byte. Here all low halves come first, weights 0 to 15, then all high ones.": (
            scale * by_turns + offset
        ),
        "The high halves come first in yours; the low ones are the weights 0 to 15.": scale * np.array(high + low) + offset,
        "The two go high, low, byte after byte. Here all low halves come first, then all high ones.": (
            scale * by_turns.reshape(-1, 2)[:, ::-1].ravel() + offset
        ),
        "The low halves are there twice; weights 16 to 31 are the high ones, byte >> 4.": scale * np.array(low + low) + offset,
        "The high halves are there twice; weights 0 to 15 are the low ones, byte & 15.": scale * np.array(high + high) + offset,
        "The weights come last to first; weight 0 is the low half of the first byte behind the offset.": scale * q[::-1] + offset,
        "The high halves are not shifted down: >> 4 makes 0 to 15 of them.": scale * unshifted + offset,
        "The offset is missing: a weight is scale * q + offset.": scale * q,
        "The scale is missing: a weight is scale * q + offset.": q + offset,
        "Those are the whole numbers q; a weight is scale * q + offset.": q,
        "You take q from -8 to 7. With an offset of its own, q is 0 to 15 as it stands.": [
            scale * (q - 8) + offset,
            scale * np.where(q > 7, q - 16, q) + offset,
        ],
        "Your q go from 1 to 16; four bits make 0 to 15.": scale * (q + 1) + offset,
        "The offset is taken away; it is added, and is mostly below 0 itself.": [scale * q - offset, scale * (q - offset)],
        "Scale and offset have changed places: the scale comes first in the block.": offset * q + scale,
        "The offset is scaled, too: a weight is scale * q + offset.": scale * (q + offset),
        "It was computed in 16 bits, which keep three digits: .astype(np.float32) before the product.": [
            short.astype(float),
            right.astype(np.float16).astype(float),
        ],
        "The two numbers of 16 bits are read the wrong way round. The low byte comes first: '<f2'.": [
            big[0] * q + big[1],
            big[1] * q + big[0],
        ],
        "Scale and offset are read as whole numbers; they are floating-point numbers of 16 bits, '<f2'.": [
            whole[0] * q + whole[1],
            signed[0] * q + signed[1],
        ],
        "Bytes 0 and 1 are taken for two numbers; together they are one, the scale.": first * q + second,
        "You divide by the scale: a weight is scale * q + offset.": q / scale + offset,
    }


# A conversation as one text

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
BEGIN, END = "<|im_start|>", "<|im_end|>"


def as_text(messages, system):
    """Reference: each message between its marks; then the head of the answer, left open."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    text = ""
    for message in messages:
        text += f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


_SAID = (
    [("user", "Why is the sky blue?")],
    [("system", "Answer like a pirate."), ("user", "Hello")],
    [("user", "Hello"), ("assistant", "Hi. How are you?"), ("user", "Well,\nthank you.")],
    [("system", ""), ("user", " two spaces ")],
    [("user", "assistant"), ("assistant", "user\n"), ("user", "system")],
)


def _messages(said):
    return [{"role": role, "content": content} for role, content in said]


def examine_as_text(answer):
    """Against the pieces put side by side, with and without a system message."""

    def look(said, system):
        found = call(answer, _messages(said), system)
        if not isinstance(found, str):
            raise NotYet(f"this is of type {type(found).__name__}; one text was asked for, a str.")
        right = _written(said, system)
        return _first_difference(found, right), found, right, _text_slips(said, system, right)

    told_apart(look, [(said, SYSTEM) for said in _SAID] + [(_SAID[0], "Be brief.")], lambda one, other: one == other, "Look at the frame.")


def _written(said, system, begin=BEGIN, middle="\n", end=f"{END}\n", last=f"{BEGIN}assistant\n"):
    pieces = [] if said[0][0] == "system" else [("system", system)]
    return "".join([begin + role + middle + content + end for role, content in pieces + list(said)]) + last


def _text_slips(said, system, right):
    whole = said if said[0][0] == "system" else [("system", system), *said]
    return _frame_slips(said, system, right, whole) | _message_slips(said, system, whole)


def _frame_slips(said, system, right, whole):
    """Every message is there, and something between them is not as it should be."""
    head = f"{BEGIN}assistant\n"
    return {
        "Only the head of the answer is in it; every message comes before it, in its frame.": head,
        "The head of the answer is missing: the text ends with <|im_start|>assistant and a line break, or who shall speak?": (
            _written(said, system, last="")
        ),
        "The line break after the last word, assistant, is missing.": right[:-1],
        "The answer is closed before it began: after <|im_start|>assistant and its line break nothing comes.": [
            _written(said, system, last=f"{head}{END}\n"),
            _written(said, system, last=f"{head}{END}"),
        ],
        "A line break is missing after each <|im_end|>.": _written(said, system, end=END),
        "A line break too many comes after <|im_end|>; one is enough.": _written(said, system, end=f"{END}\n\n"),
        "A line break is missing between role and content.": _written(said, system, middle=""),
        "A line break too many stands between role and content; one is enough.": _written(said, system, middle="\n\n"),
        "Between role and content stands a line break, and no space or colon.": [
            _written(said, system, middle=" "),
            _written(said, system, middle=": "),
            _written(said, system, middle=":\n"),
        ],
        "A line break is one letter, written \\n in quotes; yours came out as two, a backslash and an n.": [
            _written(said, system, middle="\\n", end=f"{END}\\n", last=f"{BEGIN}assistant\\n"),
            _written(said, system, middle="\\n", end=f"{END}\\n"),
        ],
        "The end of each message is not marked: <|im_end|> and a line break.": _written(said, system, end="\n"),
        "A line break too many stands before <|im_end|>: it follows the content at once.": _written(said, system, end=f"\n{END}\n"),
        "The line break stands before <|im_end|>; it comes after it.": _written(said, system, end=f"\n{END}"),
        "The role is missing: it stands between <|im_start|> and the line break.": [
            "".join(f"{BEGIN}{content}{END}\n" for _, content in whole) + head,
            "".join(f"{BEGIN}\n{content}{END}\n" for _, content in whole) + head,
        ],
        "The head of the answer stands behind every message; it comes once, behind the last.": (
            "".join(_framed([one]) + head for one in whole)
        ),
    }


def _message_slips(said, system, whole):
    """A message is missing, or one too many is there, or not as it was said."""
    own = said[0][0] == "system"
    others = [one for one in whole if one[0] != "system"]
    head = f"{BEGIN}assistant\n"
    bare = _framed(said) + head
    return {
        "The system's message is missing: where the conversation begins with none, `system` comes first.": bare,
        "The system's message comes last; it comes before all others.": bare if own else _framed([*said, whole[0]]) + head,
        "There are two system messages now. Where the conversation brings its own, `system` is not said.": (
            _framed([("system", system), *said]) + head
        ),
        "The conversation's own system message is gone. Where it begins with one, that one is said, and not `system`.": (
            _framed([("system", system), *others]) + head
        ),
        "What `system` says is not in it: the text is the same whatever it is.": [_written(said, SYSTEM), _written(said, "system")],
        "The contents lost the spaces or line breaks at their ends. They go in as they were said.": (
            _written([(role, content.strip()) for role, content in said], system.strip())
        ),
        "Only the last message is in it; the model remembers nothing, so all of them are.": [
            _written([*(said[:1] if own else []), said[-1]], system),
            _framed(said[-1:]) + head,
        ],
        "Only the first message is in it. Does `return` stand inside the loop? It comes after it.": [
            _framed(whole[:1]) + head,
            _framed(whole[:1]),
        ],
        "What the assistant said is left out; its messages are part of the conversation.": (
            _framed([one for one in whole if one[0] != "assistant"]) + head
        ),
        "An empty message was left out; it is one all the same.": _framed([one for one in whole if one[1]]) + head,
    }


def _framed(pairs):
    return "".join(f"{BEGIN}{role}\n{content}{END}\n" for role, content in pairs)


def _first_difference(found, right):
    at = next((i for i, (one, other) in enumerate(zip(found, right, strict=False)) if one != other), min(len(found), len(right)))
    given, asked = (repr(text[at : at + 20]) if at < len(text) else "the end" for text in (found, right))
    return (
        f"after {right[max(0, at - 16) : at]!r} comes {given}; {asked} was asked for."
        if at
        else f"it begins with {given}; {asked} was asked for."
    )


def random_conversation(generator):
    """Messages of few words, with a system's message or none."""
    words = ("Hello", "why?", " two\nlines ", "", "user", "I am 7.")
    turns = ["user", *(role for _ in range(int(generator.integers(0, 3))) for role in ("assistant", "user"))]
    roles = ["system", *turns] if generator.random() < 0.5 else turns
    return _messages([(role, words[generator.integers(len(words))]) for role in roles]), str(generator.choice(["Be kind.", SYSTEM, ""]))


# The suspect

_WOULD_SHOW = {
    "base": "the second token would be nearly right and late ones worse and worse: the slow pairs have hardly turned at place 1.",
    "gains": "a token alone would be wrong: norms are taken at place 0 as well.",
    "gate": "a token alone would be wrong: it goes through the gate, too.",
    "heads": "a token alone would be wrong: it looks at itself, and each head would fetch another head's value.",
    "start": "nothing would be wrong anywhere: scores depend on distance, and all distances are what they were.",
}


_VERDICT = {"guilty": PATIENT, "harmless": "start"}


def examine_verdict(answer):
    """Two names out of the table."""
    asked = f"this is of type {type(answer).__name__}; a dictionary with 'guilty' and 'harmless' was asked for."
    given = by_letter(answer, [name.upper() for name in _VERDICT], asked)
    names = {}
    for place, name in zip(_VERDICT, given.values(), strict=True):
        names[place] = as_word(name).strip("`'\". ")
        if names[place] not in DECODER_FAULTS:
            raise NotYet(f"{place!r} is {brief(name)}, which is not in the table: take one of {', '.join(DECODER_FAULTS)}.")
    guilty, harmless = names.values()
    if guilty != PATIENT:
        raise NotYet(f"were it {guilty!r}, {_WOULD_SHOW[guilty]}")
    if harmless != _VERDICT["harmless"]:
        raise NotYet(
            f"{harmless!r} is not harmless: it changes what a layer makes of a text. One of the six leaves every distance as it was."
        )
    return "Right at place 0, where nothing is turned; wrong from place 1 on, where every pair should be."


# A small change of a large matrix


def adapter_backward(dy, x, weight, a, b, scale):
    """Reference: two roads back to x, and a gradient for each of the two small matrices."""
    through_b = scale * (dy @ b.T)
    d_a = x.T @ through_b
    d_b = scale * (x @ a).T @ dy
    return dy @ weight.T + through_b @ a.T, d_a, d_b


_ADAPTER = ("dx", "d_a", "d_b")


def random_adapter(generator, n, wide, rank, narrow):
    """Arguments of `adapter_backward`: n rows from `wide` columns to `narrow`, by way of `rank`."""
    draw = generator.standard_normal
    scale = float(generator.choice([0.5, 2.0, 4.0]))
    return draw((n, narrow)), draw((n, wide)), draw((wide, narrow)), draw((wide, rank)), draw((rank, narrow)), scale


def examine_adapter_backward(answer):
    """Against sums over single entries; a square case comes first, so that a wrong transpose fits its shape."""
    generator = np.random.default_rng(36)

    def look(*sizes):
        given = random_adapter(generator, *sizes)
        right = _entry_by_entry(*given)
        results = several_of(call(answer, *given), 3, _ADAPTER)
        found = [array(one, r.shape, name, GRADIENT_SHAPE) for one, r, name in zip(results, right, _ADAPTER, strict=True)]
        return worst_of(_ADAPTER, found, right), found, right, _adapter_slips(*given, right)

    told_apart(look, ((4, 4, 4, 4), (5, 4, 2, 3), (2, 3, 1, 6), (1, 5, 3, 2), (7, 2, 2, 2)), same_results, BACKWARDS)


def _entry_by_entry(dy, x, weight, a, b, scale):
    """y[t, k] = x[t, i] (W[i, k] + scale a[i, r] b[r, k]), summed over i and r; each gradient by its own sum."""
    dx = np.einsum("tk,ik->ti", dy, weight) + scale * np.einsum("tk,ir,rk->ti", dy, a, b)
    return dx, scale * np.einsum("tk,ti,rk->ir", dy, x, b), scale * np.einsum("tk,ti,ir->rk", dy, x, a)


def _adapter_slips(dy, x, weight, a, b, scale, right):
    """What one gets by plausible mistakes; None stands for the right one of the three."""
    dx, d_a, d_b = right
    frozen, small = dy @ weight.T, dx - dy @ weight.T
    slips = {
        "dx comes back by one road only, through the frozen matrix; the adapter read x as well.": [frozen, None, None],
        "dx comes back through the adapter only. The frozen matrix gets no gradient, but it passes one on.": [small, None, None],
        "scale is missing in dx: the adapter's road was scaled.": [frozen + small / scale, None, None],
        "The frozen road is scaled, too, in dx; only the adapter's is.": [scale * frozen + small, None, None],
        "The two roads are subtracted; gradients that meet are added.": [frozen - small, None, None],
        "scale is missing in d_a.": [None, d_a / scale, None],
        "scale is missing in d_b.": [None, None, d_b / scale],
        "scale is missing in d_a and d_b: y holds scale times their product.": [None, d_a / scale, d_b / scale],
        "scale is missing everywhere: y holds scale times x A B.": [frozen + small / scale, d_a / scale, d_b / scale],
        "scale is alpha / r already, and you divide by r once more.": [
            frozen + small / a.shape[1],
            d_a / a.shape[1],
            d_b / a.shape[1],
        ],
        "scale stands twice in dx.": [frozen + scale * small, None, None],
        "scale stands twice in d_a.": [None, scale * d_a, None],
        "scale stands twice in d_b.": [None, None, scale * d_b],
        "You divide by scale; it was multiplied with.": [frozen + small / scale**2, d_a / scale**2, d_b / scale**2],
        "d_b is a mean over the rows; both small matrices served all rows, so they collect sums.": [None, None, d_b / len(x)],
        "d_a and d_b are means over the rows; gradients are sums here.": [None, d_a / len(x), d_b / len(x)],
        "d_a is 0; it is what came back through B, joined with x.": [None, 0 * d_a, None],
        "d_b is 0; it is what came in from x A, joined with dy.": [None, None, 0 * d_b],
        "d_a and d_b are 0. The matrix W is frozen; the two small ones are what learns.": [frozen, 0 * d_a, 0 * d_b],
        "You return zeros: did the work stay inside?": [0 * dx, 0 * d_a, 0 * d_b],
    }
    if a.shape[0] == a.shape[1] == b.shape[1] == len(x):  # all square: a transpose too many or too few fits
        slips |= {
            "d_a and d_b are exchanged: return dx, d_a, d_b.": [None, d_b, d_a],
            "d_a lacks a transpose: what went through B comes back through B.T.": [None, scale * x.T @ (dy @ b), None],
            "d_b lacks a transpose: its left factor is (x A).T.": [None, None, scale * (x @ a) @ dy],
            "d_a lacks a transpose: its left factor is x.T.": [None, scale * x @ (dy @ b.T), None],
            "d_a is transposed: a gradient has the shape of its matrix, (n_in, r).": [None, d_a.T, None],
            "d_b is transposed: a gradient has the shape of its matrix, (r, n_out).": [None, None, d_b.T],
            "dx lacks a transpose: what went through B comes back through B.T.": [frozen + scale * (dy @ b) @ a.T, None, None],
            "dx lacks a transpose: the frozen matrix is gone back through by W.T.": [dy @ weight + small, None, None],
        }
    return {reason: tuple(e if r is None else r for r, e in zip(results, right, strict=True)) for reason, results in slips.items()}


EXERCISES = {
    "23.1": Exercise(None, examine_bets, bet=True, form=numbers_by_name(TOUCHED, ADMITTED)),
    "23.2": Exercise(read_block, examine_read_block, form=as_array),
    "23.3": Exercise(attend, examine_attend, form=attend_form),
    "23.4": Exercise(as_text, examine_as_text, form=str),
    "23.5": Exercise(_VERDICT, examine_verdict, only_one=True),
    "23.6": Exercise(adapter_backward, examine_adapter_backward, form=several(as_array, as_array, as_array)),
}
