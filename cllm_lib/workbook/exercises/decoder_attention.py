"""An exercise of 23_a_model_that_answers: grouped attention on turned queries and keys, with what was read before."""

from functools import partial

import numpy as np

from cllm_lib.lattice.encodings import rotate
from cllm_lib.model.attention import merge_heads, scaled_dot_product_forward, split_heads
from cllm_lib.pretrained.chat import ChatConfig
from cllm_lib.workbook.exercises.forms import as_array
from cllm_lib.workbook.exercises.gradients import same_results, several, worst_of
from cllm_lib.workbook.exercises.machinery import array, call, told_apart


def attend(x, weights, config, past):
    """Reference: heads, turned by place, behind those of before; then look."""
    query = split_heads(x @ weights["query_weight"], config.n_heads)
    key = split_heads(x @ weights["key_weight"], config.n_kv_heads)
    value = split_heads(x @ weights["value_weight"], config.n_kv_heads)
    seen = past[0].shape[2]
    places = np.arange(seen, seen + x.shape[1], dtype=np.int64)
    query = rotate(query, places, config.rope_base)
    key = rotate(key, places, config.rope_base)
    key = np.concatenate([past[0], key], axis=2)
    value = np.concatenate([past[1], value], axis=2)
    looked, _ = scaled_dot_product_forward(query, key, value)
    return merge_heads(looked) @ weights["output_weight"], (key, value)


def attend_form(result):
    """The rows, and a pair of keys and values."""
    looked, (key, value) = result
    return as_array(looked), (as_array(key), as_array(value))


_NAMES = ("the result", "keys", "values")


def examine_attend(answer):
    """Against loops over heads, with turns as complex numbers; more than one head of keys, and texts that go on."""
    generator = np.random.default_rng(33)

    def look(*sizes):
        given = random_attend(generator, *sizes)
        looked, kept = several(call(answer, *given), 2, ("the rows", "(key, value)"))
        right = _by_loops(*given)
        why = ("one row for each token that came in.", *2 * ("those of before, and the new ones behind them, on axis 2.",))
        results = [looked, *several(kept, 2, ("key", "value"))]
        found = [array(one, r.shape, name, reason) for one, r, name, reason in zip(results, right, _NAMES, why, strict=True)]
        return worst_of(_NAMES, found, right), found, right, _slips(given, right)

    cases = ((5, 0, 2, 2, 4), (3, 4, 2, 2, 4), (1, 6, 3, 1, 2), (4, 3, 1, 3, 6), (6, 1, 3, 2, 4), (7, 0, 2, 1, 4))
    told_apart(look, cases, same_results, "Heads; turn queries and keys by their places; put keys and values behind those of before; look.")


def random_attend(generator, time, seen, n_kv_heads, group, width):
    """Arguments of `attend` at random: so many new tokens, tokens before, heads of keys, heads in a group, columns of a head."""
    n_heads = n_kv_heads * group
    whole = n_heads * width
    config = ChatConfig(
        vocab_size=9, d_model=whole, n_layers=1, n_heads=n_heads, n_kv_heads=n_kv_heads, d_ff=8, seq_len=64, eps=1e-5, rope_base=500.0
    )
    columns = {"query": whole, "key": n_kv_heads * width, "value": n_kv_heads * width, "output": whole}
    weights = {f"{name}_weight": generator.normal(size=(whole, n)) / np.sqrt(whole) for name, n in columns.items()}
    past = tuple(generator.normal(size=(1, n_kv_heads, seen, width)) for _ in range(2))
    return 1.5 * generator.normal(size=(1, time, whole)), weights, config, past


def _turned(rows, places, base, halves=False):
    """Each pair of columns as a complex number, times one of length 1."""
    half = rows.shape[-1] // 2
    angles = np.asarray(places)[:, None] * base ** (-np.arange(half, dtype=np.int64) / half)
    first, second = (rows[:, :half], rows[:, half:]) if halves else (rows[:, 0::2], rows[:, 1::2])
    product = (first + 1j * second) * np.exp(1j * angles)
    parts = [product.real, product.imag]
    return np.concatenate(parts, axis=1) if halves else np.stack(parts, axis=-1).reshape(rows.shape)


_UNTURNED = {"query": False, "key": False}


