"""Chapter 23 where the chat model is not installed: each cell that needs it says in one sentence how to get it, the others run."""

import nbformat
import pytest
from notebooks.books import NAMES, load_tool, read, said_by_checks, texts

pytestmark = pytest.mark.elsewhere

writer = load_tool("execute_notebooks")
(NAME,) = (name for name in NAMES if name.startswith("23"))
HIDDEN = "import cllm_lib.pretrained.chat\n\ncllm_lib.pretrained.chat.PACKAGE = 'no_such_package'"


@pytest.fixture(scope="module")
def executed():
    notebook = read(NAME)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(HIDDEN))
    return writer.execute(notebook)  # which stops at an error


def test_it_runs_to_its_end_and_says_how_to_get_the_model(executed):
    stored, said = texts(read(NAME)), texts(executed)[1:]
    sentences = [text for text in said if "`make pretrained`" in text]
    assert len(sentences) > len(said) / 2
    assert len({line for text in sentences for line in text.splitlines()}) == 1, "one sentence"
    for text, with_the_model in zip(said, stored, strict=True):
        assert text in sentences or text == with_the_model


def test_exercises_are_asked_all_the_same(executed):
    assert [line.split()[1:3] for line in said_by_checks(executed)] == 6 * [["not", "attempted"]]
