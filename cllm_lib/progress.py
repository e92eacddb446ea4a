"""A progress bar, in a terminal and in a notebook: a line of text that is written over, and at its end says that all is done."""

import builtins

from cllm_lib.browser import in_browser

TICK = 1e-3  # seconds: between two ticks of a browser's clock a whole loop may end, and tqdm would not know its rate


def progress_bar(iterable=None, *, total, unit, desc=None, visible=True, initial=0, delay=0.0):
    """A bar of tqdm's, as plain text.

    Parameters
    ----------
    iterable : iterable, optional
        What is gone through; without it, call `update` on the bar.
    total : int
        How many there will be.
    unit : str
        What there are `total` of, such as "batch".
    desc : str, optional
        What is going on, such as "training".
    visible : bool
        Whether anything is shown.
    initial : int
        How many are done already.
    delay : float
        Seconds to wait before it is shown at all.

    Returns
    -------
    tqdm.tqdm

    Notes
    -----
    A bar made of widgets would be dead in a notebook that is opened again, and stand at 0 % on a stored page. This one ends as
    a line that is the same in every run: time is shown only while there is some left.
    """
    from tqdm import tqdm  # here, not above: it would double the time `import cllm_lib` takes

    class Bar(tqdm):
        @property
        def format_dict(self):
            """What is written, of a bar that has always taken some time."""
            state = super().format_dict
            return state | {"elapsed": max(state["elapsed"], TICK)}

    if in_browser():
        tqdm.monitor_interval = 0  # its thread, which looks after bars that stand still, cannot start there
    settings = dict(total=total, unit=unit, desc=desc, disable=not visible, initial=initial, delay=delay)
    if hasattr(builtins, "__IPYTHON__"):
        import sys

        line = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}, {remaining} left{postfix}"
        settings |= dict(file=sys.stdout, bar_format=line, ncols=72)  # on stderr it would stand in a red box
    return Bar(iterable, **settings)
