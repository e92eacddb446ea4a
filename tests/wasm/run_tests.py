"""pytest on the files that are named, without workers, caches and notebooks."""

import sys

import pytest

settings = [
    "-o",
    "addopts=",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:nbval",
    "-p",
    "no:xdist",
    "--import-mode=importlib",
    "-q",
    "-m",
    "not elsewhere and not slow",
]
sys.exit(pytest.main([*settings, "--rootdir=/book", "--capture=sys", "--noconftest", *sys.argv[1:]]))
