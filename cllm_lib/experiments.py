"""Variants, seeds, and what a mean over a few seeds allows one to say.

One run is an anecdote: another seed gives another number. So a comparison is run over several seeds, every variant with
the same ones, and ends in an interval.
"""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and the confidence interval around it.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float

    def __format__(self, specification):
        """`f"{interval:.2f}"` gives "0.52 (0.48 to 0.56)"."""
        return f"{self.mean:{specification}} ({self.low:{specification}} to {self.high:{specification}})"

    def __contains__(self, value):
        return self.low <= value <= self.high

    @property
    def clear_of_zero(self):
        """Whether 0 lies outside: then the sign of the mean is not an accident of these seeds, at this confidence."""
        return 0.0 not in self


def interval(values, confidence=CONFIDENCE):
    """The mean of a few independent values, with Student's confidence interval.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        One for each seed; at least two.
    confidence : float
        How often, over many such experiments, the interval holds the true mean; between 0 and 1.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than two values, one is not finite, or `confidence` is not between 0 and 1.

    Notes
    -----
    mean +- t s / sqrt(n), with s the standard deviation over n - 1 and t the quantile of Student's distribution with
    n - 1 degrees of freedom: wider than the normal's 1.96, for s is itself estimated from few values (Student 1908,
    "The Probable Error of a Mean"). It takes the values to be roughly normal.

    Examples
    --------
    >>> f"{interval([1.0, 2.0, 3.0]):.2f}"
    '2.00 (-0.48 to 4.48)'
    """
    from scipy.special import stdtrit  # here, not above: a quarter of a second that a reader of a table need not wait

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values have shape {values.shape}: an interval needs a list of at least two, one for each seed")
    if not np.isfinite(values).all():
        raise ValueError(
            f"values[{int(np.argmin(np.isfinite(values)))}] is not finite: say what happened to that run instead of averaging it"
        )
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence!r}: give a share between 0 and 1, such as 0.95")
    mean = float(values.mean())
    quantile = stdtrit(len(values) - 1, 0.5 + confidence / 2.0)
    half = float(quantile * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def paired_difference(ours, others, confidence=CONFIDENCE):
    """The mean of ours - others, seed by seed, with its interval.

    Where both saw the same seed, much of what the seed did to one it did to the other, and falls out of the difference.

    Parameters
    ----------
    ours, others : array_like of float, shape (n,)
        Element i of both comes from the same seed.
    confidence : float

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If the two differ in length, and as :func:`interval`.
    """
    ours, others = np.asarray(ours, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if ours.shape != others.shape:
        raise ValueError(f"{ours.shape} values against {others.shape}: pairs need one of each for every seed")
    return interval(ours - others, confidence)


def run(measure, variants, seeds, n_jobs=1, progress=False):
    """Measure every variant with every seed.

    Parameters
    ----------
    measure : callable
        `measure(variant, seed)` returns a number, or whatever is to be kept of a run. With several processes it must stand
        in a module or be a plain function of a notebook.
    variants : iterable
        Names, or anything that can be a key.
    seeds : iterable of int
    n_jobs : int
        Processes side by side; -1 for all processors. The results do not depend on it.
    progress : bool
        Show a bar.

    Returns
    -------
    dict
        For each variant the list of its results, in the order of the seeds.

    Raises
    ------
    ValueError
        If there is no variant or no seed, or one stands there twice.

    Examples
    --------
    >>> run(lambda variant, seed: variant * seed, variants=[1, 10], seeds=[0, 1, 2])
    {1: [0, 1, 2], 10: [0, 10, 20]}
    """
    variants, seeds = _distinct(variants, "variants"), _distinct(seeds, "seeds")
    pairs = [(variant, seed) for variant in variants for seed in seeds]
    results = list(_results(measure, pairs, n_jobs, progress))
    return {variant: results[i * len(seeds) : (i + 1) * len(seeds)] for i, variant in enumerate(variants)}


def _distinct(items, name):
    items = list(items)
    if not items or len(set(items)) < len(items):
        raise ValueError(f"{name} are {items}: give at least one, each once")
    return items


def _results(measure, pairs, n_jobs, progress):
    if n_jobs == 1:
        results = (measure(*pair) for pair in pairs)
    else:
        from joblib import Parallel, delayed

        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(measure)(*pair) for pair in pairs)
    if not progress:
        return results
    from tqdm.auto import tqdm

    return tqdm(results, total=len(pairs), unit="run")
