"""Answers unlike the slips that checks know: two mistakes at once, memory, other axes. None passes or is told another's name."""

import contextlib
import io
import math

import numpy as np
import pytest

from cllm_lib.workbook.exercises import exercises_of
from cllm_lib.workbook.exercises.arguments import TRIALS
from cllm_lib.workbook.exercises.checking import examined
from cllm_lib.workbook.exercises.machinery import Named, NotYet


def solution(number):
    return exercises_of(number[:2])[number].reference


def then(number, change):
    """The solution, with something done to what it returns."""
    return lambda *given: change(solution(number)(*given))


def remembers(number, key):
    """The solution, which looks up what it has found before under a key that does not tell enough."""
    kept = {}

    def answer(*given):
        name = key(*given)
        if name not in kept:
            kept[name] = solution(number)(*given)
        return kept[name]

    return answer


def momentum_in_neither(parameters, gradients, velocity, rate, momentum=0.9):
    velocity[...] = momentum * velocity + (1 - momentum) * gradients
    parameters -= rate * gradients


def adam_twice_wrong(parameters, gradients, m, v, t, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    m[...] = beta1 * m + (1 - beta1) * gradients
    v[...] = beta2 * v + (1 - beta2) * gradients**2
    parameters -= rate * m / (np.sqrt(v) + 2 * eps)


def spoils_the_scores(scores, slopes):
    scores -= slopes[:, None, None]
    return scores


def half_and_turned(x, w, b, target):
    dy = target - math.tanh(w * x + b)
    return dy * w, dy * x, dy


WRONG = {
    "bits, and the sign turned": ("01.2", lambda size: -math.log2(size)),
    "rounded to half precision": ("01.3", then("01.3", lambda found: {name: np.float16(value) for name, value in found.items()})),
    "no root, and a layer short": ("02.2", lambda variance, n, eps=1e-5: (1 / (variance + eps)) ** (n - 1)),
    "each side sorted": ("03.2", lambda inputs, targets: solution("03.2")(np.sort(inputs.ravel()), np.sort(targets.ravel()))),
    "unscaled, and masked late": ("03.3", lambda q, k: (lambda e: e / e.sum(-1, keepdims=True) * np.tri(len(q)))(np.exp(q @ k.T))),
    "heads cut along the wrong axis": ("03.4", lambda x, n: x.reshape(n, x.shape[0], x.shape[1], -1).swapaxes(0, 1)),
    "sign, and no slope": ("05.2", half_and_turned),
    "half precision": ("05.3", then("05.3", np.float16)),
    "remembered by shape": ("05.3", remembers("05.3", lambda dw, w: w.shape)),
    "a running mean that is not used": ("07.2", momentum_in_neither),
    "no correction, and eps twice": ("07.4", adam_twice_wrong),
    "shares of one word less": (
        "08.2",
        lambda targets: (lambda c: -(c / (c.sum() - 1 + 1e-9) * np.log(c / c.sum())).sum())(np.unique(targets, return_counts=True)[1]),
    ),
    "runs a word too long": ("10.3", lambda train, held_out, n: solution("10.3")(train, held_out, n + 1)),
    "primes by base two": ("12.2", lambda n: [m for m in range(2, n) if m == 2 or pow(2, m - 1, m) == 1]),
    "a third of it": ("14.3", then("14.3", lambda gradient: gradient / 3)),
    "changed in place": ("15.3", spoils_the_scores),
    "moved by half precision": ("17.3", lambda basis, target: solution("17.3")(basis.astype(np.float16).astype(float), target)),
    "two of three parts wrong": ("18.2", lambda v, c: tuple(v.mean() + s * 1.96 * v.std() / math.sqrt(len(v)) for s in (-1, 1))),
    "about the median": ("18.2", lambda v, c: tuple(end - v.mean() + np.median(v) for end in solution("18.2")(v, c))),
    "neither cut off nor put back": ("18.3", lambda p: np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1, dtype=np.int64))),
    "both norms with another eps, and sums exchanged": ("21.3", lambda x, layer, attention: attention(x, layer["attention"]) - x),
    "mirrored, and exchanged": ("13.2", then("13.2", lambda place: (-place[1], -place[0]))),
    "pages of one row more": ("13.4", lambda places, per_page: solution("13.4")(places, per_page + 1)),
    "a mean over one token less": ("21.4", lambda h, t: (h * t[..., None]).sum(1) / np.maximum(t.sum(1, keepdims=True) - 1, 1)),
    "remembered by length": ("11.2", remembers("11.2", lambda p, k: (len(p), k))),
    "products entry by entry": ("11.4", lambda q, k, v: (np.exp(k * q) / np.exp(k * q).sum() @ np.ones(len(q))) @ v),
}
RIGHT = {
    "in single precision": ("01.3", then("01.3", lambda found: {name: np.float32(value) for name, value in found.items()})),
    "an array of heads": ("03.4", lambda x, n: np.array(np.split(x, n, axis=-1)).swapaxes(0, 1)),
    "a generator": ("04.2", then("04.2", iter)),
    "a view": ("11.2", then("11.2", lambda kept: kept[:])),
    "halves rounded up": ("16.2", lambda short, long: long - math.floor((long @ short) / (short @ short) + 0.5) * short),
}


def judged(number, answer):
    with contextlib.redirect_stdout(io.StringIO()):
        examined(exercises_of(number[:2])[number], TRIALS.get(number), answer)


@pytest.mark.parametrize("case", WRONG)
def test_none_passes_and_none_is_told_the_name_of_another_mistake(case):
    with pytest.raises(NotYet) as told:
        judged(*WRONG[case])
    assert not isinstance(told.value, Named)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("case", RIGHT)
def test_right_answers_of_another_making_pass(case):
    judged(*RIGHT[case])
