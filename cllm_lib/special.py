"""Special functions and ranks in plain Python: what SciPy gives, for where it is missing, as in a browser.

The names and arguments are SciPy's, each function for single numbers but :func:`erf` and the ranks. The library takes SciPy's
where it is installed: :func:`scipys_or_plain`.

One function carries most of them, the regularised incomplete beta function, whose continued fraction converges within some
tens of terms. Inverses are found by bisection, until no float lies between.
"""

import functools
import importlib
import itertools
import math
from typing import NamedTuple

import numpy as np

__all__ = ["betainc", "betaincinv", "erf", "rankdata", "smirnov", "smirnovi", "spearmanr", "stdtr", "stdtrit"]

TINY = 1e-300  # in the place of a denominator that is 0
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)  # of powers 1, 3, 5 ... of 1 / z
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Correlation(NamedTuple):
    """What :func:`spearmanr` returns; SciPy's has a p-value beside it."""

    statistic: float


@functools.cache
def scipys_or_plain(name):
    """SciPy's function of that name; where SciPy is missing, the one of this module.

    Parameters
    ----------
    name : str
        Such as "stdtrit".

    Returns
    -------
    callable
    """
    home = "scipy.stats" if name in ("rankdata", "spearmanr") else "scipy.special"
    try:
        # Here, not above: it takes longer to load than the rest of the library.
        return getattr(importlib.import_module(home), name)
    except ModuleNotFoundError:
        return globals()[name]


def erf(x):  # (...) -> (...)
    """Error function: 2 / sqrt(pi) times the area under exp(-t^2) from 0 to x; Python's own, element by element.

    Parameters
    ----------
    x : array_like of float

    Returns
    -------
    ndarray of float64, same shape
    """
    x = np.asarray(x, dtype=np.float64)
    return np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def betainc(a, b, x):
    """Regularised incomplete beta function I_x(a, b): the share of a beta distribution that lies below x.

    Parameters
    ----------
    a, b : float
        Above 0.
    x : float
        From 0 to 1.

    Returns
    -------
    float

    Notes
    -----
    The continued fraction of the NIST Digital Library of Mathematical Functions, 8.17.22, by Lentz's method (Press et al. 2007,
    "Numerical Recipes", sections 5.2 and 6.4).
    """
    return _beta_share(float(a), float(b), float(x), 1.0 - x)


@functools.lru_cache(maxsize=1024)
def betaincinv(a, b, share):
    """Quantile of the beta distribution: the x at which :func:`betainc` is `share`."""
    return _bisected(lambda x: betainc(a, b, x) < share, 0.0, 1.0)


def stdtr(degrees, t):
    """Student's t distribution function: the share of Student's distribution that lies below t.

    Parameters
    ----------
    degrees : float
        Degrees of freedom, above 0.
    t : float

    Returns
    -------
    float

    Notes
    -----
    Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", formula 26.7.1 with 26.5.27: below -|t| lies
    half of I_x(degrees / 2, 1 / 2) at x = degrees / (degrees + t^2).
    """
    tail = _tail_of_student(float(degrees), abs(float(t)))
    return tail if t < 0.0 else 1.0 - tail


@functools.lru_cache(maxsize=1024)  # many intervals of as many values have one quantile
def stdtrit(degrees, share):
    """Quantile of Student's t distribution: the t below which `share` of it lies."""
    smaller = min(share, 1.0 - share)
    if smaller <= 0.0:
        return math.copysign(math.inf, share - 0.5)
    above = 1.0
    while _tail_of_student(degrees, above) > smaller:
        above *= 2.0
    return math.copysign(_bisected(lambda t: _tail_of_student(degrees, t) > smaller, 0.0, above), share - 0.5)


def smirnov(n, d):
    """Smirnov's distribution of one-sided distances: how often n values seem to lie further than d from where they come from.

    Parameters
    ----------
    n : int
        How many independent values.
    d : float
        From 0 to 1.

    Returns
    -------
    float
        The probability that the observed distribution function lies somewhere above the true one by d or more.

    Notes
    -----
    Birnbaum and Tingey 1951, "One-sided confidence contours for probability distribution functions", equation 3.0: a sum of
    n (1 - d) positive terms, each d / q times a binomial probability at q = d + j / n.
    """
    if d <= 0.0:
        return 1.0
    places = itertools.takewhile(lambda place: place[1] < 1.0, ((j, d + j / n) for j in range(n)))
    terms = (_beta_powers(j + 1.0, n - j + 1.0, q, 1.0 - q) / (q * q * (1.0 - q)) for j, q in places)
    return d * math.fsum(terms) / (n + 1)


