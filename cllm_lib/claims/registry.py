"""Experiments by name, their stored runs, and timings: what the verdicts rest on.

An experiment is a plain function of a variant and a seed. `make evidence` runs each with all its variants and seeds and
writes every single number to `evidence/NAME.csv`; whoever judges reads it there, and whoever doubts makes a few again.

Nobody keeps a list of them: :func:`load_all` imports what modules there are, and each registers what it holds.
"""

import contextlib
import contextvars
import csv
import functools
import io
import json
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.experiments import runs as experiments
from cllm_lib.faces import load_modules
from cllm_lib.files import shipped

FIRST_SEEDS = "the first two seeds"

_EXPERIMENTS = {}
_READ = []  # what keeps numbers that it read
_LOADING = threading.RLock()  # another thread waits until all is there
_loaded = False


def load_all():
    """Import every module of the package, in order of their names: each registers its experiments and judges.

    Whatever asks what is registered calls this first; the second time it does nothing.
    """
    global _loaded
    with _LOADING:
        if _loaded:
            return
        _loaded = True  # before, not after: a module that asks while it is imported gets what is there so far
        try:
            load_modules(__package__)
        except BaseException:
            _loaded = False  # the next one to ask is told as well, and not answered by a part
            raise


def __getattr__(name):
    """`EXPERIMENTS`, all of them by name: read as late as this, it is complete (PEP 562)."""
    if name != "EXPERIMENTS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load_all()
    return _EXPERIMENTS


class Run(NamedTuple):
    """Names one number of one run; `text` is "" where an experiment has none."""

    variant: str
    text: str
    seed: int
    measure: str


@dataclass(frozen=True)
class Experiment:
    """What :func:`experiment` registered.

    Attributes
    ----------
    measure : callable
    variants, seeds, texts : tuple
        `texts` is None where the experiment has none.
    fast : dict or None
        Some of `variants`, `seeds` and `texts`, few enough to run while one waits; None where no run is short.
    on_demand : bool
        Whether it takes so long that it is run only where it is asked for by name.
    """

    measure: object
    variants: tuple
    seeds: tuple
    texts: tuple | None
    fast: dict | None
    on_demand: bool = False


def experiment(variants, seeds, texts=None, fast=FIRST_SEEDS, on_demand=False):
    """Register a function as an experiment under its own name.

    Parameters
    ----------
    variants : iterable of str
    seeds : iterable of int
    texts : iterable of str, optional
    fast : dict or None, optional
        The part of it that takes seconds, such as `{"variants": ["none"], "seeds": [0]}`; what it leaves out is whole.
        By default the first two seeds; None if even one run takes long.
    on_demand : bool
        Whether all together take so long that they are run only where they are asked for by name.

    Returns
    -------
    callable
        A decorator that gives back the function unchanged. `measure(variant, seed)`, or with texts
        `measure(variant, seed, text)`, returns a dict of numbers. It stands at the top of a module, for other processes
        have to find it.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def register(measure):
        name = measure.__name__
        if name in _EXPERIMENTS and _EXPERIMENTS[name].measure.__module__ != measure.__module__:
            raise ValueError(f"there is an experiment {name!r} already, in {_EXPERIMENTS[name].measure.__module__}: take another name")
        chosen = {"seeds": tuple(seeds)[:2]} if fast == FIRST_SEEDS else fast
        _EXPERIMENTS[name] = Experiment(measure, tuple(variants), tuple(seeds), None if texts is None else tuple(texts), chosen, on_demand)
        return measure

    return register


def recompute(name, variants=None, seeds=None, texts=None, **options):
    """Make runs of an experiment now, to compare with the stored ones.

    Parameters
    ----------
    name : str
    variants, seeds, texts : iterable, optional
        Which of them. None of the three: the fast part that was registered. Otherwise one that is left out is whole.
    **options
        For :func:`~cllm_lib.experiments.runs.run`, such as `n_jobs`.

    Returns
    -------
    dict of Run to float
        As from :func:`runs`.

    Raises
    ------
    ValueError
        If the experiment, a variant or a text is unknown, nothing was named and no run is short, or a run did not return a
        dict of numbers.

    Examples
    --------
    >>> all(runs(name)[run] == value for run, value in recompute(name).items())  # doctest: +SKIP
    True
    """
    load_all()
    known = one_of(name, _EXPERIMENTS, "experiment")
    asked = {"variants": variants, "seeds": seeds, "texts": texts}
    if variants is seeds is texts is None:
        if known.fast is None:
            raise ValueError(f"no run of {name!r} is short: name variants and seeds, such as seeds=[{known.seeds[0]}]")
        asked |= known.fast
    chosen = {what: _chosen(what, part, getattr(known, what), name) for what, part in asked.items()}
    results = experiments.run(known.measure, **chosen, **options)
    made = {}
    for key, found in results.items():
        variant, text = (key, "") if chosen["texts"] is None else key
        for seed, numbers in zip(chosen["seeds"], found, strict=True):
            _check_numbers(numbers, f"{name}({variant!r}, seed {seed}{', ' + text if text else ''})")
            made |= {Run(variant, text, seed, measure): float(value) for measure, value in numbers.items()}
    return made


def _chosen(what, asked, known, name):
    if asked is None:
        return known
    if known is None:
        raise ValueError(f"experiment {name!r} has no {what}: leave {what} out")
    asked = tuple(asked)
    if what != "seeds":  # any seed is welcome; a variant has to exist
        for one in asked:
            one_of(one, dict.fromkeys(known), f"{what[:-1]} of {name}")
    return asked


def _check_numbers(numbers, task):
    if not isinstance(numbers, dict) or not all(isinstance(value, int | float) for value in numbers.values()):
        raise ValueError(f"{task} returned {numbers!r}: an experiment returns a dict of numbers, such as {{'loss': 2.5}}")


def evidence_file(name):
    """Path of a file that `make evidence` wrote, from a clone or from an installed wheel."""
    return shipped("evidence", name)


FRESH = "fresh"  # folder of runs with seeds that were drawn after the protocol was frozen
_folder = contextvars.ContextVar("folder of runs", default="")


@contextlib.contextmanager
def reading(folder):
    """Within this, runs and seeded measurements are those under `evidence/FOLDER/` where there are any: so a judge judges others."""
    token = _folder.set(folder)
    forget()
    try:
        yield
    finally:
        _folder.reset(token)
        forget()


def _of_folder(name):
    """A file of the folder that is read now; None if it has none of that name, or no other than the usual one is read."""
    there = evidence_file(f"{_folder.get()}/{name}") if _folder.get() else None
    return there if there is not None and there.exists() else None


def read_once(function):
    """As `functools.cache`, for what is read from stored files or worked out of them; :func:`forget` empties it."""
    cached = functools.cache(function)
    _READ.append(cached)
    return cached


@read_once
def runs(name):
    """The stored runs of an experiment.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of Run to float

    Raises
    ------
    FileNotFoundError
        If they have not been made; the error says how.
    """
    with _opened(f"{name}.csv") as file:
        return {Run(row["variant"], row["text"], int(row["seed"]), row["measure"]): float(row["value"]) for row in csv.DictReader(file)}


def values(name, variant, measure, text=""):
    """One measure of one variant, in the order in which the seeds are stored.

    Parameters
    ----------
    name, variant, measure : str
    text : str
        Where the experiment has texts.

    Returns
    -------
    ndarray, shape (seeds,)

    Raises
    ------
    ValueError
        If there is no such number; the error lists those that exist.
    """
    found = [value for run, value in runs(name).items() if (run.variant, run.text, run.measure) == (variant, text, measure)]
    if not found:
        known = dict.fromkeys(", ".join(filter(None, (run.variant, run.text, run.measure))) for run in runs(name))
        asked = ", ".join(filter(None, (variant, text, measure)))
        raise ValueError(
            f"{name} stored nothing under {asked!r}; it stored {'; '.join(known)}. "
            f"What is new is run by `python -m benchmarks.evidence {name}`"
        )
    return np.array(found)


def csv_of_runs(made):
    """Runs as the text of a CSV file: one number a line, each with all its digits.

    Parameters
    ----------
    made : dict of Run to float

    Returns
    -------
    str
    """
    return csv_text([*Run._fields, "value"], ([*run, repr(value)] for run, value in made.items()))


def csv_text(header, lines):
    """The text of a CSV file."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return written.getvalue()


