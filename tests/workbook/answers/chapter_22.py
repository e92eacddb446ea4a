"""Answers for chapter 22: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
from workbook.answers.common import broken_arrays, raises, returns

# 22.2


def normalised(x, eps):
    inverse = (np.mean(x**2, -1, keepdims=True) + eps) ** -0.5
    return x * inverse, inverse


def collected(rows):
    return rows.sum(axis=tuple(range(rows.ndim - 1)))


def norm_with(dx=None, d_gain=None):
    """rms_norm_backward with one of the two replaced."""

    def backward(dy, x, gain, eps):
        n, inverse = normalised(x, eps)
        d = dy * gain
        right = (d - n * np.mean(d * n, -1, keepdims=True)) * inverse
        return (dx(d, n, inverse, dy, x) if dx else right), (d_gain(d, n, inverse, dy, x) if d_gain else collected(dy * n))

    return backward


def mean(values):
    return values.mean(-1, keepdims=True)


def norm_by_jacobian(dy, x, gain, eps):
    n, inverse = normalised(x, eps)
    jacobian = inverse[..., None] * (np.eye(x.shape[-1]) - n[..., :, None] * n[..., None, :] / x.shape[-1])
    return np.einsum("...j,...ji->...i", dy * gain, jacobian), collected(dy * n)


def norm_in_loops(dy, x, gain, eps):
    dx, d_gain = np.empty(x.shape), np.zeros(len(gain))
    for row in np.ndindex(x.shape[:-1]):
        r = np.sqrt(x[row] @ x[row] / len(gain) + eps)
        n, d = x[row] / r, dy[row] * gain
        dx[row] = (d - n * (d @ n) / len(n)) / r
        d_gain += dy[row] * n
    return [dx, d_gain.tolist()]


def without_eps(dy, x, gain, eps):
    return norm_with()(dy, x, gain, 0.0)


def norm_in_place(dy, x, gain, eps):
    dy *= gain
    return norm_with()(dy, x, np.ones(len(gain)), eps)


def exchanged(dy, x, gain, eps):
    return norm_with()(dy, x, gain, eps)[::-1]


def of_the_whole(dy, x, gain, eps):
    inverse = (np.mean(x**2) + eps) ** -0.5
    n, d = x * inverse, dy * gain
    return (d - n * mean(d * n)) * inverse, collected(dy * n)


def given_by(root, centre=False):
    """rms_norm_backward that divides by another root, of x as it came or of x without its mean."""

    def backward(dy, x, gain, eps):
        x = x - mean(x) if centre else x
        n, d = x / root(x, eps), dy * gain
        return (d - n * mean(d * n)) / root(x, eps), collected(dy * n)

    return backward


def of_layer_norm(dy, x, gain, eps):
    """The backward pass of chapter 05 as it stands, but for the bias."""
    centred = x - mean(x)
    inverse = (mean(centred**2) + eps) ** -0.5
    n, d = centred * inverse, dy * gain
    return (d - mean(d) - n * mean(d * n)) * inverse, collected(dy * n)


def without_keepdims(dy, x, gain, eps):
    inverse = ((x * x).mean(-1) + eps) ** -0.5
    n, d = x * inverse, dy * gain
    return (d - n * (d * n).mean(-1)) * inverse, collected(dy * n)


def by_length(dy, x, gain, eps):
    length = np.sqrt((x * x).sum(-1, keepdims=True) + eps)
    n, d = x / length, dy * gain
    return (d - n * (d * n).sum(-1, keepdims=True)) / length, collected(dy * n)


def norm_by_recursion(dy, x, gain, eps):
    if x.ndim > 1:
        rows = [norm_by_recursion(*both, gain, eps) for both in zip(dy, x, strict=True)]
        return np.array([dx for dx, _ in rows]), sum(d_gain for _, d_gain in rows)
    r = float(x @ x / len(x) + eps) ** 0.5
    return (dy * gain - x * (dy * gain @ x) / len(x) / r**2) / r, dy * x / r


def norm_one_by_one(dy, x, gain, eps):
    yield from norm_with()(dy, x, gain, eps)


def norm_by_imaginary_steps(dy, x, gain, eps):
    """A step so small that it squares to nothing, along i: its slope has no rounding."""

    def slopes(at, function):
        steps = 1e-30j * np.eye(at.size).reshape(-1, *at.shape)
        return np.array([function(at + step).imag / 1e-30 for step in steps]).reshape(at.shape)

    def total(x, gain):
        return (dy * x / np.sqrt(mean(x * x) + eps) * gain).sum()

    return slopes(x, lambda at: total(at, gain)), slopes(gain, lambda at: total(x, at))


# 22.3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gate_with(slope=lambda s, x: s + x * s * (1 - s), passed=lambda s, x: x * s):
    """gate_backward with its slope or what passes replaced."""
    return lambda d, gate, up: (d * up * slope(sigmoid(gate), gate), d * passed(sigmoid(gate), gate))


def gate_by_tanh(d_hidden, gate, up):
    s = (np.tanh(gate / 2) + 1) / 2
    return [d_hidden * up * s * (1 + gate * (1 - s)), d_hidden * gate * s]


def gate_by_logarithms(d_hidden, gate, up):
    s, rest = np.exp(-np.logaddexp(0, -gate)), np.exp(-np.logaddexp(0, gate))
    yield d_hidden * up * s * (1 + gate * rest)
    yield d_hidden * gate * s


def gate_without_overflow(d_hidden, gate, up):
    shut = np.exp(-np.abs(gate))
    s = np.where(gate >= 0, 1, shut) / (1 + shut)
    silu = gate * s
    return d_hidden * up * (silu + s * (1 - silu)), d_hidden * silu


def gate_in_place(d_hidden, gate, up):
    d_hidden *= up
    return d_hidden, d_hidden


# 22.4


def heads_by_index(x, n_heads):
    return x[:, np.arange(n_heads, dtype=np.int64) * x.shape[1] // n_heads]


def heads_by_broadcast(x, n_heads):
    batch, n_kv_heads, time, width = x.shape
    group = n_heads // n_kv_heads
    return np.broadcast_to(x[:, :, None], (batch, n_kv_heads, group, time, width)).reshape(batch, n_heads, time, width)


def heads_in_loops(x, n_heads):
    return [[rows[h // (n_heads // len(rows))].tolist() for h in range(n_heads)] for rows in x]


def heads_by_product(x, n_heads):
    return np.einsum("bgtd,gh->bhtd", x, np.repeat(np.eye(x.shape[1]), n_heads // x.shape[1], axis=1))


def heads_one_by_one(x, n_heads):
    return (np.repeat(heads, n_heads // len(heads), axis=0) for heads in x)


def first_alone(x, n_heads):
    shared = heads_by_index(x, n_heads)
    shared[:, np.arange(n_heads, dtype=np.int64) % (n_heads // x.shape[1]) > 0] = 0
    return shared


# 22.5


def order(width):
    return [2 * i for i in range(width // 2)] + [2 * i + 1 for i in range(width // 2)]


def order_by_recursion(width):
    if not width:
        return []
    shorter, half = order_by_recursion(width - 2), width // 2 - 1
    return [*shorter[:half], width - 2, *shorter[half:], width - 1]


# 22.6


def counted(words, times=lambda n: n):
    counts = Counter()
    for parts, n in words.items():
        for pair in pairwise(parts):
            counts[pair] = counts[pair] + times(n)
    return counts


def greatest(counts):
    return max(counts.items(), key=lambda entry: entry[::-1])[0]


def joined(parts, pair):
    parts, i = list(parts), 0
    while i < len(parts) - 1:
        if (parts[i], parts[i + 1]) == pair:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        i += 1
    return tuple(parts)


def merging(count=counted, choose=greatest, join=joined, pack=lambda best, words: (best, words)):
    """merge_once with one decision replaced."""

    def merge(words):
        best = choose(count(words))
        return pack(best, {join(parts, best): times for parts, times in words.items()})

    return merge


def once_a_word(words):
    counts = Counter()
    for parts, times in words.items():
        for pair in set(pairwise(parts)):
            counts[pair] += times
    return counts


def as_text(parts, pair):
    return tuple(b"\n".join(parts).replace(b"\n".join(pair), b"".join(pair)).split(b"\n"))


def as_text_with_borders(parts, pair):
    """As the program in the paper of 2016 does it: a pattern that stands between borders."""
    pattern = re.compile(rb"(?<![^\n])" + re.escape(b"\n".join(pair)) + rb"(?![^\n])")
    return tuple(pattern.sub(b"".join(pair), b"\n".join(parts)).split(b"\n"))


def first_place_only(parts, pair):
    for i, found in enumerate(pairwise(parts)):
        if found == pair:
            return (*parts[:i], b"".join(pair), *parts[i + 2 :])
    return parts


def middle_twice(parts, pair):
    found = [i for i, both in enumerate(pairwise(parts)) if both == pair]
    return tuple(b"".join(pair) if i in found else part for i, part in enumerate(parts) if i in found or i - 1 not in found)


def from_the_right(parts, pair):
    parts = list(parts)
    for i in range(len(parts) - 2, -1, -1):
        if tuple(parts[i : i + 2]) == pair:
            parts[i : i + 2] = [b"".join(pair)]
    return tuple(parts)


def wrong_way_round(parts, pair):
    return tuple(pair[1] + pair[0] if part == pair[0] + pair[1] else part for part in joined(parts, pair))


def last_place_only(parts, pair):
    places = [i for i, found in enumerate(pairwise(parts)) if found == pair]
    return (*parts[: places[-1]], b"".join(pair), *parts[places[-1] + 2 :]) if places else parts


def second_stays(parts, pair):
    return tuple(b"".join(pair) if both == pair else both[0] for both in zip(parts, (*parts[1:], None), strict=True))


def last_lost(parts, pair):
    """The loop that looks at pairs, and so never at a last token that stays alone."""
    row, i = [], 0
    while i < len(parts) - 1:
        found = parts[i : i + 2] == pair
        row.append(b"".join(pair) if found else parts[i])
        i += 1 + found
    return tuple(row)


def by_recursion(parts, pair):
    if len(parts) < 2:
        return parts
    if parts[:2] == pair:
        return b"".join(pair), *by_recursion(parts[2:], pair)
    return parts[0], *by_recursion(parts[1:], pair)


def across_words(words):
    return Counter(pairwise([part for parts, times in words.items() for _ in range(times) for part in parts]))


def apart(words):
    """As str.count does it: what was counted is gone."""
    counts = Counter()
    for parts, times in words.items():
        for pair in set(pairwise(parts)):
            counts[pair] += times * (len(parts) - len(joined(parts, pair)))
    return counts


def one_by_one(words):
    yield from merging()(words)


def emptied(words):
    result = merging()(words)
    words.clear()
    return result


WRONG = {
    "22.1": [
        ("H", "'H' is not in the table"),
        ("AZ", "'Z' is not in the table"),
        ("", "no letter is in it"),
        (3, "letters in quotes"),
        (None, "letters in quotes"),
        ({"rotary"}, "'ROTARY' is not in the table"),
        ([1, 2], "1 is not in the table"),
        ({"A": True}, "of type dict"),
    ],
    "22.2": [
        (norm_with(dx=lambda d, n, r, dy, x: (d - mean(d) - n * mean(d * n)) * r), "That is LayerNorm's"),
        (norm_with(dx=lambda d, n, r, dy, x: d * r), "taken for a constant"),
        (norm_with(dx=lambda d, n, r, dy, x: (dy - n * mean(dy * n)) * r), "The gain is missing"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - mean(d)) * r), "Only the shift is removed"),
        (norm_with(dx=lambda d, n, r, dy, x: (d + n * mean(d * n)) * r), "The stretch is added"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - n * (d * n).sum(-1, keepdims=True)) * r), "yours is the sum"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - x * mean(d * x)) * r), "both are the normalised row"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - n * mean(d * x)) * r), "One of the two rows in the stretch"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - x * mean(d * n)) * r), "One of the two rows in the stretch"),
        (norm_with(dx=lambda d, n, r, dy, x: d - n * mean(d * n)), "The last factor is missing"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - n * mean(d * n)) / r), "You multiply by the root"),
        (norm_with(d_gain=lambda d, n, r, dy, x: collected(dy * x)), "d_gain takes x"),
        (norm_with(d_gain=lambda d, n, r, dy, x: collected(d * n)), "dy times the gain"),
        (norm_with(d_gain=lambda d, n, r, dy, x: collected(dy)), "that of a bias"),
        (norm_with(d_gain=lambda d, n, r, dy, x: collected(dy * n) / max(1, x[..., 0].size)), "a mean over the rows"),
        (norm_with(d_gain=lambda d, n, r, dy, x: dy * n), r"d_gain has shape \(4, 4\)"),
        (given_by(lambda x, eps: np.sqrt(mean(x * x)) + eps), "The eps stands beside the root"),
        (given_by(lambda x, eps: np.sqrt(mean(x * x) + 1e-5)), "Your eps is 1e-5 whatever"),
        (given_by(lambda x, eps: np.sqrt(x.var(-1, keepdims=True) + eps)), "You divide by the standard deviation"),
        (given_by(lambda x, eps: np.sqrt(mean(x * x) + eps), centre=True), "You take the mean from x first"),
        (of_layer_norm, "That is LayerNorm's backward pass"),
        (without_keepdims, "Without keepdims=True"),
        (by_length, "You divide by the length of the row"),
        (lambda *given: tuple(-one for one in norm_with()(*given)), "Both have the wrong sign"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - n * mean(d * n) / mean(n * n)) * r), "You divide the stretch by mean"),
        (norm_with(dx=lambda d, n, r, dy, x: (d - n * mean(d * n)) / np.sqrt(mean(x * x))), "The last factor lacks the eps"),
        (norm_with(dx=lambda d, n, r, dy, x: d / dy * (dy - n * mean(dy * n)) * r), "The gain comes at the end"),
        (norm_with(d_gain=lambda d, n, r, dy, x: collected(dy * n * r)), "the root mean square twice"),
        (norm_with(d_gain=lambda d, n, r, dy, x: (dy * n).sum(-1)), "a sum for each row"),
        (norm_with(d_gain=lambda d, n, r, dy, x: (dy * n).reshape(x.shape[-1], -1).sum(1)), "The two of the reshape"),
        (of_the_whole, "One root mean square for the whole array"),
        (without_eps, "The eps is not used"),
        (exchanged, r"dx has shape \(4,\)"),
        (norm_in_place, "changed its input"),
        (lambda dy, x, gain, eps: dy, r"one array, of shape \(4, 4\)|dx"),
        (lambda dy, x, gain, eps: {"dx": dy, "d_gain": gain}, "a dictionary"),
        (lambda dy, x, gain, eps: (0 * x, 0 * gain), "return zeros"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "22.3": [
        (gate_with(slope=lambda s, x: s), "the gate's other half is missing"),
        (gate_with(passed=lambda s, x: s), "d_up has the sigmoid alone"),
        (lambda d, gate, up: gate_with()(d, gate, up)[::-1], "exchanged"),
        (gate_with(slope=lambda s, x: s * (1 - s)), "the slope of the sigmoid alone"),
        (gate_with(slope=lambda s, x: x * s * (1 - s)), "the first term is missing"),
        (gate_with(slope=lambda s, x: s - x * s * (1 - s)), "The sign in d_gate"),
        (gate_with(slope=lambda s, x: 1), "did not go back through SiLU"),
        (gate_with(slope=lambda s, x: x * s), "SiLU itself in place of its slope"),
        (lambda d, gate, up: gate_with()(d, gate, np.ones(up.shape)), "up is missing in d_gate"),
        (gate_with(passed=lambda s, x: x), "the gate as it came"),
        (gate_with(passed=lambda s, x: 1), "d_up is d_hidden alone"),
        (gate_with(passed=lambda s, x: s + x * s * (1 - s)), "d_up has SiLU's slope"),
        (lambda d, gate, up: gate_with()(np.ones(d.shape), gate, up), "d_hidden is missing"),
        (lambda d, gate, up: (0 * d, 0 * d), "return zeros"),
        (lambda d, gate, up: d * up, r"one array|d_gate"),
        (lambda d, gate, up: (float(d.sum()), 0.0), r"d_gate has shape \(\)"),
        (lambda d, gate, up: gate_with()(d, up, gate)[::-1], "SiLU is on up"),
        (lambda d, gate, up: (d * up * (np.tanh(gate) + gate / np.cosh(gate) ** 2), d * gate * np.tanh(gate)), "That is tanh in place"),
        (lambda d, gate, up: (d * up * (gate > 0), d * np.maximum(gate, 0)), "That is ReLU's gate"),
        (gate_with(slope=lambda s, x: s * (1 + x) * (1 - s)), "look at the brackets"),
        (gate_with(slope=lambda s, x: s + x * (1 - s * s)), "the slope of tanh"),
        (gate_with(slope=lambda s, x: 1 + x * s * (1 - s)), "the first term is s"),
        (gate_with(slope=lambda s, x: s + x * s * (1 - x)), "stands 1 - x"),
        (gate_with(slope=lambda s, x: x * s * (s + x * s * (1 - s))), "SiLU beside its slope"),
        (gate_with(slope=lambda s, x: sigmoid(x * s) * (1 + x * s * (1 - sigmoid(x * s)))), "where SiLU came out"),
        (lambda d, gate, up: (gate_with()(d, gate, up)[0], d * up * gate * sigmoid(gate)), "up beside the gate"),
        (lambda d, gate, up: (up * gate_with()(d, gate, up)[0], d * gate * sigmoid(gate)), "up is in d_gate twice"),
        (lambda d, gate, up: tuple(-one for one in gate_with()(d, gate, up)), "Both have the wrong sign"),
        (gate_in_place, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
    "22.4": [
        (lambda x, n_heads: np.tile(x, (1, n_heads // x.shape[1], 1, 1)), "Your heads go round"),
        (lambda x, n_heads: np.repeat(x[:, :1], n_heads, axis=1), "multi-query attention"),
        (lambda x, n_heads: np.repeat(x, n_heads // x.shape[1]).reshape(len(x), n_heads, *x.shape[2:]), "in another order"),
        (lambda x, n_heads: np.repeat(x[:, ::-1], n_heads // x.shape[1], axis=1), "in the wrong order"),
        (lambda x, n_heads: heads_by_index(x, n_heads) * x.shape[1] / n_heads, "divide by the size of the group"),
        (first_alone, "The copies of a group are 0"),
        (lambda x, n_heads: np.repeat(x, n_heads // x.shape[1], axis=2).reshape(len(x), n_heads, *x.shape[2:]), "repeat the positions"),
        (lambda x, n_heads: np.repeat(x.mean(1, keepdims=True), n_heads, axis=1), "the mean of all heads"),
        (lambda x, n_heads: x[:, [h % (n_heads // x.shape[1]) for h in range(n_heads)]], r"head h % \(H / G\) in yours"),
        (lambda x, n_heads: x[:, [h // x.shape[1] for h in range(n_heads)]], "head h // G in yours"),
        (lambda x, n_heads: heads_by_index(x, n_heads) * n_heads / x.shape[1], "multiply by the size of the group"),
        (lambda x, n_heads: np.pad(x, ((0, 0), (0, n_heads - x.shape[1]), (0, 0), (0, 0))), "and zeros behind them"),
        (lambda x, n_heads: np.resize(x, (len(x), n_heads, *x.shape[2:])), "reads on through the sequences"),
        (lambda x, n_heads: np.repeat(x[:, -1:], n_heads, axis=1), "the last head of keys"),
        (lambda x, n_heads: np.repeat(x.sum(1, keepdims=True), n_heads, axis=1), "the sum of all heads"),
        (lambda x, n_heads: np.repeat(x, n_heads, axis=1), "has shape"),
        (lambda x, n_heads: x, "has shape"),
        *broken_arrays((1, 4, 3, 4)),
    ],
    "22.5": [
        (lambda width: np.argsort(order(width)), "the way back"),
        (lambda width: np.arange(width, dtype=np.int64), "nothing changes places"),
        (lambda width: np.roll(np.arange(width, dtype=np.int64), width // 2), "exchange the two halves"),
        (lambda width: np.roll(order(width), width // 2), "The second ones come first"),
        (lambda width: np.arange(width, dtype=np.int64)[::-1], "turn the row round"),
        (lambda width: np.arange(width, dtype=np.int64).reshape(-1, 2)[:, ::-1].ravel(), "the two of each pair"),
        (lambda width: np.array(order(width)) + 1, "count from 1"),
        (lambda width: np.array(order(width)) / 3, "fractions"),
        (lambda width: order(width)[: width // 2] * 2, "The first ones stand there twice"),
        (lambda width: [column - 2 * (column % 2) for column in order(width)], r"at \[3\] is -1; .* yours is 2i - 1"),
        (lambda width: [column + column % 2 for column in order(width)], r"yours is 2i \+ 2"),
        (lambda width: sorted(order(width), key=lambda column: (column % 2, -column)), "Both run backwards"),
        (lambda width: np.arange(width, dtype=np.int64) % 2 == 0, "True and False, which choose"),
        (lambda width: set(order(width)), "a set, which keeps none"),
        (lambda width: order(width)[: width // 2], r"has shape \(3,\)"),
        *(case for case in broken_arrays((6,)) if case[1] != r"has shape \(7,\)"),
    ],
    "22.6": [
        (merging(count=lambda words: counted(words, lambda n: 1)), "count each word once"),
        (merging(count=once_a_word), "once in a word that has it twice"),
        (merging(choose=lambda counts: counts.most_common(1)[0][0]), "the one met first"),
        (merging(choose=lambda counts: min(counts, key=lambda pair: (-counts[pair], pair))), "yours is the smaller one"),
        (merging(choose=max), "max\\(counts\\) compares pairs"),
        (merging(choose=lambda counts: min(counts, key=lambda pair: (counts[pair], pair))), "the rarest pair"),
        (merging(count=apart), "Of three alike you count one pair"),
        (merging(count=across_words), r"\(in no word\).*across the border of two words"),
        (merging(choose=lambda counts: max(counts, key=lambda pair: (counts[pair], b"".join(pair)))), "greater when joined"),
        (merging(choose=lambda counts: max(counts, key=lambda pair: (counts[pair], pair[::-1]))), "the second tokens first"),
        (merging(choose=lambda counts: max(counts, key=lambda pair: (counts[pair], len(b"".join(pair))))), "you take the longer one"),
        (merging(choose=lambda counts: sorted(counts, key=counts.get)[-1]), "the one met last"),
        (merging(join=last_place_only), "the last place of each word"),
        (merging(join=second_stays), "The second of the two stays"),
        (merging(join=last_lost), "The last token of a word is lost"),
        (merging(join=lambda parts, pair: parts), "came back as they were"),
        (merging(join=first_place_only), "the first place of each word"),
        (merging(join=as_text), "across the border of a token"),
        (merging(join=middle_twice), "uses the middle one twice"),
        (merging(join=from_the_right), "from right to left"),
        (merging(join=wrong_way_round), "the wrong way round"),
        (merging(pack=lambda best, words: (best, dict.fromkeys(words, 1))), "counts of the words are lost"),
        (merging(pack=lambda best, words: (best, {parts: n + 1 for parts, n in words.items()})), "have grown by 1"),
        (merging(pack=lambda best, words: (best, {parts: n / sum(words.values()) for parts, n in words.items()})), "became shares"),
        (merging(pack=lambda best, words: (best, {k: n for k, n in words.items() if b"".join(best) in k})), "without the pair are gone"),
        (merging(pack=lambda best, words: (words, best)), "Return best first, then merged"),
        (merging(pack=lambda best, words: b"".join(best)), "one thing; best and merged"),
        (merging(pack=lambda best, words: (best[0] + best[1], words)), "one token; a pair of two"),
        (merging(pack=lambda best, words: (best, list(words))), "of type list; a dictionary"),
        (merging(pack=lambda best, words: (best, {b".".join(parts): n for parts, n in words.items()})), "a word in merged is"),
        (merging(pack=lambda best, words: (best, dict.fromkeys(words, "some"))), "a count in merged is no number"),
        (merging(pack=lambda best, words: words), "a dictionary; the notebook unpacks 2"),
        (merging(pack=lambda best, words: (3, words)), "best is of type int"),
        (emptied, "changed its input"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (3, "a function was asked for"),
    ],
}

RIGHT = {
    "22.1": ["A", "df", "none", {"A", "g"}, ["B"], "A, D & F", "A and D", "A/D", np.array(["A", "D"]), "`None`", ()],
    "22.2": [
        norm_with(),
        norm_by_jacobian,
        norm_in_loops,
        norm_by_recursion,
        norm_one_by_one,
        norm_by_imaginary_steps,
        lambda *given: tuple(one.astype(np.float32) for one in norm_with()(*given)),
    ],
    "22.3": [gate_with(), gate_by_tanh, gate_by_logarithms, gate_without_overflow, lambda *given: np.array(gate_by_tanh(*given))],
    "22.4": [
        heads_by_index,
        heads_by_broadcast,
        heads_in_loops,
        heads_by_product,
        heads_one_by_one,
        lambda x, n_heads: heads_by_index(x, n_heads).astype(np.float32),
    ],
    "22.5": [
        order,
        lambda width: tuple(order(width)),
        lambda width: np.arange(width, dtype=np.int64).reshape(-1, 2).T.ravel(),
        lambda width: np.array(order(width), dtype=float),
        lambda width: sorted(range(width), key=lambda column: (column % 2, column)),
        lambda width: [*range(-width, 0, 2), *range(1 - width, 0, 2)],  # counted from the end
        lambda width: (column for first in (0, 1) for column in range(first, width, 2)),
        order_by_recursion,
    ],
    "22.6": [
        merging(),
        merging(join=as_text_with_borders),
        merging(join=by_recursion),
        one_by_one,
        merging(pack=lambda best, words: [list(best), Counter(words)]),
    ],
}

TYPED_WRONG = {
    "22.1": 'my_bet = "X"',
    "22.2": "def rms_norm_backward(dy, x, gain, eps=1e-5):\n    return dy * gain, (dy * x).sum(axis=0)",
    "22.3": "def gate_backward(d_hidden, gate, up):\n    return d_hidden * up, d_hidden * gate",
    "22.4": "def share_heads(x, n_heads):\n    return np.tile(x, (1, n_heads // x.shape[1], 1, 1))",
    "22.5": "def halves_order(width):\n    return np.arange(width, dtype=np.int64)",
    "22.6": "def merge_once(words):\n    return max(words), words",
}
