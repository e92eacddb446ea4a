import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from notebooks.books import load_tool

writer = load_tool("execute_notebooks")


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_outputs_are_stored_and_noise_is_not(tmp_path):
    book = notebook("for i in range(3):\n    print(i, flush=True)", "import ipywidgets\nipywidgets.IntSlider()")
    book.metadata["widgets"] = {"state": "much"}
    executed = writer.execute(book, tmp_path)
    assert [output.text for output in executed.cells[0].outputs] == ["0\n1\n2\n"]
    view = executed.cells[1].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == "0" * 32
    assert set(executed.metadata) == {"kernelspec", "language_info"}
    assert [cell.execution_count for cell in executed.cells] == [1, 2]


def test_a_failing_cell_stops_it(tmp_path):
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        writer.execute(notebook("1 / 0"), tmp_path)


def test_another_python_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(writer.sys, "version_info", (3, 14, 0))
    assert writer.main([]) == 1
    assert "Stored outputs come from Python 3.11; this is 3.14" in capsys.readouterr().out
