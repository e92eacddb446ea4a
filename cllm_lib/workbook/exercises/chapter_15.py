"""Exercises of 15_where_does_a_word_stand."""

import numpy as np

from cllm_lib.model.positions import POSITIONS
from cllm_lib.workbook.exercises.forms import as_array, as_word
from cllm_lib.workbook.exercises.machinery import Exercise, NotYet, Unexplained, array, call, matches, told_apart, worst

LENGTHS = ("as trained", "four times as long")
OTHER_NAMES = {"rope": "rotary", "alibi": "distance_bias"}  # under which the field knows them


def examine_bets(answer):
    """A prediction: the name of an encoding for each of two lengths."""
    try:
        given = {str(length).strip().lower(): encoding for length, encoding in dict(answer).items()}
    except (TypeError, ValueError):
        raise NotYet(f"this is of type {type(answer).__name__}; a dictionary from length to encoding was asked for.") from None
    open_ones = [length for length in LENGTHS if given.get(length, ...) is ...]
    if open_ones:
        raise NotYet(f"still open: {', '.join(repr(length) for length in open_ones)}. A guess is fine.")
    bets = {}
    for length in LENGTHS:
        if not isinstance(given[length], str):
            raise NotYet(f"for {length!r} you gave something of type {type(given[length]).__name__}; a name in quotes was asked for.")
        name = given[length].strip(" `'\"").lower().replace(" ", "_").replace("-", "_")
        bets[length] = OTHER_NAMES.get(name, name)
        if bets[length] not in POSITIONS:
            raise NotYet(f"{bets[length][:30]!r} is not in the table: take one of {', '.join(POSITIONS)}.")
    return f"{bets[LENGTHS[0]]} at the length of training, {bets[LENGTHS[1]]} at four times that. The first is settled soon."


# A turn that grows with the position


def turn(x, positions, speeds):
    """Reference: each pair of columns turned by position times speed."""
    angles = np.asarray(positions)[:, None] * np.asarray(speeds)
    first, second = x[..., 0::2], x[..., 1::2]
    y = np.zeros(np.shape(x))
    y[..., 0::2] = first * np.cos(angles) - second * np.sin(angles)
    y[..., 1::2] = first * np.sin(angles) + second * np.cos(angles)
    return y


def _turned(x, positions, speeds):
    return _turned_by(x, np.multiply.outer(positions, speeds))


