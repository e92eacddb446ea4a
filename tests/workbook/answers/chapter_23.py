"""Answers for chapter 23: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import re
import struct

import numpy as np
from workbook.answers.common import broken_arrays, raises, returns

# 23.2


def halves(block):
    return block[4:] & 15, block[4:] >> 4


def numbers(block):
    return block[:4].view("<f2").astype(np.float32)


def read_with(order=lambda low, high: np.concatenate([low, high]), weigh=lambda q, scale, offset: scale * q + offset, two=numbers):
    """read_block with one decision replaced."""

    def read(block):
        scale, offset = two(block)
        return weigh(order(*halves(block)), scale, offset)

    return read


def read_with_struct(block):
    scale, offset = struct.unpack("<ee", bytes(block[:4]))
    low = [byte % 16 for byte in block[4:].tolist()]
    high = [byte // 16 for byte in block[4:].tolist()]
    return [scale * q + offset for q in low + high]


def read_by_bits(block):
    bits = np.unpackbits(block[4:], bitorder="little").reshape(16, 2, 4)
    q = bits @ np.array([1, 2, 4, 8], dtype=np.int64)
    scale, offset = np.frombuffer(block.tobytes()[:4], "<f2").astype(np.float64)
    return q.T.ravel() * scale + offset


def read_by_divmod(block):
    high, low = np.divmod(block[4:], 16)
    scale, offset = numbers(block)
    return np.stack([low, high]).reshape(32) * scale + offset


def read_by_digits(block):
    """Each half of a byte is a digit to the base 16."""
    scale, offset = map(float, block[:4].view("<f2"))
    digits = block[4:].tobytes().hex()
    return (int(digit, 16) * scale + offset for digit in digits[1::2] + digits[::2])


def by_turns(low, high):
    return np.stack([low, high], axis=1).ravel()


def in_place(block):
    result = read_with()(block)
    block[4:] >>= 4
    return result


# 23.3


def turned(rows, places, base, halves=False):
    half = rows.shape[-1] // 2
    angles = places[:, None] * base ** (-np.arange(half, dtype=np.int64) / half)
    first, second = (rows[..., :half], rows[..., half:]) if halves else (rows[..., ::2], rows[..., 1::2])
    both = first * np.cos(angles) - second * np.sin(angles), first * np.sin(angles) + second * np.cos(angles)
    return np.concatenate(both, axis=-1) if halves else np.stack(both, axis=-1).reshape(rows.shape)


def in_heads(rows, n_heads):
    return rows.reshape(*rows.shape[:2], n_heads, -1).transpose(0, 2, 1, 3)


def looked_up(query, key, value, tile=False, sees=None):
    group = query.shape[1] // key.shape[1]
    key, value = (np.tile(one, (1, group, 1, 1)) if tile else np.repeat(one, group, axis=1) for one in (key, value))
    scores = query @ key.swapaxes(-1, -2) / query.shape[-1] ** 0.5
    sees = scores.shape[-1] - scores.shape[-2] if sees is None else sees
    hidden = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1 + sees)
    weights = np.exp(np.where(hidden, -np.inf, scores - scores.max(axis=-1, keepdims=True)))
    return weights / weights.sum(axis=-1, keepdims=True) @ value


def attending(
    places=lambda seen, new: np.arange(seen, seen + new, dtype=np.int64),
    base=lambda config: config.rope_base,
    turn=("query", "key"),
    halves=False,
    tile=False,
    output=True,
    keep=lambda old, new: np.concatenate([old, new], axis=2),
    pack=lambda rows, key, value: (rows, (key, value)),
    sees=None,
):
    """Attend with one decision replaced; `sees` is how many keys the first new token sees beside its own, of seen and new ones."""

    def attend(x, weights, config, past):
        found = {}
        for name, count in (("query", config.n_heads), ("key", config.n_kv_heads), ("value", config.n_kv_heads)):
            found[name] = in_heads(x @ weights[f"{name}_weight"], count)
            if name in turn:
                found[name] = turned(found[name], places(past[0].shape[2], x.shape[1]), base(config), halves)
        key, value = keep(past[0], found["key"]), keep(past[1], found["value"])
        first = None if sees is None else sees(past[0].shape[2], x.shape[1])
        rows = looked_up(found["query"], key, value, tile, first).transpose(0, 2, 1, 3).reshape(x.shape)
        return pack(rows @ weights["output_weight"] if output else rows, key, value)

    return attend


def turned_again(x, weights, config, past):
    """All keys turned, those of before a second time."""
    seen, new = past[0].shape[2], x.shape[1]
    key = np.concatenate([past[0], in_heads(x @ weights["key_weight"], config.n_kv_heads)], axis=2)
    key = turned(key, np.arange(seen + new, dtype=np.int64), config.rope_base)
    return attending(keep=lambda old, fresh: key if old is past[0] else np.concatenate([old, fresh], axis=2))(x, weights, config, past)


def turned_whole(x, weights, config, past):
    """Rows turned before they are cut into heads."""
    places = past[0].shape[2] + np.arange(x.shape[1], dtype=np.int64)
    query, key = (turned(x @ weights[f"{name}_weight"], places, config.rope_base) for name in ("query", "key"))
    key = np.concatenate([past[0], in_heads(key, config.n_kv_heads)], axis=2)
    value = np.concatenate([past[1], in_heads(x @ weights["value_weight"], config.n_kv_heads)], axis=2)
    rows = looked_up(in_heads(query, config.n_heads), key, value).transpose(0, 2, 1, 3).reshape(x.shape)
    return rows @ weights["output_weight"], (key, value)


def token_by_token(x, weights, config, past):
    rows = []
    for t in range(x.shape[1]):
        row, past = attending()(x[:, t : t + 1], weights, config, past)
        rows.append(row)
    return [np.concatenate(rows, axis=1), list(past)]


def in_float32(x, weights, config, past):
    rows, (key, value) = attending()(x, weights, config, past)
    return rows.astype(np.float32), np.stack([key, value]).astype(np.float32)


def with_what_was_there(x, weights, config, past):
    rows, kept = attending()(x, weights, config, past)
    return x + rows, kept


def from_one_product(x, weights, config, past):
    """Queries, keys and values in one matrix, and the output added up head by head."""
    width, n_heads = x.shape[2] // config.n_heads, config.n_heads
    product = x @ np.hstack([weights[f"{name}_weight"] for name in ("query", "key", "value")])
    heads = in_heads(product, product.shape[2] // width)
    query, key, value = heads[:, :n_heads], heads[:, n_heads : n_heads + config.n_kv_heads], heads[:, n_heads + config.n_kv_heads :]
    places = past[0].shape[2] + np.arange(x.shape[1], dtype=np.int64)
    key = np.append(past[0], turned(key, places, config.rope_base), axis=2)
    value = np.append(past[1], value, axis=2)
    looked = looked_up(turned(query, places, config.rope_base), key, value)
    return sum(looked[:, h] @ weights["output_weight"][h * width : (h + 1) * width] for h in range(n_heads)), (key, value)


def attend_in_place(x, weights, config, past):
    result = attending()(x, weights, config, past)
    x += 1
    return result


# 23.4


def written(begin="<|im_start|>", middle="\n", end="<|im_end|>\n", last="<|im_start|>assistant\n", first=None, clean=str):
    """as_text with a part of the frame replaced."""

    def as_text(messages, system):
        told = [("system", system)] if messages[0]["role"] != "system" else []
        pairs = (first or (lambda told, said: told + said))(told, [(one["role"], one["content"]) for one in messages])
        return "".join(begin + role + middle + clean(content) + end for role, content in pairs) + last

    return as_text


def by_format(messages, system):
    frame = "<|im_start|>{role}\n{content}<|im_end|>\n"
    rows = [] if messages[0]["role"] == "system" else [frame.format(role="system", content=system)]
    for one in messages:
        rows.append(frame.format(**one))
    return "".join([*rows, "<|im_start|>assistant\n"])


def always_told(messages, system):
    return written()([{"role": "user", "content": ""}, *messages], system).replace("<|im_start|>user\n<|im_end|>\n", "", 1)


def framed(pairs):
    return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in pairs)


def chosen(choose, head="<|im_start|>assistant\n"):
    """as_text of other messages than it was given: what `choose` makes of them, as pairs, and of what the system says."""
    return lambda messages, system: framed(choose([(one["role"], one["content"]) for one in messages], ("system", system))) + head


def told(said, first):
    return said if said[0][0] == "system" else [first, *said]


def returns_early(messages, system):
    for role, content in told([(one["role"], one["content"]) for one in messages], ("system", system)):
        return framed([(role, content)]) + "<|im_start|>assistant\n"


def head_behind_each(messages, system):
    return "".join(
        framed([one]) + "<|im_start|>assistant\n" for one in told([(m["role"], m["content"]) for m in messages], ("system", system))
    )


def by_join(messages, system):
    """What stands between two messages joins them."""
    pairs = told([(one["role"], one["content"]) for one in messages], ("system", system))
    return "<|im_start|>" + "<|im_end|>\n<|im_start|>".join([*map("\n".join, pairs), "assistant\n"])


def by_recursion(messages, system):
    if not messages:
        return "<|im_start|>assistant\n"
    first, *others = messages if system is None or messages[0]["role"] == "system" else [{"role": "system", "content": system}, *messages]
    return framed([(first["role"], first["content"])]) + by_recursion(others, None)


def puts_in(messages, system):
    messages.insert(0, {"role": "system", "content": system})
    return written()(messages, system)


# 23.6


def forward(x, weight, a, b, scale):
    return x @ weight + scale * (x @ a) @ b


def backwards(dx=None, d_a=None, d_b=None):
    """adapter_backward with one of the three replaced."""

    def backward(dy, x, weight, a, b, scale):
        given = (dy, x, weight, a, b, scale)
        right = dy @ weight.T + scale * dy @ b.T @ a.T, scale * x.T @ dy @ b.T, scale * a.T @ x.T @ dy
        return tuple(wrong(*given) if wrong else one for wrong, one in zip((dx, d_a, d_b), right, strict=True))

    return backward


def through_the_product(dy, x, weight, a, b, scale):
    """By the gradient of the one large matrix, which LoRA never makes."""
    whole = x.T @ dy
    return [dy @ (weight + scale * a @ b).T, scale * whole @ b.T, (scale * a.T @ whole).tolist()]


def by_einsum(dy, x, weight, a, b, scale):
    dx = np.einsum("tk,ik->ti", dy, weight + scale * np.einsum("ir,rk->ik", a, b))
    return dx, scale * np.einsum("ti,tk,rk->ir", x, dy, b), scale * np.einsum("ti,ir,tk->rk", x, a, dy)


def row_by_row(dy, x, weight, a, b, scale):
    """Rows one after the other, as if each came alone, added up."""
    d_a, d_b, dx = np.zeros_like(a), np.zeros_like(b), []
    for row, upstream in zip(x, dy, strict=True):
        through_b = scale * b @ upstream
        d_a += np.outer(row, through_b)
        d_b += np.outer(row @ a, scale * upstream)
        dx.append(weight @ upstream + a @ through_b)
    yield from (dx, d_a, d_b)


def adapter_in_place(dy, x, weight, a, b, scale):
    dy *= scale
    return backwards()(dy, x, weight, a, b, 1.0)


WRONG = {
    "23.1": [
        ({"millions touched": 500, "admitted": 2}, "500 millions are touched"),
        ({"millions touched": 10, "admitted": 5}, "5 of 4 questions"),
        ({"millions touched": 10, "admitted": 1.5}, "1.5 of 4 questions"),
        ({"millions touched": 10}, "still open: 'admitted'"),
        ({"millions touched": "all", "admitted": 1}, "a number was asked for"),
        ({"millions touched": -3, "admitted": 1}, "-3 millions are touched"),
        (134.5, "of type float; a dictionary"),
        (None, "of type NoneType; a dictionary"),
    ],
    "23.2": [
        (read_with(order=by_turns), "low, high, low, high"),
        (read_with(order=lambda low, high: np.concatenate([high, low])), "The high halves come first"),
        (read_with(weigh=lambda q, scale, offset: scale * q), "The offset is missing"),
        (read_with(order=lambda low, high: by_turns(high, low)), "go high, low"),
        (read_with(order=lambda low, high: np.concatenate([low, 16 * high.astype(np.int64)])), "not shifted down"),
        (read_with(weigh=lambda q, scale, offset: q + offset), "The scale is missing"),
        (read_with(weigh=lambda q, scale, offset: q), "the whole numbers q"),
        (read_with(weigh=lambda q, scale, offset: scale * (q.astype(float) - 8) + offset), "from -8 to 7"),
        (read_with(weigh=lambda q, scale, offset: scale * q - offset), "The offset is taken away"),
        (read_with(two=lambda block: numbers(block)[::-1]), "changed places"),
        (read_with(weigh=lambda q, scale, offset: scale * (q + offset)), "The offset is scaled"),
        (read_with(two=lambda block: block[:4].view("<f2")), "computed in 16 bits"),
        (read_with(two=lambda block: block[:4].view(">f2").astype(np.float32)), "The low byte comes first|NaN"),
        (read_with(order=lambda low, high: np.concatenate([low, low])), "The low halves are there twice"),
        (read_with(order=lambda low, high: np.concatenate([high, high])), "The high halves are there twice"),
        (read_with(order=lambda low, high: np.concatenate([low, high])[::-1]), "come last to first"),
        (read_with(weigh=lambda q, scale, offset: scale * np.where(q > 7, q - 16.0, q) + offset), "from -8 to 7"),
        (read_with(weigh=lambda q, scale, offset: scale * (q + 1.0) + offset), "from 1 to 16"),
        (read_with(weigh=lambda q, scale, offset: scale * (q - offset)), "The offset is taken away"),
        (read_with(two=lambda block: block[:4].view("<i2").astype(float)), "read as whole numbers"),
        (read_with(two=lambda block: block[:2].astype(float)), "Bytes 0 and 1 are taken for two numbers"),
        (lambda block: read_with()(block).astype(np.float16), "computed in 16 bits"),
        (lambda block: read_with()(block).astype(np.int64), "Do not round"),
        (lambda block: block[4:], r"has shape \(16,\)"),
        (lambda block: block[4:] & 15, r"has shape \(16,\)"),
        (in_place, "changed its input"),
        *broken_arrays((32,)),
    ],
    "23.3": [
        (attending(base=lambda config: 10_000.0), "The base is left out"),
        (attending(base=lambda config: 100_000.0), "The base is typed in"),
        (attending(keep=lambda old, new: np.concatenate([new, old], axis=2)), "The new keys stand before"),
        (turned_whole, "before they are cut into heads"),
        (attending(places=lambda seen, new: np.arange(new, dtype=np.int64)), "Places begin at 0 each time"),
        (attending(turn=()), "Nothing is turned"),
        (attending(turn=("query",)), "The keys are not turned"),
        (attending(turn=("key",)), "The queries are not turned"),
        (attending(turn=("query", "key", "value")), "The values are turned as well"),
        (attending(halves=True), "You turn halves"),
        (attending(tile=True), "Your heads of keys go round"),
        (attending(output=False), "The output matrix is missing"),
        (attending(places=lambda seen, new: np.arange(seen + 1, seen + new + 1, dtype=np.int64)), "You count places from 1"),
        (turned_again, "turned a second time"),
        (attending(sees=lambda seen, new: seen + new), "sees those ahead of it"),
        (attending(sees=lambda seen, new: 0), "Your mask gives the first new token one key"),
        (with_what_was_there, "x is in your rows already"),
        (attending(pack=lambda rows, key, value: (rows, (value, key))), "keys first, then values"),
        (attending(pack=lambda rows, key, value: rows), "one array|2 things"),
        (attending(pack=lambda rows, key, value: (rows, key[0, 0])), r"one array, of shape|2 things"),
        (attending(pack=lambda rows, key, value: (rows, (key[:, :, -1:], value))), r"keys has shape"),
        (attending(pack=lambda rows, key, value: (rows, key, value)), "it returned 3 things; 2 were asked for"),
        (attend_in_place, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "23.4": [
        (written(last=""), "The head of the answer is missing"),
        (written(last="<|im_start|>assistant"), "after the last word, assistant, is missing"),
        (written(first=lambda told, said: said), "The system's message is missing"),
        (written(end="<|im_end|>"), "A line break is missing after each"),
        (written(middle=""), "A line break is missing between role and content"),
        (written(middle=": "), "no space or colon"),
        (written(end="\n"), "The end of each message is not marked"),
        (written(end="\n<|im_end|>\n"), "A line break too many"),
        (written(last="<|im_start|>assistant\n<|im_end|>\n"), "closed before it began"),
        (always_told, "two system messages"),
        (written(clean=str.strip), "lost the spaces"),
        (written(first=lambda told, said: told + (said[:1] if said[0][0] == "system" else []) + said[-1:]), "Only the last message"),
        (written(begin="<im_start>"), "comes 'im_start>"),
        (written(end="<|im_end|>\n\n"), "A line break too many comes after"),
        (written(middle="\n\n"), "A line break too many stands between role and content"),
        (written(end="\n<|im_end|>"), "The line break stands before"),
        (written(middle="\\n", end="<|im_end|>\\n", last="<|im_start|>assistant\\n"), "a backslash and an n"),
        (
            lambda messages, system: re.sub("(?<=start[|]>)(user|system|assistant)\n(?=.)", "", written()(messages, system)),
            "The role is missing",
        ),
        (chosen(lambda said, first: said if said[0][0] == "system" else [*said, first]), "The system's message comes last"),
        (chosen(lambda said, first: [first, *(one for one in said if one[0] != "system")]), "own system message is gone"),
        (
            lambda messages, system: written()(messages, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
            "the same whatever",
        ),
        (lambda messages, system: written()(messages, "system"), "the same whatever"),
        (chosen(lambda said, first: said[-1:]), "Only the last message"),
        (returns_early, "Does `return` stand inside the loop"),
        (chosen(lambda said, first: [one for one in told(said, first) if one[0] != "assistant"]), "What the assistant said is left out"),
        (chosen(lambda said, first: [one for one in told(said, first) if one[1]]), "An empty message was left out"),
        (head_behind_each, "stands behind every message"),
        (lambda messages, system: [written()(messages, system)], "of type list; one text"),
        (lambda messages, system: written()(messages, system).encode(), "of type bytes; one text"),
        (puts_in, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "23.5": [
        ({"guilty": "base", "harmless": "start"}, "the second token would be nearly right"),
        ({"guilty": "start", "harmless": "pairs"}, "nothing would be wrong anywhere"),
        ({"guilty": "heads", "harmless": "start"}, "another head's value"),
        ({"guilty": "gains", "harmless": "start"}, "norms are taken at place 0"),
        ({"guilty": "gate", "harmless": "start"}, "it goes through the gate"),
        ({"guilty": "pairs", "harmless": "base"}, "'base' is not harmless"),
        ({"guilty": "pairs", "harmless": "pairs"}, "'pairs' is not harmless"),
        ({"guilty": "rotary", "harmless": "start"}, "'guilty' is 'rotary', which is not in the table"),
        ({"guilty": "pairs", "harmless": None}, "'harmless' is None, which is not in the table"),
        ({"guilty": "pairs"}, "still open: HARMLESS"),
        ("pairs", "of type str; a dictionary"),
        (None, "of type NoneType; a dictionary"),
    ],
    "23.6": [
        (backwards(dx=lambda dy, x, w, a, b, s: dy @ w.T), "through the frozen matrix"),
        (backwards(d_a=lambda dy, x, w, a, b, s: x.T @ dy @ b.T), "scale is missing in d_a"),
        (backwards(d_b=lambda dy, x, w, a, b, s: (x @ a).T @ dy), "scale is missing in d_b"),
        (backwards(dx=lambda dy, x, w, a, b, s: s * dy @ b.T @ a.T), "through the adapter only"),
        (backwards(dx=lambda dy, x, w, a, b, s: dy @ w.T + dy @ b.T @ a.T), "scale is missing in dx"),
        (backwards(dx=lambda dy, x, w, a, b, s: s * (dy @ w.T + dy @ b.T @ a.T)), "The frozen road is scaled"),
        (backwards(dx=lambda dy, x, w, a, b, s: dy @ w.T - s * dy @ b.T @ a.T), "gradients that meet are added"),
        (lambda dy, x, w, a, b, s: (*backwards()(dy, x, w, a, b, s)[1:], 0), "has shape"),
        (lambda dy, x, w, a, b, s: backwards()(dy, x, w, a, b, 1.0), "scale is missing everywhere"),
        (backwards(d_a=lambda dy, x, w, a, b, s: s * s * x.T @ dy @ b.T), "scale stands twice in d_a"),
        (backwards(d_b=lambda dy, x, w, a, b, s: s * s * (x @ a).T @ dy), "scale stands twice in d_b"),
        (lambda dy, x, w, a, b, s: backwards()(dy, x, w, a, b, s / a.shape[1]), "you divide by r once more"),
        (backwards(dx=lambda dy, x, w, a, b, s: dy @ w.T + s * s * dy @ b.T @ a.T), "scale stands twice in dx"),
        (backwards(d_a=lambda dy, x, w, a, b, s: 0 * a), "d_a is 0"),
        (backwards(d_b=lambda dy, x, w, a, b, s: 0 * b), "d_b is 0"),
        (lambda dy, x, w, a, b, s: (dy @ w.T, 0 * a, 0 * b), "the two small ones are what learns"),
        (backwards(d_a=lambda dy, x, w, a, b, s: s * (dy @ b.T).T @ x), "d_a is transposed"),
        (backwards(d_b=lambda dy, x, w, a, b, s: s * dy.T @ (x @ a)), "d_b is transposed"),
        (backwards(dx=lambda dy, x, w, a, b, s: dy @ w.T + s * (dy @ b) @ a.T), "dx lacks a transpose|it raised"),
        (backwards(d_b=lambda dy, x, w, a, b, s: s * (x @ a).T @ dy / len(x)), "d_b is a mean over the rows"),
        (backwards(d_a=lambda dy, x, w, a, b, s: s * x.T @ (dy @ b)), "d_a lacks a transpose|it raised"),
        (backwards(d_a=lambda dy, x, w, a, b, s: x.T @ dy), r"d_a"),
        (lambda dy, x, w, a, b, s: tuple(0 * one for one in backwards()(dy, x, w, a, b, s)), "return zeros"),
        (lambda dy, x, w, a, b, s: {"dx": x, "d_a": a, "d_b": b}, "a dictionary; the notebook unpacks 3"),
        (lambda dy, x, w, a, b, s: backwards()(dy, x, w, a, b, s)[1:], "it returned 2 things; 3 were asked for"),
        (adapter_in_place, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
}

RIGHT = {
    "23.1": [
        {"millions touched": 134.5, "admitted": 0},
        {"Millions touched": "107", "ADMITTED": "4"},
        [("millions touched", np.float64(20)), ("admitted", np.array([2.0]))],
        {"admitted": 1, "millions touched": 0},
    ],
    "23.2": [
        read_with(),
        read_with_struct,
        read_by_bits,
        read_by_divmod,
        read_by_digits,
        lambda block: read_with_struct(list(block) and block),
    ],
    "23.3": [
        attending(),
        token_by_token,
        in_float32,
        from_one_product,
        attending(pack=lambda rows, key, value: [rows.tolist(), [key, value]]),
    ],
    "23.4": [written(), by_format, by_join, by_recursion, lambda messages, system: np.str_(written()(messages, system))],
    "23.5": [
        {"guilty": "pairs", "harmless": "start"},
        {"Harmless": "START", "Guilty": " `pairs` "},
        [("guilty", "Pairs."), ("harmless", "start")],
    ],
    "23.6": [
        backwards(),
        through_the_product,
        by_einsum,
        row_by_row,
        lambda *given: [one.astype(np.float32) for one in backwards()(*given)],
    ],
}

TYPED_WRONG = {
    "23.1": 'my_bets = {"millions touched": 1000, "admitted": 2}',
    "23.2": 'def read_block(block):\n    return block[:4].view("<f2")[0] * np.arange(32)',
    "23.3": 'def attend(x, weights, config, past):\n    return x @ weights["query_weight"], past',
    "23.4": 'def as_text(messages, system):\n    return "\\n".join(one["content"] for one in messages)',
    "23.5": 'verdict = {"guilty": "base", "harmless": "start"}',
    "23.6": "def adapter_backward(dy, x, weight, a, b, scale):\n    return dy @ weight.T, x.T @ dy, dy",
}
