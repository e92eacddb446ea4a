"""What holds for every test run: threads, examples, names of cases, how tests are dealt to workers, and notebooks' pictures."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: as many workers as processors, a thread each
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import pytest
from hypothesis import settings
from nbval.plugin import IPyNbCell
from notebooks.pictures import check_pictures
from words import words
from xdist.scheduler import LoadScopeScheduling

# Few examples, the same each time, for a run after every change; many, new ones each time, for the weekly search.
settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("full", max_examples=400, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_make_parametrize_id(val, argname):
    """Name the cases of a test in words."""
    return words(val, argname)


class ByChapter(LoadScopeScheduling):
    """Deal tests to workers by module, as `--dist loadscope` does, and what runs a whole chapter one by one.

    A module starts its costly fixtures once; twelve chapters in one module would be one worker's, and the others idle.
    """

    def _split_scope(self, nodeid):
        module = nodeid.partition("::")[0]
        return nodeid if module in RUN_CHAPTERS else super()._split_scope(nodeid)


RUN_CHAPTERS = {f"tests/{name}.py" for name in ("browser/test_lab", "notebooks/test_runs", "notebooks/test_reproducible")}


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
