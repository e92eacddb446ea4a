"""The multiverse of "fewer epochs": every way to judge it that somebody might take in good faith, and what each of them says.

:mod:`~cllm_lib.claims.epochs` judges the claim in one way that was fixed beforehand. Here the pull by features is compared in
all ways that six choices leave open: on which text, how strong, against which control, to which target, with rates chosen by
which rule, and on which ten seeds. Nothing here is a verdict; it shows how much of an answer is the way one asked.

Multiverse analysis: Steegen, Tuerlinckx, Gelman and Vanpaemel, "Increasing Transparency Through a Multiverse Analysis", 2016.
The figure is a specification curve: Simonsohn, Simmons and Nelson, "Specification curve analysis", 2020.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from cllm_lib.claims.registry import read_once, stored
from cllm_lib.experiments.intervals import Interval, interval

OURS = "by features"
CONTROLS = ("plain", "all alike", "of another word")
RULES = {  # what a rate is chosen by: epochs to the target and lowest loss of each tuning seed -> a number, the least is taken
    "mean of ten": lambda epochs, lowest: epochs.mean(),
    "median of ten": lambda epochs, lowest: np.median(epochs),
    "mean of three": lambda epochs, lowest: epochs[:3].mean(),
    "median of three": lambda epochs, lowest: np.median(epochs[:3]),
    "lowest loss": lambda epochs, lowest: lowest.mean(),
}


@dataclass(frozen=True)
class Way:
    """One way through the choices, and its answer.

    Attributes
    ----------
    choices : dict of str to str
        "text", "strength", "control", "target", "rates by", "seeds".
    difference : Interval
        Epochs of the pull by features minus those of the control, in shares of the horizon: mean over ten pairs of runs, and
        Student's interval of 95 %, corrected for nothing.
    """

    choices: dict
    difference: Interval

    @property
    def favours(self):
        """Which side the whole interval is on, as "features", "control" or "neither"."""
        if self.difference.high < 0:
            return "features"
        return "control" if self.difference.low > 0 else "neither"


def arm(kind, strength):
    """How a side is called in the stored runs: a plain model has no strength."""
    return "plain" if kind == "plain" else f"{kind}, {strength:g}"


def chosen_rate(tuning, target, rule):
    """The learning rate that a rule of :data:`RULES` takes.

    Parameters
    ----------
    tuning : dict of str to dict
        By rate: for each target the epochs of the tuning seeds, and under "lowest" their lowest losses.
    target, rule : str

    Returns
    -------
    str
        A key of `tuning`. Ties go to the lower mean of the lowest losses.
    """

    def rank(rate):
        epochs, lowest = (np.asarray(tuning[rate][key], dtype=float) for key in (target, "lowest"))
        return RULES[rule](epochs, lowest), lowest.mean()

    return min(tuning, key=rank)


@read_once
def ways():
    """All ways, in the order of their choices.

    Returns
    -------
    list of Way
    """
    kept, found = stored("multiverse"), []
    for text, strength, control in itertools.product(kept["texts"], kept["strengths"], CONTROLS):
        horizon = kept["texts"][text]["horizon"]
        sides = [kept["runs"][text][arm(kind, strength)] for kind in (OURS, control)]
        for target, rule in itertools.product(kept["targets"], RULES):
            ours, others = (np.array(one["judging"][chosen_rate(one["tuning"], target, rule)][target]) for one in sides)
            differences = (ours - others) / horizon
            for seeds, part in blocks(kept["judging seeds"]).items():
                named = (text, f"{strength:,g}", control, target, rule, seeds)
                found.append(Way(dict(zip(kept["choices"], named, strict=True)), interval(differences[part])))
    return found


def blocks(seeds, size=10):
    """Seeds in blocks of ten: how each is called, and which places it has.

    Returns
    -------
    dict of str to slice
    """
    return {f"{seeds[at]} to {seeds[at + size - 1]}": slice(at, at + size) for at in range(0, len(seeds), size)}


def shares(found):
    """For each option of each choice, which share of the ways favours whom.

    Parameters
    ----------
    found : sequence of Way

    Returns
    -------
    dict of (str, str) to dict of str to float
        By choice and option; ("", "all") for all ways.
    """
    options = {name: dict.fromkeys(way.choices[name] for way in found) for name in found[0].choices}
    groups = {("", "all"): list(found)}
    groups |= {(name, option): [way for way in found if way.choices[name] == option] for name in options for option in options[name]}
    sides = ("features", "neither", "control")
    return {choice: {side: sum(way.favours == side for way in group) / len(group) for side in sides} for choice, group in groups.items()}
