"""The same bytes twice, and the same words on other machines. (An old one is in `test_runs`, in every `make test`.)"""

import base64
import io
from importlib.metadata import version

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread
from notebooks.books import MACHINES, NAMES, ROOT, load_tool, may_differ, read, texts

writer = load_tool("execute_notebooks")


def without_what_may_differ(notebook):
    """The notebook less the outputs of cells that are marked as differing."""
    for cell in notebook.cells:
        if may_differ(cell):
            cell.outputs = []
    return notebook


def pictures(notebook):
    """Every picture of a notebook as an array of pixels from 0 to 1."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" and not may_differ(cell) for output in cell.outputs]
    encoded = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [imread(io.BytesIO(base64.b64decode(data))) for data in encoded]


@pytest.mark.parametrize("name", NAMES)
class TestPictures:
    def test_an_execution_draws_the_stored_pictures(self, name):
        """Nbval compares no pictures. With the version that drew them, all but single pixels must agree."""
        if f"matplotlib=={version('matplotlib')} " not in (ROOT / "requirements.lock").read_text(encoding="utf-8"):
            pytest.skip("the stored pictures were drawn by another version of matplotlib")
        for drawn, stored in zip(pictures(writer.execute(read(name))), pictures(read(name)), strict=True):
            assert drawn.shape == stored.shape
            assert np.abs(drawn - stored).mean() < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
class TestTwice:
    def test_two_executions_give_the_same_bytes(self, name):
        first, second = writer.execute(read(name)), writer.execute(read(name))
        assert nbformat.writes(without_what_may_differ(first)) == nbformat.writes(without_what_may_differ(second))


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NAMES)
class TestMachines:
    def test_it_prints_what_is_stored(self, name, machine):
        assert texts(writer.execute(read(name), environment=MACHINES[machine])) == texts(read(name))
