"""Without a clock: a doctor in a hurry leaves things out, and what is tested here must not depend on how busy the machine is."""

from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def _all_the_time_there_is(monkeypatch):
    if find_spec("torch") is None:
        return
    from cllm_lib.instruments.torch import backward, running, subject

    for module in (backward, running, subject):
        monkeypatch.setattr(module, "SECONDS", 1e9)
