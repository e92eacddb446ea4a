"""Answers for chapter 15: plausible wrong ones with the message each must get, unusual right ones, and wrong ones as typed."""

import math

import numpy as np
from workbook.answers.common import broken_arrays, raises, returns

# 15.1


def bets(trained="rotary", longer="rotary"):
    return {"as trained": trained, "four times as long": longer}


# 15.2


def turned(x, angles, first=lambda a, b, c, s: a * c - b * s, second=lambda a, b, c, s: a * s + b * c, like=None):
    a, b, c, s = x[..., 0::2], x[..., 1::2], np.cos(angles), np.sin(angles)
    y = np.empty(x.shape) if like is None else np.empty_like(x)
    y[..., 0::2], y[..., 1::2] = first(a, b, c, s), second(a, b, c, s)
    return y


def turn(**slips):
    return lambda x, positions, speeds: turned(x, np.outer(positions, speeds), **slips)


def turn_in_halves(x, positions, speeds):
    a, b = np.split(x, 2, axis=-1)
    c, s = np.cos(np.outer(positions, speeds)), np.sin(np.outer(positions, speeds))
    return np.concatenate([a * c - b * s, a * s + b * c], axis=-1)


def turn_overwrites(x, positions, speeds):
    y, angles = np.array(x, dtype=float), np.outer(positions, speeds)
    y[..., 0::2] = y[..., 0::2] * np.cos(angles) - y[..., 1::2] * np.sin(angles)
    y[..., 1::2] = y[..., 0::2] * np.sin(angles) + y[..., 1::2] * np.cos(angles)
    return y


def turn_in_place(x, positions, speeds):
    x[...] = turned(x, np.outer(positions, speeds))
    return x


def turn_in_another_order(x, positions, speeds):
    y = turned(x, np.outer(positions, speeds))
    return np.concatenate([y[..., 0::2], y[..., 1::2]], axis=-1)


def turn_by_complex_numbers(x, positions, speeds):
    z = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * np.multiply.outer(positions, speeds))
    return np.stack([z.real, z.imag], axis=-1).reshape(x.shape)


def turn_by_matrices(x, positions, speeds):
    y = np.array(x, dtype=float)
    for t, position in enumerate(positions):
        for i, speed in enumerate(speeds):
            c, s = math.cos(position * speed), math.sin(position * speed)
            y[..., t, 2 * i : 2 * i + 2] = y[..., t, 2 * i : 2 * i + 2] @ np.array([[c, s], [-s, c]])
    return y


# 15.3


def apart(scores, difference=lambda i, j: abs(i - j)):
    i, j = np.indices(scores.shape[-2:], dtype=np.int64)
    return difference(i, j)


def distances_in_loops(scores, slopes):
    result = np.array(scores)
    for h, i, j in np.ndindex(result.shape):
        result[h, i, j] -= slopes[h] * abs(i - j)
    return result


def masked_distances(scores, slopes):
    return np.where(apart(scores, lambda i, j: i >= j), distances_in_loops(scores, slopes), -np.inf)


def distances_in_place(scores, slopes):
    scores -= slopes[:, None, None] * apart(scores)
    return scores


# 15.4

EVERYWHERE = tuple((m, n) for m in range(63) for n in range(m + 1))


def experiment(pairs=tuple((m, n) for m in range(12) for n in range(m + 1)), moves=range(1, 15), room=1e-9, nothing=True):
    def what_it_sees(score):
        before = [score(m, n) for m, n in pairs]
        moved = [[score(m + by, n + by) for m, n in pairs] for by in moves]
        if nothing and max(map(max, [before, *moved])) - min(map(min, [before, *moved])) <= room:
            return "nothing"
        changes = max(abs(a - b) for row in moved for a, b in zip(row, before, strict=True))
        return "distance" if changes <= room else "places"

    return what_it_sees


def moves_the_query_only(score):
    changes = [abs(score(m + 1, 3) - score(m, 3)) for m in range(10)]
    return "nothing" if max(changes) < 1e-9 else "places"


def three_calls(score):
    start, both, one = score(0, 0), score(1, 1), score(1, 0)
    if abs(both - start) < 1e-9:
        return "nothing" if abs(one - start) < 1e-9 else "distance"
    return "places"


def one_move_of_one_pair(score):
    far = [score(9, n) for n in range(10)]
    if np.ptp([*far, score(8, 2), score(20, 2)]) < 1e-9:
        return "nothing"
    return "distance" if abs(score(6, 3) - score(5, 2)) < 1e-9 else "places"


