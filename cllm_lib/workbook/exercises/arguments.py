"""Random arguments on which an answer has to do what the reference does, by exercise.

They are of odd and unequal sizes, of several scales, and at the borders now and then. Where several functions are right,
the exercise's own check is all that judges, and these only serve to find the slip in a wrong one.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

from cllm_lib.model.layers import softmax
from cllm_lib.workbook.exercises.attention_backward import random_attention
from cllm_lib.workbook.exercises.byte_pairs import random_words, readable
from cllm_lib.workbook.exercises.chapter_04 import _Reacher, _Speaker
from cllm_lib.workbook.exercises.chapter_15 import N_PLACES
from cllm_lib.workbook.exercises.chapter_20 import random_belief, random_losses, random_question
from cllm_lib.workbook.exercises.chapter_21 import _mixing, random_layer
from cllm_lib.workbook.exercises.chapter_22 import counted_from_the_start
from cllm_lib.workbook.exercises.trials import on, what_is_left


def _sizes(generator, count, low=1, high=6):
    return tuple(generator.integers(low, high, count).tolist())


def _arrays(generator):
    """A dictionary of arrays, as parameters and gradients are."""
    shapes = {"embedding": _sizes(generator, 2, 2), "layers.0.norm.gain": _sizes(generator, 1, 2), "layers.0.norm.bias": (1,)}
    return {name: generator.normal(generator.normal(), generator.uniform(0.1, 3), shape) for name, shape in shapes.items()}


# 01


def _stuck(generator):
    """A patient in which each set of repairs has a fall of its own, seldom enough the fewer they are, and now and then just enough."""
    suspects, enough = generator.permutation(list("abcd"))[: generator.integers(1, 5)].tolist(), float(generator.choice([0.25, 1.5]))
    cured, falls = generator.random(), {}
    for size in range(len(suspects) + 1):
        for some in itertools.combinations(suspects, size):
            much = size and generator.random() < cured * size / len(suspects)
            falls[frozenset(some)] = float(generator.choice([enough, 2.0] if much else [0.0, 0.1, -3.0]))
    return lambda repairs: falls[frozenset(repairs)], suspects, enough


def _weights(generator):
    shapes = {"embedding": _sizes(generator, 2, 2), "layers.0.query_weight": _sizes(generator, 2, 2), "layers.0.norm.gain": (3,)}
    arrays = {name: generator.normal(size=shape) for name, shape in (shapes | {"layers.0.norm.bias": (2,)}).items()}
    return arrays, np.random.default_rng(int(generator.integers(1_000)))


# 03


def _tokens(generator):
    inputs, targets = generator.integers(_sizes(generator, 1, 2, 14)[0], size=(2, 3, 7))
    return inputs, targets


def _query_and_key(generator):
    """Small ones; or large ones, of whole numbers and a width whose root is whole, so that float32 holds their scores exactly."""
    *front, time, width = _sizes(generator, int(generator.integers(2, 5)))
    if generator.random() < 0.3:
        return tuple(np.rint(60.0 * generator.standard_normal((2, *front, time, 4))))
    return tuple(generator.choice([0.5, 2.0]) * generator.standard_normal((2, *front, time, width)))


def _heads(generator):
    batch, time, n_heads, width = _sizes(generator, 4)
    return generator.standard_normal((batch, time, n_heads * width)), n_heads


# 04


def _reach(generator):
    """A model with sources drawn at random, some of them faint or one-sided."""
    sources = {t: set(np.flatnonzero(generator.random(6) < 0.5).tolist()) for t in range(6)}
    model = _Reacher(lambda t, time: sources[t])
    model.table = model.table * generator.choice([1e-8, 1e-6, 1.0, -1.0], (99, 1, 1))
    return model, generator.integers(5, size=(1, 6)), int(generator.integers(6))


def _in_use(generator):
    """A model that peeks at whatever it is given, and some sequences."""
    batch, time = _sizes(generator, 2, 1, 5)
    shown = {t: set(np.flatnonzero(generator.random(6) < 0.6).tolist()) for t in range(6)}
    model = _Speaker(lambda t, time: [s for s in shown[t] if s < time], seed=int(generator.integers(1_000)))
    return model, *generator.integers(5, size=(2, batch, time))


# 05


def _matmul(generator):
    *rows, width, columns = _sizes(generator, int(generator.integers(3, 6)))
    arrays = (*rows, columns), (*rows, width), (width, columns)
    return tuple(generator.standard_normal(shape) for shape in arrays)


def _softmax_backward(generator):
    shape = _sizes(generator, int(generator.integers(1, 4)))
    return generator.standard_normal(shape), softmax(2 * generator.standard_normal(shape))


def _passes(generator):
    """A forward and a backward pass, sound, wrong in one entry, wrong in scale, or silent."""
    scale, shape = 10.0 ** generator.integers(-6, 7), _sizes(generator, 2, 1, generator.choice([2, 4]))
    fault = generator.choice(["none", "one entry", "scale", "silent", "sign"], p=[0.2, 0.2, 0.2, 0.3, 0.1])
    spot = tuple(int(generator.integers(n)) for n in shape)

    def forward(x):
        return scale * np.tanh(x) * x[::-1]

    def backward(dy, x):
        gradient = scale * (dy * (1 - np.tanh(x) ** 2) * x[::-1] + (dy * np.tanh(x))[::-1])
        if fault == "one entry":
            gradient[spot] *= -1.0
        return {"scale": 1.01, "silent": 0.0, "sign": -1.0}.get(fault, 1.0) * gradient

    backward.fault = fault
    return forward, backward, generator.uniform(0.3, 1.5, shape) * generator.choice([-1, 1], shape)


def _for_any_dy(error, given):
    """The error as far as it is the same whatever dy a reader drew: of a single wrong entry only whether it is seen."""
    if error < 1e-4:
        return "an error below 0.0001"
    return "a larger error" if given[1].fault == "one entry" else error


def _attention(generator):
    *front, time, width = _sizes(generator, 4)
    d_output, query, key, value = generator.standard_normal((4, *front, time, width))
    scores = np.where(np.tri(time, dtype=bool), query @ key.swapaxes(-1, -2) / math.sqrt(width), -np.inf)
    return d_output, query, key, value, softmax(scores)


# 07


def _step(generator, n_states, settings):
    size = _sizes(generator, 1, 2)[0]
    states = [generator.uniform(0.01, 1.0, size) for _ in range(n_states)]
    return generator.standard_normal(size), generator.standard_normal(size), *states, *settings


def _momentum(generator):
    return _step(generator, 1, generator.uniform([0.001, 0.1], [0.3, 0.99]).tolist())


def _adam(generator):
    settings = [int(generator.integers(1, 6)), *generator.uniform([0.001, 0.3, 0.5], [0.3, 0.95, 0.999]).tolist()]
    return _step(generator, 2, [*settings, float(generator.choice([1e-8, 0.3]))])


# 08


def _schedule(generator):
    rise, fall = int(generator.integers(1, 7)), int(generator.integers(2, 12))
    return int(generator.integers(0, rise + fall + 4)), rise, rise + fall


def _clip(generator):
    gradients = _arrays(generator)
    length = math.sqrt(sum((array**2).sum() for array in gradients.values()))
    return gradients, float(length * generator.choice([0.3, 0.9, 1.0, 1.1, 4.0]))


# 09


_LEVELS = {"ln V": 5.6, "unigram entropy": 4.7, "bigram entropy": 1.5}


def _losses(generator):
    """Losses that end near a level, at a border, or in an explosion."""
    levels = {name: float(level * generator.choice([1.0, 1.0, 0.7])) for name, level in _LEVELS.items()}
    level = generator.choice([*levels.values(), 3.0], p=[0.3, 0.3, 0.3, 0.1])
    end = level + generator.choice([0.0, 0.05, 0.09, 0.149]) * generator.choice([-1, 0, 1], 3)
    end[generator.integers(3)] += generator.choice([0.0, 0.002, -0.002, 0.06, 0.4])
    if generator.random() < 0.4:
        end[-1] = generator.choice(
            [2 * levels["ln V"] + generator.choice([-3.0, -1.0, -0.01, 0.0, 0.01, 1.0, 20.0]), 900.0, np.inf, np.nan]
        )
    before = generator.choice([*levels.values(), 30.0, np.nan], int(generator.integers(0, 4)))
    return [*before.tolist(), *end.tolist()], levels


def _held_out_losses(generator):
    """Losses of a few epochs, with bumps and with equal ones, and a patience."""
    losses = np.cumsum(generator.choice([-1.0, -0.5, 0.0, 0.25, 1.0], int(generator.integers(1, 12)))) + 20.0
    return losses.tolist(), int(generator.integers(1, 5))


def _company(generator):
    """A ladder in which each set of repairs has an end of its own, a repair, and a company."""
    ends = {frozenset(some): float(generator.normal()) for n in range(5) for some in itertools.combinations("abcd", n)}
    company = {repair for repair in "abcd" if generator.random() < 0.5}
    return lambda repairs: ends[frozenset(repairs)], str(generator.choice(list("abcd"))), company


def _errors(generator):
    tolerance = float(generator.choice([1e-3, 0.1]))
    names = generator.permutation([f"layers.{i}.{what}" for i in range(2) for what in ("query", "norm", "key")])[: generator.integers(1, 7)]
    sizes = generator.choice(
        [0.0, tolerance / 10, tolerance, 2 * tolerance, 30.0, np.nan, np.inf], len(names), p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.05, 0.05]
    )
    return dict(zip(names.tolist(), sizes.tolist(), strict=True)), tolerance


def _findings(generator):
    def one(*values):
        return values[0] if generator.random() < 0.75 else values[int(generator.integers(1, len(values)))]

    arrays = (
        "embedding",
        "layers.1.attention.output_weight",
        "layers.0.feed_forward.expand_weight",
        "layers.1.attention.key_weight",
        "layers.1.attention_norm.gain",
        "layers.2.feed_forward_norm.bias",
    )
    sound = {"first wrong": None, "weights in [0, 1]": True, "reaches what it should": True, "word comes through": True}
    wrong = str(
        generator.choice(["nothing", *sound] if generator.random() < 0.5 else ["nothing"])
    )  # one at most: which of two comes first is the reader's choice
    fault = {wrong: str(generator.choice(arrays)) if wrong == "first wrong" else False} if wrong != "nothing" else {}
    optimiser, asked = one("Adam", "SGD"), wrong == "nothing"
    return (sound | fault | {"optimiser": optimiser, "knows order": bool(generator.integers(2)) if asked else None},)


# 10


def _text(generator):
    seq_len = int(generator.integers(1, 6))
    return generator.integers(99, size=int(generator.integers(seq_len + 1, 30))), seq_len


def _two_texts(generator):
    n, words = int(generator.integers(1, 4)), int(generator.integers(2, 14))
    return *(generator.integers(words, size=int(size)) for size in generator.integers(n + 1, 15, 2)), n


def _shares(generator):
    shares = generator.permutation(np.arange(1, int(generator.integers(3, 9)), dtype=np.int64) ** 1.5)
    return shares / shares.sum(), int(generator.integers(1, len(shares) + 2))


def _one_query(generator):
    n, width, other = _sizes(generator, 3)
    size = generator.choice([1.0, 3.0, 40.0])
    return size * generator.standard_normal(width), size * generator.standard_normal((n, width)), generator.standard_normal((n, other))


# 13


def _curve(generator):
    side = int(generator.integers(3, 9))
    return (generator.permutation(side * side).reshape(side, side) + 1 + int(generator.integers(100)),)


def _fetch(generator):
    per_page = int(generator.integers(2, 40))
    return generator.integers(0, int(generator.integers(1, 10)) * per_page, int(generator.integers(1, 30))), per_page


# 14


def _two_products(generator):
    a, b = (int(np.prod(generator.choice([2, 3, 5, 7, 11], int(generator.integers(1, 6))))) for _ in range(2))
    return (a**90, b**90) if generator.random() < 0.2 else (a, b)


def _embedding(generator):
    n, width = _sizes(generator, 2, 2)
    similarities = generator.uniform(0.0, 1.0, (n, n))
    similarities = (similarities + similarities.T) / 2
    np.fill_diagonal(similarities, 1.0)
    return generator.standard_normal((n, width)), similarities


def _likeness_and_order(generator):
    embedding, similarities = _embedding(generator)
    return similarities, generator.permutation(len(embedding))


def _turn(generator):
    *front, time, pairs = _sizes(generator, int(generator.integers(2, 4)))
    start = int(generator.integers(-9, 30))
    x = generator.standard_normal((*front, time, 2 * pairs))
    between = float(generator.choice([0.0, 0.0, 0.5]))
    positions = np.arange(start, start + time, dtype=np.int64)
    return x, positions + between if between else positions, generator.uniform(0.1, 2.0, pairs)


def _scores(generator):
    heads, time = _sizes(generator, 2)
    return generator.standard_normal((heads, time, time)), generator.uniform(0.1, 2.0, heads) * generator.choice([1, 1, -1])


def _box(generator):
    """A score that is the same everywhere, or differs from place to place or with the distance, perhaps only from one on."""
    sees, faint = generator.integers(9), float(generator.choice([1.0, 1e-6]))
    table, (one, other) = generator.standard_normal(N_PLACES), generator.integers(N_PLACES - 15, size=2).tolist()

    rough = float(generator.choice([0.0, 1e-13]))
    far = int(generator.integers(1, N_PLACES))
    spot = ((0, 0), (N_PLACES - 1, N_PLACES - 1), (far, int(generator.integers(1, far + 1))))[generator.integers(3)]

    def score(m, n):
        noise = rough * math.sin(m + 7 * n)
        of = (0.0, table[abs(m - n)], max(0, m - one), max(0, n - other), max(0, abs(m - n) - one), table[m] * table[n])
        of += (abs(m - n) + ((m, n) == spot), (m - n) * (1 + m), abs(m - n) + max(0, m - n - 1) * (1 + m))
        return 3.5 + noise + faint * of[sees]

    return (score,)


# 16 and 17


def _two_vectors(generator):
    width = int(generator.integers(2, 4))
    short = generator.integers(1, 7, width) * generator.choice([-1, 1], width)
    return short, generator.integers(-60, 61, width)


def _step_of_lll(generator):
    """A basis whose first k rows are reduced, a row that is not, and a delta."""
    from cllm_lib.lattice.lll import lll_reduce

    n = int(generator.integers(2, 5))
    k = int(generator.integers(1, n))
    while True:
        rows = generator.integers(-9, 10, (n, n)).astype(object)
        if round(np.linalg.det(rows.astype(float))):
            break
    rows[:k], _ = lll_reduce(rows[:k].tolist(), Fraction(3, 4))
    return rows, k, Fraction(int(generator.choice([60, 75, 99])), 100)


def _knapsack(generator):
    from cllm_lib.lattice.knapsacks import knapsack

    weights, total, _ = knapsack(int(generator.integers(3, 9)), 40, int(generator.integers(10_000)))
    return weights, total


def _row_of_weights(generator):
    """A row, its largest weight above 0 or below, and a number of bits."""
    size = float(generator.choice([1.0, 0.02, 7.0]))
    return size * generator.standard_normal(int(generator.integers(1, 8))), int(generator.integers(2, 9))


def _lattice(generator):
    rows = int(generator.integers(1, 5))
    width = rows + int(generator.integers(0, 2))
    return generator.standard_normal((rows, width)) + 2.0 * np.eye(rows, width), 9 * generator.standard_normal(width)


def _losses_by_bits(generator):
    """Losses of ten seeds that lie far apart, with rises about what is allowed."""
    allowed, base = float(generator.uniform(0.05, 0.5)), 4 + generator.standard_normal(10)
    rise = 1 + generator.choice([0.02, 0.5, 2.0]) * generator.standard_normal(10)
    sizes = allowed * generator.uniform(0.5, 3) * 2.0 ** -np.arange(4, dtype=np.int64)
    if generator.random() < 0.3:  # more bits need not be better, and a loss may fall
        sizes = generator.permutation(sizes) * generator.choice([-1, 1], 4)
    falling = dict(zip((2, 3, 4, 8), sizes, strict=True))

    def loss(bits, seed):
        return float(base[seed] + (0.0 if bits is None else falling[bits] * rise[seed]))

    return loss, allowed


# 18 and 21


def _p_values(generator):
    p = generator.random(int(generator.integers(1, 8))) ** int(generator.integers(1, 6))
    return (np.append(p, p[0]) if generator.random() < 0.3 else p,)


def _layer(generator):
    width = int(generator.integers(3, 8))
    size = float(generator.choice([1.0, 1e-4]))
    return size * generator.normal(size=(2, int(generator.integers(1, 5)), width)), random_layer(generator, width=width), _mixing


def _sentences(generator):
    lengths = generator.integers(1, 7, int(generator.integers(1, 5)))
    is_token = np.arange(lengths.max(), dtype=np.int64) < lengths[:, None]
    hidden = generator.normal(size=(*is_token.shape, int(generator.integers(1, 5))))
    if generator.random() < 0.5:  # tokens anywhere, and states that hold 0
        return np.rint(hidden), generator.permuted(is_token, axis=1)
    return hidden, is_token


def _values(generator):
    values = generator.normal(3, 2, int(generator.integers(2, 30)))
    return values.round() if generator.random() < 0.3 else values, float(generator.uniform(0.5, 0.99))


# 22


def _norm(generator):
    *front, width = _sizes(generator, int(generator.integers(1, 4)))
    size, eps = generator.choice([1.0, 1e-2]), float(generator.choice([1e-5, 1e-3, 0.1]))
    return *(scale * generator.standard_normal((*front, width)) for scale in (1.0, size)), generator.normal(1, 0.5, width), eps


def _gate(generator):
    shape = _sizes(generator, int(generator.integers(1, 4)))
    return generator.standard_normal(shape), generator.normal(0, 3, shape), generator.standard_normal(shape)


def _shared(generator):
    batch, n_kv_heads, group, time, width = _sizes(generator, 5)
    return generator.standard_normal((batch, n_kv_heads, time, width)), n_kv_heads * group


TRIALS = {
    "00.3": on(lambda generator: (float(generator.uniform(0, 12)),)),
    "01.2": on(lambda generator: (int(generator.integers(1, 90_000)),)),
    "01.3": on(lambda generator: (_arrays(generator),)),
    "02.2": on(
        lambda generator: (
            float(generator.choice([0.0, 1e-4, 0.3, 2.0])),
            int(generator.integers(0, 5)),
            *generator.choice([1e-5, 0.1], int(generator.integers(2))).tolist(),
        )
    ),
    "02.3": on(_weights, seen=lambda result, given: given[0], judges=False),
    "02.4": on(_stuck),
    "03.2": on(_tokens),
    "03.3": on(_query_and_key),
    "03.4": on(_heads),
    "03.5": on(_query_and_key),
    "04.2": on(_reach),
    "04.4": on(_in_use),
    "05.2": on(lambda generator: tuple(generator.normal(size=4).tolist())),
    "05.3": on(_matmul),
    "05.4": on(_softmax_backward),
    "05.5": on(_passes, seen=_for_any_dy),
    "06.2": on(_attention),
    "06.3": on(lambda generator: random_attention(generator, *_sizes(generator, 4, 1, 5))),
    "07.2": on(_momentum, seen=what_is_left),
    "07.3": on(lambda generator: (int(generator.integers(1, 60)), *generator.uniform(0.2, 0.99, 2 * int(generator.integers(2))).tolist())),
    "07.4": on(_adam, seen=what_is_left),
    "08.2": on(lambda generator: (generator.integers(int(generator.integers(1, 12)), size=_sizes(generator, 2)) ** 2,)),
    "08.3": on(_schedule),
    "08.4": on(_clip),
    "09.2": on(_losses),
    "09.3": on(_company),
    "09.4": on(_errors),
    "09.5": on(_findings),
    "10.2": on(_text),
    "10.3": on(_two_texts),
    "10.4": on(_held_out_losses),
    "11.2": on(_shares),
    "11.4": on(_one_query),
    "12.2": on(lambda generator: (int(generator.choice([0, 1, 2, 3, 4, 5, 9, 10, 25, 26, 49, 50, 121, 122, 169, 170, 400, 961, 962])),)),
    "12.3": on(lambda generator: (int(generator.integers(0, 9_000)),)),
    "13.2": on(lambda generator: (int(generator.integers(1, 200)),)),
    "13.3": on(_curve, judges=False),
    "13.4": on(_fetch),
    "14.2": on(_two_products),
    "14.3": on(_embedding),
    "14.4": on(_likeness_and_order),
    "15.2": on(_turn),
    "15.3": on(_scores),
    "15.4": on(_box),
    "16.2": on(_two_vectors),
    "16.3": on(_step_of_lll, judges=False),
    "16.4": on(_knapsack),
    "17.2": on(_row_of_weights),
    "17.3": on(_lattice),
    "17.5": on(_losses_by_bits),
    "18.2": on(_values),
    "18.3": on(_p_values),
    "20.2": on(random_losses),
    "20.3": on(random_belief),
    "20.4": on(random_question),
    "21.2": on(lambda generator: (np.asarray(generator.normal(0, 2, _sizes(generator, int(generator.integers(4))))),)),
    "21.3": on(_layer),
    "21.4": on(_sentences),
    "22.2": on(_norm),
    "22.3": on(_gate),
    "22.4": on(_shared),
    "22.5": on(lambda generator: (2 * int(generator.integers(1, 33)),), seen=counted_from_the_start),
    "22.6": on(random_words, seen=readable),
}