@read_once
def stored(name):
    """The numbers that a script of `benchmarks/` left under `evidence/measured/`; the file names the script's command.

    Parameters
    ----------
    name : str
        Such as "positions".

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no such file; the error says where it was looked for.
    """
    path = _of_folder(f"measured/{name}.json") or shipped("evidence", f"measured/{name}.json")
    if not path.exists():
        raise FileNotFoundError(f"no stored measurement {name!r}: {path} is missing; the script of that name in benchmarks/ writes it")
    return json.loads(path.read_text(encoding="utf-8"))


TIMINGS = "timings.csv"


@read_once
def fresh(name):
    """The same as :func:`stored`, as the last `make evidence` measured it; of timings only.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If `make evidence` has not measured it.
    """
    with _opened(TIMINGS) as file:
        found = {row["place"]: json.loads(row["value"]) for row in csv.DictReader(file) if row["measurement"] == name}
    if not found:
        raise FileNotFoundError(f"{evidence_file(TIMINGS)} has no timings of {name!r}: `make evidence` measures them")
    return unflattened(found)


def csv_of_timings(measurements):
    """Timings as the text of a CSV file: the measurement, the place in it, the value.

    Parameters
    ----------
    measurements : dict of str to dict
        As JSON would hold them.

    Returns
    -------
    str
    """
    lines = ((name, place, json.dumps(value)) for name, found in measurements.items() for place, value in flattened(found).items())
    return csv_text(["measurement", "place", "value"], lines)


def flattened(value, place=""):
    """Nested dicts and lists as one dict, from the path to a number or word (such as "/speed/3/ratio") to itself."""
    if not isinstance(value, dict | list):
        return {place: value}
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return {path: leaf for key, part in inner for path, leaf in flattened(part, f"{place}/{key}").items()}


def unflattened(leaves):
    """The inverse of :func:`flattened`: what was numbered from 0 on becomes a list again."""
    if "" in leaves:
        return leaves[""]
    parts = {}
    for path, leaf in leaves.items():
        _, key, *rest = path.split("/", 2)
        parts.setdefault(key, {})["/" + rest[0] if rest else ""] = leaf
    whole = {key: unflattened(part) for key, part in parts.items()}
    return list(whole.values()) if list(whole) == [str(i) for i in range(len(whole))] else whole


def _opened(name):
    path = _of_folder(name) or evidence_file(name)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: `make evidence` writes it")
    return path.open(encoding="utf-8", newline="")


def forget():
    """Read files anew: `make evidence` has written some, or another folder is read."""
    for read in _READ:
        read.cache_clear()