def moves_from_the_first_key(score):
    pairs = [(m, 0) for m in range(40)]
    scores = [[score(m + by, n + by) for m, n in pairs] for by in (0, 1)]
    if np.ptp([*scores, [score(40, n) for n in range(40)]]) < 1e-9:
        return "nothing"
    return "distance" if np.abs(np.subtract(*scores)).max() < 1e-9 else "places"


def by_allclose(score):
    scores = np.array([[score(m, n) for n in range(30)] for m in range(30)])
    if np.allclose(scores, scores[0, 0], atol=1e-9):
        return "nothing"
    return "distance" if np.allclose(scores[1:, 1:], scores[:-1, :-1], atol=1e-9) else "places"


def sees_by_matrix(score):
    scores = np.array([[score(m, n) for n in range(64)] for m in range(64)])
    if np.allclose(scores, scores[0, 0], rtol=0, atol=1e-10):
        return "NOTHING"
    along = [np.ptp(np.diagonal(scores, k)) for k in range(-63, 64)]
    return "Places" if max(along) > 1e-10 else "Distance"


def sees_by(differ):
    def what_it_sees(score):
        scores = np.array([[score(m, n) for n in range(64)] for m in range(64)])
        if np.ptp(scores) < 1e-9:
            return "nothing"
        return "places" if differ(scores) > 1e-9 else "distance"

    return what_it_sees


sees_by_diagonal = sees_by(lambda scores: np.ptp(np.diag(scores)))
sees_by_neighbours = sees_by(lambda scores: max(np.ptp(np.diagonal(scores, k)) for k in (-1, 0, 1)))