def _turned_by(x, angles):
    """By complex numbers: the pair (a, b) is a + ib."""
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def examine_turn(answer):
    """Against complex numbers: one sequence, heads in front, positions from elsewhere and below 0, whole numbers."""
    generator = np.random.default_rng(19)

    def look(shape, start):
        x, speeds = generator.standard_normal(shape), generator.uniform(0.2, 1.2, shape[-1] // 2)
        positions = np.arange(start, start + shape[-2], dtype=np.int64)
        found = array(call(answer, x, positions, speeds), shape, "the result", "it has the shape of x.")
        right, half = _turned(x, positions, speeds), shape[-1] // 2
        angles = np.multiply.outer(positions, speeds)
        in_halves = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
        first, second = x[..., 0::2], x[..., 1::2]
        overwritten = right.copy()
        overwritten[..., 1::2] = right[..., 0::2] * np.sin(angles) + second * np.cos(angles)
        interleaved = np.concatenate([right[..., 0::2], right[..., 1::2]], axis=-1)
        slips = {
            "That is x as it came: nothing was turned.": x,
            "Turned the other way round. The first of a pair becomes a cos - b sin, the second a sin + b cos.": _turned(
                x, -positions, speeds
            ),
            "Your pairs are column i and i + d/2, another form in use. Here neighbours are a pair: 2i and 2i + 1.": (
                np.concatenate([in_halves.real, in_halves.imag], axis=-1)
            ),
            "All your pairs turn at the first speed. Pair i has speeds[i].": _turned(x, positions, np.full(half, speeds[0])),
            "All rows turn by the same angle: that is the program's symmetry operation. Row t turns by positions[t] * speeds.": [
                _turned(x, np.ones(shape[-2]), speeds),
                _turned(x, np.full(shape[-2], positions[0]), speeds),
            ],
            "The positions are not used: row t stands at positions[t], which need not be t.": _turned(
                x, np.arange(shape[-2], dtype=np.int64), speeds
            ),
            "The second of a pair was computed from a first that had been turned already. Keep the old one.": overwritten,
            "Sine and cosine are exchanged.": (
                np.stack([first * np.sin(angles) - second * np.cos(angles), first * np.cos(angles) + second * np.sin(angles)], axis=-1)
            ).reshape(shape),
            "A minus is missing: a cos + b sin and a sin + b cos change the lengths. The first of the two has the minus.": (
                np.stack([first * np.cos(angles) + second * np.sin(angles), first * np.sin(angles) + second * np.cos(angles)], axis=-1)
            ).reshape(shape),
            "The numbers are right and in another order: the first of each pair goes back to column 2i, the second to 2i + 1.": interleaved,
            "The angle is taken for degrees: np.cos takes radians.": _turned(x, positions, np.deg2rad(speeds)),
            "You add position and speed; the angle is their product.": _turned_by(x, np.add.outer(positions, speeds)),
            "You turn by 2 pi times the angle: the speeds are radians already, not whole turns.": _turned(x, positions, 2 * np.pi * speeds),
        }
        return worst("the result", found, right), found, right, slips

    cases = (((4, 6), 0), ((6, 6), 3), ((2, 3, 5, 4), -2))
    told_apart(look, cases, matches, "Each pair (a, b) of row t turns by positions[t] * speeds[i].")
    whole = np.array([[1, 0], [0, 2], [3, 1]], dtype=np.int64)
    found = array(call(answer, whole, np.arange(3, dtype=np.int64), np.array([0.5])), whole.shape, "the result", "it has the shape of x.")
    right = _turned(whole.astype(float), np.arange(3, dtype=np.int64), np.array([0.5]))
    if not matches(found, right):
        if matches(found, np.trunc(right)):
            raise NotYet(
                "right for floats; from whole numbers the fractions are lost. np.empty_like(x) has the type of x: take np.empty(x.shape)."
            )
        raise Unexplained(worst("of whole numbers the result", found, right), "The same turn was asked for.")


# A distance to subtract


def distance_scores(scores, slopes):
    """Reference: minus slope times distance, in each head."""
    position = np.arange(scores.shape[-1], dtype=np.int64)
    return scores - np.asarray(slopes)[:, None, None] * np.abs(position[:, None] - position)


def examine_distance_scores(answer):
    """Against loops; as many heads as positions once, so that a slope on the wrong axis fits and shows."""
    generator = np.random.default_rng(23)

    def look(heads, time):
        scores, slopes = generator.standard_normal((heads, time, time)), generator.uniform(0.2, 0.9, heads)
        given = call(answer, scores, slopes)
        later = np.triu(np.ones((time, time), dtype=bool), k=1)
        if time > 1 and np.shape(given) == scores.shape and np.array_equal(np.isneginf(given), np.broadcast_to(later, scores.shape)):
            raise NotYet("later keys got minus infinity. Leave masking to the model; here they keep their score, less the distance.")
        found = array(given, scores.shape, "the result", "it has the shape of the scores.")
        right = np.array([[[scores[h, i, j] - slopes[h] * abs(i - j) for j in range(time)] for i in range(time)] for h in range(heads)])
        position = np.arange(time, dtype=np.int64)
        apart, slope = np.abs(position[:, None] - position), slopes[:, None, None]
        slips = {
            "The scores came back as they were.": scores,
            "The sign: you raise what is far. Subtract.": scores + slope * apart,
            "That multiplies, as the program did: a factor raises what is below 0. Subtract slope * distance.": [
                scores / (1 + apart),
                scores / (1 + slope * apart),
                scores * (1 - slope * apart),
                scores * slope * apart,
            ],
            "Without abs: a later key gets a higher score in yours. |i - j| is the same both ways.": (
                scores - slope * (position[:, None] - position)
            ),
            "Without abs: an earlier key gets a higher score in yours. |i - j| is the same both ways.": (
                scores - slope * (position - position[:, None])
            ),
            "Later keys keep their score in yours; the mask comes after. Asked for is |i - j| on both sides.": scores
            - slope * np.tril(apart),
            "That is the distance of the key from the beginning, j. Asked for is that of query and key, |i - j|.": scores
            - slope * position,
            "That is the distance squared.": scores - slope * apart**2,
            "The slopes are missing: every head subtracts the same distance.": scores - apart,
            "The slope belongs to the head, the first axis: slopes[:, None, None].": (
                [scores - slopes * apart, scores - slopes[:, None] * apart] if heads == time else None
            ),
            "That is the bias alone. Add it to the scores.": -slope * apart,
            "All heads have the first slope in yours.": scores - slopes[0] * apart,
        }
        return worst("the result", found, right), found, right, slips

    told_apart(look, ((2, 5), (4, 4), (1, 1)), matches, "From score [h, i, j] goes slopes[h] * |i - j|.")


# An experiment

ANSWERS = ("nothing", "distance", "places")
N_PLACES = 64


def what_it_sees(score):
    """Reference: does anything change the score, and does moving both alike change it?"""
    pairs = [(m, n) for m in range(N_PLACES - 1) for n in range(m + 1)]
    before = np.array([score(m, n) for m, n in pairs])
    after = np.array([score(m + 1, n + 1) for m, n in pairs])
    if np.ptp(np.append(before, after)) < 1e-9:
        return "nothing"
    return "distance" if np.abs(after - before).max() < 1e-9 else "places"


def _boxes():
    """Name, what it sees, and the score of a query at m and a key at n; each with what a hasty experiment misses in it."""
    generator = np.random.default_rng(29)
    query, key = generator.standard_normal((2, 8))
    speeds = 10_000.0 ** (-np.arange(0, 8, 2, dtype=np.int64) / 8)
    table = generator.standard_normal((N_PLACES, 8))

    def turned(x, place, speed=speeds):
        return _turned(x[None], [place], speed)[0]

    def clock(place):
        angle = 2 * np.pi * (place % 12) / 12
        return np.array([np.sin(k * angle) if side else np.cos(k * angle) for k in range(1, 5) for side in (0, 1)])

    return (
        ("one without positions", "nothing", lambda m, n: query @ key),
        ("one that turns query and key by the same angle, wherever they stand", "nothing", lambda m, n: turned(query, 5) @ turned(key, 5)),
        ("rotary embedding", "distance", lambda m, n: turned(query, m) @ turned(key, n)),
        ("a rotary embedding that turns slowly", "distance", lambda m, n: turned(query, m, 1e-4 * speeds) @ turned(key, n, 1e-4 * speeds)),
        ("a distance bias", "distance", lambda m, n: query @ key - 0.25 * abs(m - n)),
        ("a table of learned positions", "places", lambda m, n: (query + table[m]) @ (key + table[n])),
        ("a clock of twelve hours", "places", lambda m, n: (query + clock(m)) @ (key + clock(n))),
        ("a rotary embedding with its key turned backwards", "places", lambda m, n: turned(query, m) @ turned(key, -n)),
        ("one that knows the key's place only", "places", lambda m, n: query @ (key + table[n])),
        ("one that knows the query's place only", "places", lambda m, n: (query + table[m]) @ key),
        ("a distance that counts only from five on", "distance", lambda m, n: query @ key - 0.25 * max(0, abs(m - n) - 4)),
        ("one that is told places from 10 on", "places", lambda m, n: query @ key - 0.1 * max(0, m - 10)),
        ("one whose first two places are alike", "places", lambda m, n: query @ key - 0.1 * max(0, n - 1)),
        ("a clock with faint hands", "places", lambda m, n: (query + 1e-7 * clock(m)) @ (key + 1e-7 * clock(n))),
        ("one in which what a step back costs grows with the place", "places", lambda m, n: query @ key - 0.01 * (m - n) * (1 + m)),
        ("the same from the second step on", "places", lambda m, n: query @ key - abs(m - n) - 0.01 * max(0, m - n - 1) * (1 + m)),
        ("one that is told places from 62 on", "places", lambda m, n: query @ key - 0.1 * max(0, m - 61)),
        ("a distance bias that is another where both stand at the end", "places", lambda m, n: query @ key - abs(m - n) + (m == n == 63)),
    )


def examine_what_it_sees(answer):
    """Boxes of every kind, each with what a hasty experiment misses in it."""
    for name, sees, score in _boxes():

        def box(m, n, score=score):
            for place in (m, n):
                if not 0 <= place < N_PLACES:
                    raise NotYet(f"positions run from 0 to {N_PLACES - 1}; your function asked for the score of {m} and {n}.")
            return float(score(int(m), int(n)))

        said = call(answer, box)
        if not isinstance(said, str) or said.strip().lower() not in ANSWERS:
            raise NotYet(f"it returned {said!r:.40}; one of {', '.join(map(repr, ANSWERS))} was asked for.")
        said = said.strip().lower()
        if said == sees:
            continue
        raise Unexplained(f"{name}: you say {said!r}; {sees!r} was asked for.", _WHAT_WAS_MISSED[sees, said])


_WHAT_WAS_MISSED = {
    ("nothing", "distance"): "Moving both alike does not change its score, right; but does anything? Ask that first.",
    (
        "nothing",
        "places",
    ): "Its score is the same everywhere but for rounding, some 1e-16. Do you ask for that first, and leave 1e-9 for rounding?",
    (
        "distance",
        "nothing",
    ): "Its score does change. Did you move query and key always together, look near only, or call a small change none? It may be 1e-6.",
    ("distance", "places"): (
        "Moving *both* alike leaves its score as it is, but for rounding. "
        "Did you move one of them only, compare with ==, or forget that m - n has a sign?"
    ),
    ("places", "nothing"): (
        "Its score does change: move the query alone, the key alone, and both, from many pairs, up to position 63. "
        "(np.allclose and np.isclose let 1e-5 of a number pass unless told rtol=0.)"
    ),
    ("places", "distance"): (
        "Moving both alike changes its score, for some pairs and moves. A clock is itself again after 12: try moves of 1, 2, 3, "
        "and many pairs, up to position 63. (np.allclose needs rtol=0.)"
    ),
}


EXERCISES = {
    "15.1": Exercise(None, examine_bets, bet=True),
    "15.2": Exercise(turn, examine_turn, form=as_array),
    "15.3": Exercise(distance_scores, examine_distance_scores, form=as_array),
    "15.4": Exercise(what_it_sees, examine_what_it_sees, form=as_word),
}