def _by_loops(
    x,
    weights,
    config,
    past,
    turns=None,
    begin=None,
    base=None,
    halves=False,
    turn_past=False,
    serve=None,
    sees=None,
    whole=False,
    front=False,
):
    """Rows, keys and values, a head at a time; what differs from the right way is named."""
    seen, time = past[0].shape[2], x.shape[1]
    places = np.arange(time, dtype=np.int64) + (seen if begin is None else begin)
    turns = {"query": True, "key": True, "value": False} | (turns or {})
    turn = partial(_turned, base=base or config.rope_base, halves=halves)

    def of_heads(name, n_heads):
        rows = x[0] @ weights[f"{name}_weight"]
        if whole and turns[name]:
            return np.split(turn(rows, places), n_heads, axis=1)
        return [turn(one, places) if turns[name] else one for one in np.split(rows, n_heads, axis=1)]

    query, key, value = of_heads("query", config.n_heads), of_heads("key", config.n_kv_heads), of_heads("value", config.n_kv_heads)
    if turn_past:  # all keys turned once more, from the first on
        key = np.split(x[0] @ weights["key_weight"], config.n_kv_heads, axis=1)
        key = [turn(np.concatenate([old, new]), np.arange(seen + time, dtype=np.int64)) for old, new in zip(past[0][0], key, strict=True)]
    else:
        key = [np.concatenate([old, new]) for old, new in zip(past[0][0], key, strict=True)]
    value = [np.concatenate([old, new]) for old, new in zip(past[1][0], value, strict=True)]
    serve = serve or (lambda h: h * config.n_kv_heads // config.n_heads)
    sees = seen if sees is None else sees
    last = [np.roll(one, time, axis=1) if front else one for one in (np.stack(key), np.stack(value))]
    looked = [_look(one, last[0][serve(h)], last[1][serve(h)], sees) for h, one in enumerate(query)]
    rows = np.concatenate(looked, axis=1) @ weights["output_weight"]
    return rows[None], np.stack(key)[None], np.stack(value)[None]


def _look(query, key, value, seen):
    """The first row sees `seen` keys and one more, each row one more than the row before."""
    scores = query @ key.T / np.sqrt(query.shape[1])
    scores[np.arange(scores.shape[1], dtype=np.int64) > np.arange(seen, seen + len(query), dtype=np.int64)[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ value


def _slips(given, right):
    x, weights, config, past = given
    time, loops = x.shape[1], partial(_by_loops, *given)
    rows, key, value = right
    bare = loops(turns=_UNTURNED)
    without_output = dict(weights, output_weight=np.eye(config.d_model))
    return {
        "The base is left out: rotate takes 10,000 then, and this model turns by config.rope_base.": loops(base=10_000.0),
        "The base is typed in; take config.rope_base, for attend has to serve other models, too.": loops(base=100_000.0),
        "Places begin at 0 each time. What comes after `past` stands behind it: its first place is past[0].shape[2].": loops(begin=0),
        "Nothing is turned: rotate queries and keys by their places.": bare,
        "The keys are not turned; both are, queries and keys.": loops(turns={"key": False}),
        "The queries are not turned; both are, queries and keys.": loops(turns={"query": False}),
        "The values are turned as well. Only what is compared is turned, queries and keys.": loops(turns={"value": True}),
        "The keys of before are turned a second time: they were turned when they came. Rotate the new ones, then put them behind.": (
            loops(turn_past=True)
        ),
        "You count places from 1; the first token stands at 0.": loops(begin=past[0].shape[2] + 1),
        "You turn whole rows before they are cut into heads; each head is turned by itself.": loops(whole=True),
        "You turn halves, columns i and i + d/2. In this file pairs are neighbours, which is what rotate does unasked.": loops(halves=True),
        "Your heads of keys go round, 0 1 0 1; they stand in groups. scaled_dot_product_forward shares them out as it should.": (
            loops(serve=lambda h: h % config.n_kv_heads)
        ),
        "Each token sees those ahead of it; scaled_dot_product_forward masks them.": loops(sees=past[0].shape[2] + time),
        "Your mask gives the first new token one key, the very first; it sees all those of before, and itself.": loops(sees=0),
        "x is in your rows already. Return what attention adds; one_layer adds it to what was there.": (x + rows, key, value),
        "The output matrix is missing: what was looked up goes through output_weight.": _by_loops(x, without_output, config, past),
        "The new keys stand before those of before; they come behind.": [
            (rows, np.roll(key, time, axis=2), np.roll(value, time, axis=2)),
            (_by_loops(*given, front=True)[0], np.roll(key, time, axis=2), np.roll(value, time, axis=2)),
        ],
        "You return keys that were not turned: keep them as they were compared.": (rows, bare[1], value),
        "The two are exchanged: keys first, then values.": (rows, value, key),
    }
