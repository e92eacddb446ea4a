"""Times until something is reached, where some runs were stopped before: what they still tell."""

import numpy as np

from cllm_lib.checks import non_negative_number


def kaplan_meier(times, reached):
    """Kaplan-Meier survival curve: the share of runs that have not reached their target yet, where some were stopped before.

    Parameters
    ----------
    times : array_like of float, shape (n,)
        When each run reached the target or was stopped, in any unit, such as epochs.
    reached : array_like of bool, shape (n,)
        False where a run was stopped before: all that is known of it is that it takes longer.

    Returns
    -------
    moments, shares : ndarray of float64, shape (k,)
        The curve falls at each of `moments` to the share beside it, and is 1 before the first. Empty if no run got there.

    Raises
    ------
    ValueError
        If the two differ in length, there is no run, or a time is negative or not finite.

    Notes
    -----
    Kaplan and Meier 1958, "Nonparametric Estimation from Incomplete Observations": at each moment the share falls by
    the part that gets there, of those still under way.

    Examples
    --------
    >>> kaplan_meier([2.0, 3.0, 5.0, 5.0], [True, False, True, True])
    (array([2., 5.]), array([0.75, 0.  ]))
    """
    times, reached = _times(times, reached)
    moments, arrived = np.unique(times[reached], return_counts=True)
    under_way = len(times) - np.searchsorted(np.sort(times), moments)
    return moments, np.cumprod(1.0 - arrived / under_way)


def restricted_mean(times, reached, horizon):
    """Restricted mean survival time: the mean time to the target, where whoever is not there by `horizon` counts as `horizon`.

    Parameters
    ----------
    times, reached
        As in :func:`kaplan_meier`.
    horizon : float
        In the unit of `times`. Nobody may have been stopped before it; the same for all that are compared.

    Returns
    -------
    float
        The area under Kaplan and Meier's curve up to `horizon`. Without anyone stopped early this is the plain mean of
        min(time, horizon), so differences can be paired by seed.

    Raises
    ------
    ValueError
        If a run was stopped before `horizon`, and as :func:`kaplan_meier`.

    Notes
    -----
    Royston and Parmar 2013, "Restricted mean survival time: an alternative to the hazard ratio".

    Examples
    --------
    >>> restricted_mean([2.0, 4.0, 10.0], [True, True, False], horizon=10.0)
    5.333333333333333
    """
    (times, reached), horizon = _times(times, reached), non_negative_number(horizon, "horizon")
    stopped = times[~reached]
    if len(stopped) and stopped.min() < horizon:
        raise ValueError(
            f"a run was stopped at {stopped.min():g}, before the horizon of {horizon:g}: nobody knows when it would have arrived"
        )
    return float(np.minimum(times, horizon).mean())


def _times(times, reached):
    times, reached = np.asarray(times, dtype=np.float64), np.asarray(reached)
    if times.ndim != 1 or len(times) == 0 or times.shape != reached.shape or reached.dtype != bool:
        raise ValueError(
            f"times have shape {times.shape}, reached {reached.shape} of {reached.dtype}: "
            "give a list of both, as long as each other, with True where a run reached its target"
        )
    if not (np.isfinite(times) & (times >= 0.0)).all():
        where = int(np.argmin(np.isfinite(times) & (times >= 0.0)))
        raise ValueError(
            f"times[{where}] is {times[where]}: give finite times of at least 0, and False in reached for a run that was stopped"
        )
    return times, reached
