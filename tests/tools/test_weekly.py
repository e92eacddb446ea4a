"""What is checked weekly: each kind of broken link is told, and no sound one; a page that is older than its script, too."""

import io
import json
import os
import subprocess
import urllib.error

import pytest
from notebooks.books import ROOT, load_tool

weekly = load_tool("weekly")


def commit(root, when, *names):
    """Commit files at a given hour, as git sees it."""
    hour = f"2026-01-01T{when:02d}:00:00+00:00"
    who = {f"GIT_{role}_{what}": "someone" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = os.environ | who | {"GIT_AUTHOR_DATE": hour, "GIT_COMMITTER_DATE": hour}
    for words in (["add", *names], ["commit", "-q", "-m", f"at {when}"]):
        subprocess.run(["git", *words], cwd=root, env=environment, check=True, capture_output=True)


@pytest.fixture
def house(tmp_path):
    """A repository with a file, a picture and a chapter."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "words.md").write_text("# Words\n\n## A loss, in nats\n\n## Loss\n\n## Loss\n", encoding="utf-8")
    (tmp_path / "docs" / "curve.png").write_bytes(b"")
    return tmp_path


def told(house, text):
    """What is told of the links of a text at the top of the repository."""
    (house / "README.md").write_text(text, encoding="utf-8")
    subprocess.run(["git", "add", "."], cwd=house, check=True)
    return list(weekly.broken_inside(house))


@pytest.mark.parametrize(
    "text",
    [
        "[words](docs/words.md) and ![a curve](docs/curve.png)",
        "[a loss](docs/words.md#a-loss-in-nats), [one](docs/words.md#loss), [another](docs/words.md#loss-1)",
        "# Here\n\n[here](#here)",
        '<img src="docs/curve.png" alt="A curve."> <a href="docs/words.md">words</a>',
        "[a folder](docs), [mail](mailto:someone@example.org)",
        "`[no link](nowhere.md)`\n\n```\n[nor this](nowhere.md)\n```\n",
        "<a id='x'></a><a id=\"mark\"></a>[there](#mark)",
    ],
)
def test_a_sound_link_is_not_told(house, text):
    assert told(house, text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[words](docs/word.md)", "README.md: docs/word.md: no such file"),
        ("![a curve](docs/curves.png)", "README.md: docs/curves.png: no such file"),
        ('<img src="curve.png">', "README.md: curve.png: no such file"),
        ("[a loss](docs/words.md#a-loss)", "README.md: docs/words.md#a-loss: no heading of that name there"),
        ("# Here\n\n[there](#there)", "README.md: #there: no heading of that name there"),
        ("[third](docs/words.md#loss-2)", "README.md: docs/words.md#loss-2: no heading of that name there"),
    ],
)
def test_a_broken_link_is_told(house, text, said):
    assert told(house, text) == [said]


def test_a_badge_leads_to_a_workflow_that_is_there(house):
    folder = house / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "test.yml").touch()
    badge = "[![tests](../../actions/workflows/{0}.yml/badge.svg)](../../actions/workflows/{0}.yml)"
    assert told(house, badge.format("test")) == []
    assert [line.split(": ")[-1] for line in told(house, badge.format("tests"))] == ["no such workflow"] * 2


def test_the_text_cells_of_a_notebook_are_read_and_its_code_is_not(house):
    cells = [{"cell_type": "markdown", "source": ["[words](docs/", "gone.md)"]}, {"cell_type": "code", "source": ["[x](y.md)"]}]
    (house / "one.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert told(house, "") == ["one.ipynb: docs/gone.md: no such file"]


def test_every_link_of_the_book_leads_somewhere():
    assert list(weekly.broken_inside()) == []


def test_addresses_are_found_as_links_and_bare_without_the_dot_behind(house):
    told(house, "[a house](https://example.org/a#part) and https://example.org/b. `https://example.org/code` [c](https://example.org/c)")
    assert weekly.addresses(house) == {f"https://example.org/{name}": "README.md" for name in "abc"}


def refused(code):
    def opened(request, timeout):
        raise urllib.error.HTTPError(request.full_url, code, "no", {}, io.BytesIO())

    return opened


def unreachable(request, timeout):
    raise urllib.error.URLError("no route")


def test_a_house_that_answers_or_talks_to_no_program_is_left_alone():
    assert weekly.answer("https://example.org", lambda request, timeout: io.BytesIO()) == ""
    assert weekly.answer("https://example.org", refused(403)) == ""
    assert weekly.answer("https://example.org", refused(404)) == "answers 404"
    assert weekly.answer("https://example.org", unreachable) == "does not answer (no route)"


def test_what_is_broken_inside_is_an_error_and_what_is_outside_is_not(monkeypatch, capsys):
    monkeypatch.setattr(weekly, "broken_inside", lambda: ["README.md: gone.md: no such file"])
    monkeypatch.setattr(weekly, "addresses", lambda: {"https://example.org": "README.md"})
    monkeypatch.setattr(weekly, "answer", lambda address: "answers 404")
    assert weekly.main(["links"]) == 1
    assert weekly.main(["outside"]) == 0
    assert weekly.main([]) == 1
    assert "README.md: https://example.org answers 404" in capsys.readouterr().out
    assert weekly.main(["spelling"]) == 2


def test_a_page_that_is_older_than_its_script_is_told(house):
    page, script = house / "evidence/pages/TIMES.md", house / "benchmarks/times.py"
    for path, text in ((page, "# Times\n\nWritten by `python -m benchmarks.times --seeds 0`."), (script, "")):
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    commit(house, 1, "benchmarks/times.py")
    commit(house, 2, "evidence")
    assert list(weekly.stale(house)) == []
    script.write_text("1", encoding="utf-8")
    commit(house, 3, "benchmarks/times.py")
    (said,) = weekly.stale(house)
    assert said.startswith("evidence/pages/TIMES.md: benchmarks/times.py is younger (")
    assert said.endswith(" at 3)")


def test_every_page_of_measurements_says_which_script_wrote_it():
    for path in sorted((ROOT / "evidence" / "pages").glob("*.md")):
        script = weekly.script_of(path.read_text(encoding="utf-8"))
        assert script, path.name
        assert (ROOT / script).is_file(), path.name
