"""What the README says of the book is so."""

import re

from notebooks.books import NAMES, ROOT, exercise_cells, read

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_counts_the_exercises():
    count = sum(len(exercise_cells(read(name))) for name in NAMES)
    assert f"| {count} exercises, checked at once" in TEXT


def test_no_chapter_takes_more_than_an_hour():
    assert "No chapter needs a GPU or takes more than an hour." in TEXT
    minutes = [int(re.search(r"\*\*About\*\* (\d+) minutes", read(name).cells[0].source)[1]) for name in NAMES]
    assert max(minutes) <= 60


def test_it_has_three_pictures_for_a_light_and_a_dark_page_with_a_text_each():
    pictures = re.findall(r"!\[([^\]]+)\]\((docs/[\w]+\.png)\)|<img src=\"(docs/[\w]+\.png)\" alt=\"([^\"]+)\"", TEXT)
    assert len(pictures) == 3
    for before, markdown, html, after in pictures:
        assert (ROOT / (markdown or html)).is_file()
        assert len(before or after) > 60


def test_it_stands_beside_five_others_and_says_where_each_is_better():
    table = TEXT.split("## Beside other workbooks")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| [")]
    assert len(rows) == 5
    assert all(len(row) == 6 and re.match(r"\[[^\]]+\]\(https://github\.com/[\w./-]+\)$", row[0]) and len(row[-1]) > 20 for row in rows)
    assert "Where this one falls short" in table


def test_a_badge_tells_of_a_workflow_that_runs_by_itself():
    badges = re.findall(r"\[!\[[^\]]+\]\(\.\./\.\./actions/workflows/([\w-]+\.yml)/badge\.svg\)\]\(\.\./\.\./actions/workflows/\1\)", TEXT)
    assert badges == ["test.yml", "site.yml", "weekly.yml"]
    assert "shields.io" not in TEXT  # which would be told by others, and say what one wrote there