@functools.lru_cache(maxsize=1024)
def smirnovi(n, share):
    """Smirnov's quantile: the distance d that :func:`smirnov` gives this probability."""
    return _bisected(lambda d: smirnov(n, d) > share, 0.0, 1.0)


def rankdata(values):  # (...) -> (n,)
    """Ranks from 1 on, in order of size; equal values share the mean of the ranks they take up.

    Parameters
    ----------
    values : array_like

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    _, places, counts = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts, dtype=np.float64)
    return (last - (counts - 1) / 2.0)[places]


def spearmanr(x, y):  # (n,), (n,) -> a number
    """Spearman's rank correlation: Pearson's of the ranks, 1 for the same order and -1 for the opposite one.

    Returns
    -------
    Correlation
        With the number as `statistic`.
    """
    return Correlation(float(np.corrcoef(rankdata(x), rankdata(y))[0, 1]))


def _tail_of_student(degrees, t):
    """Share of Student's distribution beyond t, on one side; t from 0 on."""
    square = t * t
    return 0.5 * _beta_share(0.5 * degrees, 0.5, degrees / (degrees + square), square / (degrees + square) if square < math.inf else 1.0)


def _beta_share(a, b, x, y):
    """I_x(a, b) from x and y = 1 - x, by the fraction on that side where it converges fast."""
    if x <= 0.0 or y <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x <= (a + 1.0) / (a + b + 2.0):
        return _beta_powers(a, b, x, y) * _beta_fraction(a, b, x) / a
    return 1.0 - _beta_powers(b, a, y, x) * _beta_fraction(b, a, y) / b


def _beta_fraction(a, b, x):
    """1 / (1 + d_1 / (1 + d_2 / (1 + ...))), from its front (modified Lentz)."""
    value = denominator = 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    numerator = 1.0
    for m in itertools.count(1):
        for d in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            denominator = 1.0 / _not_zero(1.0 + d * denominator)
            numerator = _not_zero(1.0 + d / numerator)
            factor = numerator * denominator
            value *= factor
        if abs(factor - 1.0) < 3e-16:  # the last digit may go on to and fro
            return value


def _not_zero(number):
    return number if abs(number) > TINY else TINY


def _beta_powers(a, b, x, y):
    """x^a y^b / B(a, b), of which no factor overflows (Loader 2000, "Fast and Accurate Computation of Binomial Probabilities").

    By Stirling's formula B(a, b) is m^a (1 - m)^b at the mean m = a / (a + b), but for a root and for what Stirling leaves
    over. So powers of x / m and y / (1 - m) remain, which are near 1 where it matters.
    """
    total = a + b
    powers = a * _log_ratio(x, a / total) + b * _log_ratio(y, b / total)
    rest = _beyond_stirling(total) - _beyond_stirling(a) - _beyond_stirling(b)
    return math.sqrt(a * b / (2.0 * math.pi * total)) * math.exp(powers + rest)


def _log_ratio(x, mean):
    """ln(x / mean), to its last digits where the two are close."""
    away = (x - mean) / mean
    return math.log1p(away) if abs(away) < 0.5 else math.log(x / mean)


@functools.lru_cache(maxsize=1024)
def _beyond_stirling(z):
    """Ln Gamma(z) less Stirling's (z - 1/2) ln z - z + ln(2 pi) / 2: its asymptotic series from 10 on (DLMF 5.11.1)."""
    if z < 10.0:
        return math.lgamma(z) - ((z - 0.5) * math.log(z) - z + HALF_LOG_TWO_PI)
    square = 1.0 / (z * z)
    return functools.reduce(lambda value, coefficient: value * square + coefficient, reversed(STIRLING)) / z


def _bisected(is_below, low, high):
    """Where an answer turns: `is_below` is true at low and what follows, and false from there on."""
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high
