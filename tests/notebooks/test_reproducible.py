"""The same bytes twice, and the same words on other machines. (An old one is in `test_runs`, in every `make test`.)"""

import nbformat
import pytest
from notebooks.books import MACHINES, NAMES, load_tool, may_differ, read, texts

writer = load_tool("execute_notebooks")


def without_what_may_differ(notebook):
    """The notebook less the outputs of cells that are marked as differing."""
    for cell in notebook.cells:
        if may_differ(cell):
            cell.outputs = []
    return notebook


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
