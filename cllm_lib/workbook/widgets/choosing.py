"""How a chat model chose each token of an answer: its probability, and those of the tokens that came next."""

from dataclasses import dataclass
from html import escape

import numpy as np

from cllm_lib.model.generation import draw, next_token_probabilities
from cllm_lib.pretrained.quick import quick_decoder_forward
from cllm_lib.workbook.widgets.svg import MARK, SHADE, svg, text

AT_ONCE = 64  # tokens of a prompt: about as long as three of an answer, and STOP waits no longer
RUNNERS_UP = 5
ROW, NAMES, BARS, WIDTH = 22, 150, 210, 440  # pixels
END_SHOWN = "(end)"
DARKEST = 0.6  # of SHADE behind a token


@dataclass(frozen=True)
class Chosen:
    """One token, and what else it could have been.

    Attributes
    ----------
    token : int
    probability : float
        As the model gave it, before temperature and top-p.
    runners_up : tuple of (int, float)
        The likeliest other tokens, the likeliest first.
    drawn_from : int
        How many tokens temperature and top-p left a chance.
    """

    token: int
    probability: float
    runners_up: tuple
    drawn_from: int


def choices(model, ids, temperature=0.0, top_p=None, seed=0, cache=None):
    """Continue a prompt token by token, with what each was chosen from.

    Parameters
    ----------
    model : ChatModel
    ids : ndarray of int64, shape (T,)
        As `model.prompt(messages)` gives them.
    temperature, top_p, seed, cache
        As for :meth:`~cllm_lib.pretrained.chat.ChatModel.stream`.

    Yields
    ------
    Chosen or None
        None after each part of the prompt but the last, so that a caller can look about. The end token comes like others; who calls
        stops there. It ends by itself where the model can read no more.
    """
    uniform = np.random.default_rng(seed).random
    cache = model.cache() if cache is None else cache
    new = cache.keep(ids)
    while len(new) > AT_ONCE:
        quick_decoder_forward(new[:AT_ONCE], model.parameters, model.config, cache)
        new = new[AT_ONCE:]
        yield None
    while True:
        hidden = quick_decoder_forward(new, model.parameters, model.config, cache)[-1:]
        logits = (hidden @ model.parameters["output_weight"])[0]
        chances = next_token_probabilities(logits, temperature, None, top_p)
        token = draw(chances, uniform())
        yield _chosen(token, next_token_probabilities(logits), np.count_nonzero(chances))
        if cache.length == model.config.seq_len:
            return
        new = np.array([token], dtype=np.int64)


def _chosen(token, probabilities, drawn_from):
    best = np.argpartition(-probabilities, RUNNERS_UP)[: RUNNERS_UP + 1]
    best = [int(i) for i in best[np.lexsort((best, -probabilities[best]))] if i != token][:RUNNERS_UP]
    return Chosen(token, float(probabilities[token]), tuple((i, float(probabilities[i])) for i in best), int(drawn_from))


def visible_token(model, token, end=None):
    """A token as one can see it: a space as an open box, a line break as a bent arrow, and parts of characters as they are stored."""
    if token == end:
        return END_SHOWN
    words = model.tokenizer.vocabulary[token].decode("utf-8", "backslashreplace")
    return "".join({" ": "␣", "\n": "⏎", "\t": "⇥"}.get(letter, letter if letter.isprintable() else "\ufffd") for letter in words)


def runners_svg(model, chosen, place, count, end=None):
    """A token and its five runners-up as bars, with their probabilities in words for who cannot see them.

    Parameters
    ----------
    model : ChatModel
    chosen : Chosen
    place, count : int
        The token's number in the answer, from 1, and how many there are.
    end : int, optional
        The token that ends an answer.

    Returns
    -------
    str
    """
    rows = [(chosen.token, chosen.probability), *chosen.runners_up]
    names = [visible_token(model, token, end) for token, _ in rows]
    others = ", ".join(f"{name} {probability:.2f}" for name, (_, probability) in zip(names[1:], rows[1:], strict=True))
    elements = []
    for i, (name, (_, probability)) in enumerate(zip(names, rows, strict=True)):
        y, width = 4 + i * ROW, max(1.0, BARS * probability)
        frame = f'stroke="{MARK}" stroke-width="2.5"' if i == 0 else 'stroke="none"'
        name = name if len(name) <= 16 else f"{name[:15]}…"
        elements += [
            text(NAMES - 8, y + 14, name, "end"),
            f'<rect x="{NAMES}" y="{y}" width="{width:.1f}" height="{ROW - 6}" fill="{SHADE}" {frame}/>',
            text(NAMES + width + 8, y + 14, f"{probability:.2f}" + (" chosen" if i == 0 else "")),
        ]
    label = f"Token {place} of {count}: {names[0]}, probability {chosen.probability:.2f}. Runners-up: {others}"
    return svg(label, WIDTH, 8 + ROW * len(rows), *elements)


def tokens_html(model, answer, on_show, end=None):
    """The tokens of an answer in their order, each with as much shade behind it as it was likely; that on show is framed.

    Parameters
    ----------
    model : ChatModel
    answer : sequence of Chosen
    on_show : int
        Its place, from 0.
    end : int, optional

    Returns
    -------
    str
    """
    boxes = []
    for i, one in enumerate(answer):
        shade = f"color-mix(in srgb, {SHADE} {DARKEST * one.probability:.0%}, transparent)"
        frame = MARK if i == on_show else "transparent"
        boxes.append(
            f'<span style="display:inline-block; line-height:1.3; margin:1px 0; padding:0 2px; border-radius:3px; white-space:pre; '
            f'background:{shade}; border:2px solid {frame}">{escape(visible_token(model, one.token, end))}</span>'
        )
    return f'<div style="max-width:640px">{"".join(boxes)}</div>'
