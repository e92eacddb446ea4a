"""Does this machine run the workbook? Said in plain words, and in the same words wherever the answer is yes."""

import importlib.metadata
import re
import sys

import numpy as np

OLDEST_PYTHON = (3, 11)


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
    """The lower bounds that pyproject.toml gives for a reader, from the installed package."""
    short = []
    for requirement in importlib.metadata.requires("cllm-workbook") or []:
        match = re.fullmatch(r"""([\w-]+)>=([\d.]+)(; extra == ['"](notebooks|experiments)['"])?""", requirement)
        if match and _installed(match[1]) < _version(match[2]):
            short.append(f"{match[1]} {match[2]}")
    if short:
        return False, f"Missing or too old: at least {', '.join(short)} is needed. `make lab` builds an environment that has them."
    return True, "Every package the workbook needs is here, and new enough."


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