WRONG = {
    "15.1": [
        (bets("relative"), "not in the table: take one of none, sinusoidal"),
        ({"as trained": "rotary"}, "still open: 'four times as long'"),
        ("rotary", "a dictionary from length to encoding"),
        (bets(3), "a name in quotes"),
        (bets(longer=None), "a name in quotes"),
        (bets(longer=...), "still open"),
        (None, "a dictionary from length to encoding"),
        (np.zeros(3), "a dictionary"),
    ],
    "15.2": [
        (lambda x, positions, speeds: turned(x, np.outer(-positions, speeds)), "the other way round"),
        (turn_in_halves, r"i \+ d/2"),
        (turn_overwrites, "turned already"),
        (lambda x, positions, speeds: x.copy(), "nothing was turned"),
        (lambda x, positions, speeds: turned(x, np.outer(positions, np.full_like(speeds, speeds[0]))), "at the first speed"),
        (lambda x, positions, speeds: turned(x, speeds), "the program's symmetry operation"),
        (lambda x, positions, speeds: turned(x, np.outer(np.arange(x.shape[-2], dtype=np.int64), speeds)), "need not be t"),
        (turn(first=lambda a, b, c, s: a * s - b * c, second=lambda a, b, c, s: a * c + b * s), "exchanged"),
        (turn(first=lambda a, b, c, s: a * c + b * s), "A minus is missing"),
        (turn_in_another_order, "in another order"),
        (lambda x, positions, speeds: turned(x, np.deg2rad(np.outer(positions, speeds))), "takes radians"),
        (lambda x, positions, speeds: turned(x, positions[:, None] + speeds), "the angle is their product"),
        (lambda x, positions, speeds: turned(x, 2 * np.pi * np.outer(positions, speeds)), "not whole turns"),
        (turn(like=True), "the fractions are lost"),
        (turn(second=lambda a, b, c, s: a), "Each pair"),
        (turn_in_place, "changed its input"),
        (lambda x, positions, speeds: turn()(x, positions.astype(np.int64), speeds), "result at"),
        (lambda x, positions, speeds: turned(x, positions * speeds), "it raised ValueError"),
        *broken_arrays((4, 6)),
    ],
    "15.3": [
        (lambda scores, slopes: scores / (1 + apart(scores)), "That multiplies"),
        (lambda scores, slopes: scores + slopes[:, None, None] * apart(scores), "you raise what is far"),
        (lambda scores, slopes: scores - slopes[:, None, None] * apart(scores, lambda i, j: i - j), "Without abs"),
        (lambda scores, slopes: scores - slopes[:, None, None] * apart(scores, lambda i, j: j - i), "Without abs"),
        (lambda scores, slopes: scores / (1 + slopes[:, None, None] * apart(scores)), "That multiplies"),
        (lambda scores, slopes: scores.copy(), "as they were"),
        (lambda scores, slopes: scores - slopes[:, None, None] * apart(scores, lambda i, j: j), "from the beginning"),
        (lambda scores, slopes: scores - slopes[:, None, None] * apart(scores) ** 2, "squared"),
        (lambda scores, slopes: scores - apart(scores), "The slopes are missing"),
        (lambda scores, slopes: scores - slopes * apart(scores), "it raised ValueError"),
        (lambda scores, slopes: np.stack([s - np.resize(slopes, len(s)) * apart(scores) for s in scores]), "result at"),
        (lambda scores, slopes: -slopes[:, None, None] * apart(scores), "the bias alone"),
        (lambda scores, slopes: scores - slopes[0] * apart(scores), "the first slope"),
        (lambda scores, slopes: scores - slopes[:, None, None] * np.tril(apart(scores)), "the mask comes after"),
        (lambda scores, slopes: scores - slopes[:, None, None] * apart(scores, lambda i, j: np.maximum(i - j, 0)), "the mask comes after"),
        (masked_distances, "Leave masking to the model"),
        (lambda scores, slopes: scores - 1.0, "result at"),
        (distances_in_place, "changed its input"),
        (lambda scores, slopes: distances_in_loops(scores, abs(slopes)), "result at|abs"),
        *broken_arrays((2, 5, 5)),
    ],
    "15.4": [
        (sees_by_diagonal, "grows with the place: you say 'distance'"),
        (sees_by_neighbours, "from the second step on: you say 'distance'"),
        (experiment(EVERYWHERE[:-63], moves=[1]), "told places from 62 on|both stand at the end"),
        (experiment(room=1e-3, moves=[1], pairs=EVERYWHERE), "a small change none|turns slowly|faint hands"),
        (experiment(moves=[12]), "a clock of twelve hours: you say 'distance'"),
        (experiment(nothing=False), "does anything"),
        (experiment(room=0.0), "but for rounding"),
        (moves_the_query_only, "rotary embedding: you say 'places'"),
        (experiment(room=1e-2), "turns slowly: you say 'nothing'"),
        (experiment(pairs=[(m, m) for m in range(12)]), "rotary embedding: you say 'nothing'"),
        (three_calls, "from five on: you say 'nothing'"),
        (experiment(pairs=[(5, 2)], moves=[1]), "you say 'nothing'"),
        (one_move_of_one_pair, "told places from 10 on: you say 'distance'"),
        (moves_from_the_first_key, "first two places are alike: you say 'distance'"),
        (by_allclose, r"faint hands: you say 'nothing'. .*rtol=0"),
        (experiment(moves=range(1, 64)), "positions run from 0 to 63"),
        (lambda score: score(3, 2) == score(4, 3), "it returned (True|False); one of 'nothing'"),
        (returns("relative"), "it returned 'relative'"),
        (returns("nothing"), "Its score does change"),
        (returns("places"), "Do you ask for that first"),
        (returns(None), "returned None"),
        (raises, "it raised KeyError"),
        (returns(float("nan")), "it returned nan"),
        (returns(np.zeros(3)), "one of 'nothing'"),
        (lambda score: score(2), "it raised TypeError"),
        (0.5, "a function was asked for"),
        (experiment(pairs=[(m, n) for m in range(12) for n in range(12)], moves=[1]), "told places from 62 on"),
        (experiment(pairs=[(m, n) for m in range(61) for n in range(m + 1)], moves=[1]), "told places from 62 on"),
    ],
}

RIGHT = {
    "15.1": [
        bets(),
        bets("Distance bias", " none "),
        bets("distance-bias", "`rotary`"),
        bets("RoPE", "ALiBi"),
        [("as trained", "clock"), ("four times as long", "prime")],
        bets() | {"prose": "none"},
    ],
    "15.2": [turn(), turn_by_complex_numbers, turn_by_matrices],
    "15.3": [
        distances_in_loops,
        lambda scores, slopes: (scores - np.einsum("h,ij->hij", slopes, apart(scores))).astype(np.float32),
        lambda scores, slopes: np.stack([s - m * apart(scores) for s, m in zip(scores, slopes, strict=True)]),
    ],
    "15.4": [experiment(EVERYWHERE, moves=[1]), experiment(EVERYWHERE[::-1], moves=[1]), sees_by_matrix],
}

TYPED_WRONG = {
    "15.1": 'my_bets = {"as trained": "relative", "four times as long": "rotary"}',
    "15.2": "def turn(x, positions, speeds):\n    return x * np.cos(positions[:, None])",
    "15.3": "def distance_scores(scores, slopes):\n    return scores / (1 + slopes[:, None, None])",
    "15.4": "def what_it_sees(score):\n    return 'places'",
}
