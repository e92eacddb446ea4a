"""What is committed: whole, clean, linked, and with every number in prose printed by some cell."""

import json
import re
import tomllib

import pytest
from notebooks.books import NAMES, PATHS, ROOT, code_blocks, exercise_cells, may_differ, programs, read, solution

from cllm_lib.workbook.exercises import exercises_of

LARGEST = 1_000_000  # bytes


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_it_was_executed_top_to_bottom_and_stored_clean(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    in_order = [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert in_order, f"{path.stem} was not executed since its last change: python tools/execute_notebooks.py {path.stem[:2]}"
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["language_info"] == {"name": "python"}
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_its_outputs_hold_no_errors_paths_or_noise(name):
    for cell in read(name).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" or "raises-exception" in cell.metadata.get("tags", [])
            assert output.get("name") != "stderr", output
            text = output.get("text", "") + json.dumps({k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")})
            assert not re.search(r"/(home|root|tmp|Users|work)/|\b0x[0-9a-f]{6,}|[A-Z]:\\", text), text


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_prose_stands_between(name):
    cells = read(name).cells
    lengths = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells if cell.cell_type == "code"]
    assert max(lengths) <= 15
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert "ccc" not in kinds
    assert kinds.count("m") >= 0.45 * len(kinds)


@pytest.mark.parametrize("name", NAMES)
def test_code_that_is_folded_away_is_as_narrow_as_that_of_the_cells(name):
    narrow = tomllib.loads((ROOT / "notebooks" / ".ruff.toml").read_text(encoding="utf-8"))["line-length"]
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            wide = [line for block in code_blocks(cell.source) for line in block.split("\n") if len(line) > narrow]
            assert wide == []


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_has_card_stub_hint_solution_and_check(name):
    found, chapter = exercise_cells(read(name)), exercises_of(name[:2])
    assert list(found) == list(chapter)
    assert 3 <= len(found) <= 8
    for number, (card, stub) in found.items():
        assert re.search(rf"### Exercise {re.escape(number)}  (●○○|●●○|●●●)  \d+ minutes?: ", card.source), number
        assert "<summary>Hint" in card.source
        assert solution(card).strip()
        assert "..." in stub.source


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_a_text(name):
    for cell in read(name).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                caption = output.metadata["image/png"]["alt"]
                assert len(caption) > 30
                assert any(f"What to see: {caption}" in other.get("text", "") for other in cell.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_chapters_lead_somewhere(name):
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([\w./-]+\.ipynb)\)", text):
        assert (ROOT / "notebooks" / target).exists(), target


def test_the_map_lists_every_chapter_by_the_title_that_it_has():
    readme, book = ((ROOT / document).read_text(encoding="utf-8") for document in ("README.md", "notebooks/00_start_here.ipynb"))
    for name in NAMES[1:]:
        number, title = re.match(r"# (\d\d) · (.+)", read(name).cells[0].source).groups()
        assert f"[{number} {title}](notebooks/{name}.ipynb)" in readme, name
        assert f"**[{number}]({name}.ipynb)** {title} |" in book, name


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_whose_output_may_differ_says_why(name):
    for cell in filter(may_differ, read(name).cells):
        assert re.match(r"# \w.{9,}\n", cell.source), cell.source


@pytest.mark.parametrize("name", NAMES)
def test_no_page_shows_a_mark_that_is_for_tests_only(name):
    for cell in read(name).cells:
        assert "nbval" not in cell.source.lower(), f"give the cell the tag nbval-ignore-output instead:\n{cell.source}"


def test_the_programs_of_the_chapters_are_their_cells_and_their_folded_solutions():
    """Rules about code ask for these; what were missing here would be held to no rule."""
    pieces = {piece for _, piece in programs()}
    for notebook in map(read, NAMES):
        assert {cell.source for cell in notebook.cells if cell.cell_type == "code"} <= pieces
        assert {solution(card) for card, _ in exercise_cells(notebook).values()} <= pieces
