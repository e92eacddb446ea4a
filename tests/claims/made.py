"""What the tests of the claims share: runs made up for a test, and runs made anew."""

import numpy as np
import pytest

from cllm_lib import claims
from cllm_lib.claims import Run, judging, registry, suspects

SEEDS = range(10)


def store(monkeypatch, name, numbers, seeds=SEEDS, text=""):
    """Put runs in place of those on disk.

    Parameters
    ----------
    name : str
        Of the experiment; what others stored stays.
    numbers : dict of (str, str) to float or sequence of float
        By variant and measure, one for all seeds or one for each.
    seeds : range
    text : str
        On which text; what the experiment stored of others goes.
    """
    made = {
        Run(variant, text, seed, measure): float(value)
        for (variant, measure), of_seeds in numbers.items()
        for seed, value in zip(seeds, np.broadcast_to(of_seeds, len(seeds)), strict=True)
    }
    kept = registry.runs
    monkeypatch.setattr(registry, "runs", lambda asked: made if asked == name else kept(asked))


def kind(judge):
    """Of its verdict."""
    return judging.kind_of(judge()[1])


def losses(after, before=9.21):
    """Of all settings of the suspects, to be stored: a function of each gives where it ends."""
    ends = {name: after(one) for name, one in suspects.TRIALS.items()}
    numbers = {(name, "before"): before for name in ends} | {(name, "after"): end for name, end in ends.items()}
    return numbers | {(name, "gradient"): 0.0 if one.weights == "zero" else 1.0 for name, one in suspects.TRIALS.items()}


def assert_comes_back(name, rel=1e-4, **chosen):
    """Make runs now, a few of them if none is named, and compare with those stored; another processor rounds sums elsewhere."""
    stored = claims.runs(name)
    for run, value in claims.recompute(name, **chosen).items():
        assert value == pytest.approx(stored[run], rel=rel), run
