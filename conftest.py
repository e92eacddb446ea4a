"""What holds for every test run: threads, examples, names of cases, how tests are dealt to workers, and notebooks' pictures."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: as many workers as processors, a thread each
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import pytest
from dealing import ByChapter
from hypothesis import settings
from nbval.plugin import IPyNbCell
from notebooks.pictures import check_pictures
from words import words

# Few examples, the same each time, for a run after every change; many, new ones each time, for the weekly search.
settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("full", max_examples=400, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_make_parametrize_id(val, argname):
    """Name the cases of a test in words."""
    return words(val, argname)


def pytest_xdist_make_scheduler(config, log):
    """Deal by chapter, in the order of collection: notebooks come first, since they are the longest."""
    config.option.loadscopereorder = False
    return ByChapter(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Compare the pictures of a cell, which nbval leaves out, once it has found the text as stored."""
    yield
    if isinstance(item, IPyNbCell) and item.options["check"]:
        check_pictures(item.test_outputs, item.cell.outputs)
