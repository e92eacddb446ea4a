"""The same bytes twice, and the same words on other machines. (An old one is in `test_runs`, in every `make test`.)"""

import nbformat
import pytest
from notebooks.books import MACHINES, NAMES, load_tool, read, texts

writer = load_tool("execute_notebooks")


@pytest.mark.parametrize("name", NAMES)
class TestTwice:
    def test_two_executions_give_the_same_bytes(self, name):
        first, second = (nbformat.writes(writer.execute(read(name))) for _ in range(2))
        assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NAMES)
class TestMachines:
    def test_it_prints_what_is_stored(self, name, machine):
        assert texts(writer.execute(read(name), environment=MACHINES[machine])) == texts(read(name))
