"""Does this machine run the workbook? Said in plain words, and in the same words wherever the answer is yes."""

import importlib.metadata
import re
import sys
import tomllib

import numpy as np

from cllm_lib.browser import in_browser, in_colab
from cllm_lib.files import PACKAGE

OLDEST_PYTHON = (3, 11)
NEEDED_BY_READERS = re.compile(r"""([\w-]+)>=([\d.]+)(; extra == ['"](notebooks|experiments)['"])?""")
IN_BROWSER = ("anywidget", "ipywidgets", "matplotlib", "numpy", "sympy", "tqdm")  # the rest is not asked for there
OLDER_IN_BROWSER = {"matplotlib": "3.8.4"}  # the newest that was built for it
BUILDER = "hatchling"  # installs the library, and where this runs that is done
PAGE = "jupyterlab"  # Colab has a page of its own
OLDER_IN_COLAB = {"ipywidgets": "7.7.1"}  # which its page knows; every panel was made with it, too


def check_machine():
    """Print one line for each thing the workbook needs, and what to do where something is missing."""
    findings = [check() for check in (_python, _packages, _arithmetic, _random_numbers)]
    for good, sentence in findings:
        print(("  ok   " if good else "  look ") + sentence)
    print("Your machine is ready." if all(good for good, _ in findings) else "Please see to the lines marked `look` first.")


def _python():
    good = sys.version_info[:2] >= OLDEST_PYTHON
    return (
        good,
        "Python is new enough."
        if good
        else f"This is Python {sys.version.split()[0]}; {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer is needed.",
    )


def _packages():
    """The lower bounds that pyproject.toml gives for a reader; in a browser of what can be there, as far as it can be there."""
    try:
        requirements = _requirements()
    except (OSError, importlib.metadata.PackageNotFoundError):
        return False, "The package cllm-workbook itself is missing, which says what else is needed: `make lab` installs it."
    bounds = _bounds(requirements)
    short = [package for package, bound in bounds.items() if _installed(package) < _version(bound)]
    if short:
        wanted = ", ".join(f"{package} {bounds[package]}" for package in short)
        return False, f"Missing or too old: at least {wanted} is needed. {_advice(short)}"
    return True, "Every package the workbook needs is here, and new enough."


def _bounds(requirements):
    """Package and lower bound of what the chapters need in this place."""
    bounds = {match[1]: match[2] for match in map(NEEDED_BY_READERS.fullmatch, requirements) if match and match[1] != BUILDER}
    if in_browser():
        return {package: bound for package, bound in (bounds | OLDER_IN_BROWSER).items() if package in IN_BROWSER}
    if in_colab():
        return {package: bound for package, bound in (bounds | OLDER_IN_COLAB).items() if package != PAGE}
    return bounds


def _advice(packages):
    """What to do where packages are missing, which differs from place to place."""
    if in_browser():
        return "Load the page anew."
    if in_colab():
        return f"Run `%pip install -q {' '.join(packages)}` in a cell of its own, then choose Runtime, Restart session."
    return "`make lab` builds an environment that has them."


def _requirements():
    """What the installed package asks for; where it runs from its folder without being installed, what the folder's file says."""
    try:
        return importlib.metadata.requires("cllm-workbook") or []
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"].items()
        return project["dependencies"] + [f"{line}; extra == '{extra}'" for extra, lines in extras for line in lines]


def _installed(package):
    try:
        return _version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return ()  # older than anything


def _version(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _arithmetic():
    """A matrix product by the fast library against one by plain Python sums."""
    left, right = np.arange(1.0, 13.0).reshape(3, 4) / 7, np.arange(1.0, 21.0).reshape(4, 5) / 3
    slow = [[sum(float(a) * float(b) for a, b in zip(row, column, strict=True)) for column in right.T] for row in left]
    good = bool(np.allclose(left @ right, slow, rtol=1e-14, atol=0))
    return (
        good,
        "Matrix products agree with sums done one by one." if good else "Matrix products are wrong on this machine: reinstall NumPy.",
    )


def _random_numbers():
    """NumPy promises that a seed gives the same integers on every machine."""
    good = np.random.default_rng(2025).integers(1000, size=4).tolist() == [447, 994, 992, 382]
    return (
        good,
        "The same seed gives the same numbers as in this book." if good else "This NumPy draws other random numbers: losses will differ.",
    )
