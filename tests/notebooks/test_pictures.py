import base64
import io
import os
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from notebooks.books import ROOT, load_tool
from notebooks.pictures import check_pictures, drawn_by_the_locked_matplotlib

from notebooks import pictures


def drawn(label="loss 9.21", shift=0.0):
    """A cell's outputs with one small figure."""
    figure = Figure(figsize=(5, 3), dpi=80)
    axes = figure.subplots()
    x = np.linspace(0.0, 1.0, 30)
    axes.plot(x, np.sin(7.0 * x) + shift, marker="o")
    axes.set(title=label, ylim=(-1.5, 1.5))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return [{"output_type": "stream", "text": "x"}, {"data": {"image/png": base64.b64encode(file.getvalue()).decode()}}]


@pytest.fixture(autouse=True)
def any_matplotlib(monkeypatch):
    """Here both pictures are drawn by the same one, whichever it is."""
    monkeypatch.setattr(pictures, "drawn_by_the_locked_matplotlib", lambda: True)


def test_the_same_picture_passes_and_so_does_the_rounding_of_another_processor():
    check_pictures(drawn(), drawn())
    check_pictures(drawn(shift=1e-13), drawn())


@pytest.mark.parametrize("label", ["loss 9,21", "loss 9.22", "loss 9.2l", "Loss 9.21"])
def test_one_changed_character_is_seen(label):
    with pytest.raises(AssertionError, match=r"picture 1 differs from the stored one in \d+ pixels"):
        check_pictures(drawn(label), drawn())


def test_a_curve_that_moved_by_a_thousandth_of_its_height_is_seen():
    with pytest.raises(AssertionError, match="picture 1 differs"):
        check_pictures(drawn(shift=3e-3), drawn())


def test_another_number_of_pictures_is_seen():
    with pytest.raises(AssertionError, match="0 pictures were drawn, 1 are stored"):
        check_pictures([], drawn())
    with pytest.raises(AssertionError, match="2 pictures were drawn, 1 are stored"):
        check_pictures(drawn() + drawn(), drawn())


def test_with_another_matplotlib_nothing_can_be_said(monkeypatch):
    monkeypatch.setattr(pictures, "drawn_by_the_locked_matplotlib", lambda: False)
    check_pictures(drawn("another"), drawn())


CELL = """
import matplotlib.pyplot as plt
from IPython.display import display
figure, axes = plt.subplots(figsize=(3, 2))
axes.set_title("loss 9.21")
plt.close(figure)
display(figure)
"""


@pytest.mark.skipif(not drawn_by_the_locked_matplotlib(), reason="stored pictures are compared with the locked matplotlib's only")
def test_a_run_of_a_notebook_is_held_to_its_pictures(tmp_path):
    """The whole way: pytest, nbval, the hook in conftest.py, and a stored picture with another character in it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    stored = load_tool("execute_notebooks").execute(notebook, folder=tmp_path)
    other = nbformat.from_dict(stored)
    other.cells[0].outputs[0].data["image/png"] = drawn()[1]["data"]["image/png"]
    for name, kept in (("right", stored), ("other", other)):
        nbformat.write(kept, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest", "-n", "0", str(tmp_path)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed" in done.stdout
    assert "picture 1 has shape" in done.stdout
