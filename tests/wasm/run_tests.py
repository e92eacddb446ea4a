"""pytest under Pyodide on what is named: without workers, caches and notebooks, with few examples. See :mod:`wasm.node`.

What a test itself needs, and a browser has not, is a reason to leave it out: another package as oracle, a thread, a process. What the
library needs is none: there it has to do without.
"""

import importlib.abc
import importlib.machinery
import sys
import traceback

import pytest
from wasm.compiled import stand_in
from words import words

ORACLES = {"distributed", "joblib", "lzma", "psutil", "safetensors", "scipy", "threadpoolctl", "tokenizers", "torch", "transformers"}
LIBRARY = "/book/cllm_lib/"
NOT_THERE = {  # what Python says there
    "can't start new thread": "no thread can start",
    "does not support processes": "no process can start",
    "does not support": "the system has no such call",
}
LESS = ["-o", "addopts=", "-p", "no:cacheprovider", "--capture=sys", "--noconftest", "-m", "not elsewhere and not slow"]
SAID = ["-q", "-rsf", "--tb=short", "--rootdir=/book", "--import-mode=importlib", "--continue-on-collection-errors"]
EXAMPLES = 12  # the fewest of which a twelfth is left for the longest test


class Missing:
    """An oracle that is not there: whoever calls it is left out."""

    def __init__(self, name):
        self.__name__ = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(f"{self.__name__}.{name}")

    def __call__(self, *arguments, **named):
        pytest.skip(f"a browser has no {self.__name__.partition('.')[0]}", allow_module_level=True)


class MissingOracles(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the oracles that are not there for tests, and for the library finds none."""

    def find_spec(self, name, path=None, target=None):
        """A spec, where a test or its helper asks."""
        if name.partition(".")[0] not in ORACLES or _asked_by_library():
            return None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=True)
        spec.loader_state = name
        return spec

    def exec_module(self, module):
        """A module whose names are all there, as such oracles."""
        module.__getattr__ = lambda name: Missing(f"{module.__name__}.{name}") if not name.startswith("__") else _no(name)

    @staticmethod
    def forget():
        """So that the library does not find what a test was given."""
        for name in [name for name in sys.modules if name.partition(".")[0] in ORACLES]:
            del sys.modules[name]


def _no(name):
    raise AttributeError(name)


def _asked_by_library():
    """Whether the nearest caller that is a file is one of the library's."""
    frame = sys._getframe(2)
    while frame and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(LIBRARY)


class InBrowser:
    """What conftest.py says for other runs, as far as it holds here, and what is left out."""

    def pytest_make_parametrize_id(self, val, argname):
        """Names of cases in words."""
        return words(val, argname)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        """After a file was read, its oracles are forgotten."""
        report = yield
        MissingOracles.forget()
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        """A test that starts a thread or a process of its own is left out."""
        try:
            return (yield)
        except (OSError, RuntimeError) as error:
            reason = next((reason for said, reason in NOT_THERE.items() if said in str(error)), None)
            by_library = any(frame.filename.startswith(LIBRARY) for frame in traceback.extract_tb(error.__traceback__))
            if reason is None or by_library:
                raise
            pytest.skip(f"in a browser {reason}")
        finally:
            MissingOracles.forget()


def few_examples():
    """Hypothesis's profile, after its compiled part has got its stand-in."""
    stand_in()
    from hypothesis import HealthCheck, settings

    few = {"max_examples": EXAMPLES, "derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    settings.register_profile("browser", **few)
    settings.load_profile("browser")


if __name__ == "__main__":
    few_examples()
    sys.meta_path.append(MissingOracles())
    sys.exit(pytest.main(LESS + SAID + sys.argv[1:], plugins=[InBrowser()]))
