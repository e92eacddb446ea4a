"""Rules of the chapter on evidence: what its simulations show. What it says of the table follows from the stored runs."""

import numpy as np
from scipy.special import stdtr, stdtrit
from sentences.trials import fallen, rule

from cllm_lib.workbook.exercises.chapter_18 import holm

# What an interval promises


def coverage(seed):
    """How often intervals hold the truth, of 2,000 for each number of runs: with t, and with 1.96."""
    found = {}
    for n in (3, 5, 10, 30):
        samples = np.random.default_rng([seed, n]).normal(1.0, 1.0, (2000, n))
        off, error = np.abs(samples.mean(axis=1) - 1.0), samples.std(axis=1, ddof=1) / np.sqrt(n)
        found[str(n)] = {"t": float(np.mean(off <= stdtrit(n - 1, 0.975) * error)), "1.96": float(np.mean(off <= 1.96 * error))}
    return found


@rule("With few runs 1.96 promises 95 % and keeps less; with thirty it hardly matters.", of=coverage)
def few_runs_need_t(found):
    keeps = all(0.935 <= one["t"] < 0.965 for one in found.values())
    less = found["3"]["1.96"] < found["5"]["1.96"] < found["10"]["1.96"] < found["10"]["t"]
    return keeps and less and found["5"]["1.96"] < 0.92 and found["30"]["t"] - found["30"]["1.96"] < 0.02


# Twenty questions at once


def p_values(seeds):
    """As `p_value` of each ten seeds, all at once."""
    n = seeds.shape[-1]
    return 2 * stdtr(n - 1, -np.abs(seeds.mean(axis=-1)) / (seeds.std(axis=-1, ddof=1) / np.sqrt(n)))


def documents(seed):
    """A thousand documents of 20 claims: half with nothing in them; half with 5 true claims, or 10, or 15, judged in three ways."""
    chance = np.random.default_rng(seed).normal(0.0, 1.0, (1000, 20, 10))
    found = {"empty": float(np.mean(p_values(chance[:500]).min(axis=1) < 0.05))}
    for n_true in (5, 10, 15):
        p = p_values(chance[500:] + np.repeat([1.2, 0.0], [n_true, 20 - n_true])[:, None])
        ways = {"each": p, "Bonferroni": 20 * p, "Holm": np.array([holm(document) for document in p])}
        found[str(n_true)] = {
            name: {"found": float(np.mean(those[:, :n_true] < 0.05)), "alarms": float((those[:, n_true:] < 0.05).any(axis=1).mean())}
            for name, those in ways.items()
        }
    return found


@rule("About two documents in three would announce something, and nothing is there.", of=documents)
def whoever_looks_finds(found):
    return 7 / 12 < found["empty"] < 3 / 4


@rule("which ten seeds usually show", of=documents)
def ten_seeds_usually_show_it(found):
    return found["5"]["each"]["found"] > 0.85


@rule("and more than half of the documents carry a discovery that is none", of=documents)
def half_of_them_carry_a_false_one(found):
    return found["5"]["each"]["alarms"] > 0.5


@rule("Both corrections bring that down to the 5 % that were promised, or below", of=documents)
def corrections_keep_their_promise(found):
    return max(found["5"][name]["alarms"] for name in ("Bonferroni", "Holm")) < 0.055


def price(found):
    """What each correction finds, as a share of what is found without."""
    return [found["5"][name]["found"] / found["5"]["each"]["found"] for name in ("Bonferroni", "Holm")]


@fallen("and find less than half as much", of=documents, instead="and find about half as much")
def corrections_find_less_than_half(found):
    return max(price(found)) < 0.5


@rule("and find about half as much", of=documents)
def corrections_find_about_half(found):
    return all(0.45 <= share < 0.55 for share in price(found))


@rule("Holm finds a little more than Bonferroni, and never less; the gain grows as more of the claims are true.", of=documents)
def holm_gains_as_more_is_true(found):
    gains = [found[n]["Holm"]["found"] - found[n]["Bonferroni"]["found"] for n in ("5", "10", "15")]
    return 0 < gains[0] < gains[1] < gains[2]
