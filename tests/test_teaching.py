"""Material for teachers fits the book: every chapter, its times and exercises, and the words and numbers that are quoted from it."""

import ast
import functools
import re
from difflib import SequenceMatcher

import pytest
from notebooks.books import NAMES, ROOT, exercise_cells, read

TEACH = ROOT / "docs" / "teach"
CHAPTERS = (TEACH / "CHAPTERS.md").read_text(encoding="utf-8")
PLANS = (TEACH / "PLANS.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\d\d) (.+?\n.*?)(?=^## |\Z)", CHAPTERS, re.MULTILINE | re.DOTALL))
NAME = {name[:2]: name for name in NAMES}
EXERCISE = r"[Ee]xercises? (\d\d\.\d+) \((\d+) minutes?\)"


@functools.cache
def book(chapter):
    return read(NAME[chapter])


@functools.cache
def prose(chapter):
    """The texts of a chapter, without marks, links and line ends."""
    text = "\n".join(cell.source for cell in book(chapter).cells if cell.cell_type == "markdown")
    return plain(text)


def plain(text):
    return " ".join(re.sub(r"[*_`]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)).split())


@functools.cache
def shown(chapter):
    """All that a chapter says: texts, code, and what it has printed."""
    cells = book(chapter).cells
    return "\n".join(cell.source + "\n" + "".join(one.get("text", "") for one in cell.get("outputs", [])) for cell in cells)


@functools.cache
def minutes(chapter):
    """By its first cell, and of each exercise by its card."""
    exercises = {
        number: int(re.search(rf"### Exercise {re.escape(number)}  \S+  (\d+) minute", card.source)[1])
        for number, (card, _) in exercise_cells(book(chapter)).items()
    }
    return int(re.search(r"\*\*About\*\* (\d+) minutes", shown(chapter))[1]), exercises


@functools.cache
def said_by_checks():
    """Every text in the modules of the exercises, whose pieces are put together, in one."""
    texts = []
    for path in sorted((ROOT / "cllm_lib" / "workbook" / "exercises").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return plain("\n".join(texts))


def table(text):
    """The rows of the tables in a text, without their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    heads = [i for i, row in enumerate(rows) if set("".join(row)) <= set("-: ")]
    return [row for i, row in enumerate(rows) if i not in heads and i + 1 not in heads]


# CHAPTERS.md


def test_every_chapter_has_its_section_in_the_order_of_the_book():
    assert list(SECTIONS) == [name[:2] for name in NAMES]
    for chapter, text in SECTIONS.items():
        assert text.split("\n")[0] in shown("00"), f"{chapter} is called otherwise on the map"


@pytest.mark.parametrize("chapter", SECTIONS)
def test_a_section_has_times_aims_beliefs_and_questions(chapter):
    text = SECTIONS[chapter]
    about, exercises = minutes(chapter)
    assert text.split("\n")[2].startswith(f"{about} minutes. Exercises {min(exercises)} to {max(exercises)}.")
    aims, _, discuss = text.partition("**Aims.**")[2].partition("**To discuss**")
    assert re.findall(r"^(\d)\. ", aims, re.MULTILINE) == ["1", "2", "3"]
    questions = re.findall(r"^\d\. \*(.+?\?|.+?\.)\* (.+)$", discuss, re.MULTILINE)
    assert 2 <= len(questions) <= 3
    assert len(questions) == len(re.findall(r"^\d\. ", discuss, re.MULTILINE))
    assert all("good answer" in answer for _, answer in questions)
    assert 3 <= len(table(text)) <= 7


@pytest.mark.parametrize("chapter", SECTIONS)
def test_each_belief_is_seen_where_it_says_in_these_words(chapter):
    for belief, where, answer in table(SECTIONS[chapter]):
        source, quoted = re.fullmatch(r"(\d\d\.\d+|\d\d\.\d+, bet|text): \*(.+)\*", where).groups()
        assert belief.startswith('"')
        assert answer
        if source == "text":
            assert plain(quoted) in prose(chapter), quoted
        elif source.endswith("bet"):
            card, _ = exercise_cells(book(chapter))[source.split(",")[0]]
            assert plain(quoted) in plain(card.source), quoted
            assert "bet" in card.source
        else:
            assert source in minutes(chapter)[1]
            assert plain(quoted) in said_by_checks(), quoted


@pytest.mark.elsewhere
@pytest.mark.parametrize("chapter", SECTIONS)
class TestSaid:
    def test_what_is_quoted_of_a_check_it_really_says_to_a_wrong_answer(self, chapter, capsys):
        """To one of those that the tests of the checks hold; first those whose expected words are most like the quotation."""
        from workbook.answers import WRONG  # not above: they bring much along, which the other tests do not need

        for _, where, _ in table(SECTIONS[chapter]):
            number, quoted = where.split(": ", 1)
            if re.fullmatch(r"\d\d\.\d+", number):
                likely = sorted(WRONG[number], key=lambda case: -alike(case[1], quoted))
                assert any(is_told(number, answer, quoted, capsys) for answer, _ in likely), (number, quoted)


def alike(first, second):
    """How long the longest piece is that two texts have in common."""
    return SequenceMatcher(None, first, second, autojunk=False).find_longest_match().size


def is_told(number, answer, quoted, capsys):
    from cllm_lib.workbook.exercises import check

    check(number, answer)
    return plain(quoted) in plain(capsys.readouterr().out)


@pytest.mark.parametrize("chapter", SECTIONS)
def test_numbers_are_the_chapters_own(chapter):
    """In aims, answers and questions: all with a decimal point and all from ten on stand in the chapter, or in one that is named."""
    told = re.sub(r"^\| [^|]+\|[^|]+\|", "", SECTIONS[chapter], flags=re.MULTILINE)  # without what is believed, and what is quoted
    text = re.sub(r"\b\w+/\w+#\d+|slides_\d\d|\b\d\d\.\d\b(?=[:,]| to|\.$)", "", told)
    known = " ".join(shown(one) for one in {chapter, *re.findall(r"[Cc]hapter (\d\d)", text)})
    for number in re.findall(r"(?<![\w.,])\d[\d,]*\.\d+|(?<![\w.,])\d[\d,]+(?![\w.])", text.split("\n", 3)[3]):
        assert number.strip(",") in known, number


# PLANS.md


def plans():
    """Of each plan its hours, and its rows: from, to, chapter, cells."""
    found = {}
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PLANS, re.MULTILINE | re.DOTALL):
        rows = [row for row in table(text) if re.fullmatch(r"\d:\d\d–\d+:\d\d", row[0])]
        if rows:
            hours = {"One": 1, "Four": 4, "Ten": 10}[title.split()[0]]
            found[title] = hours, [(*map(clock, row[0].split("–")), row[1], row[2]) for row in rows]
    return found


def clock(text):
    hours, past = text.split(":")
    assert int(past) < 60
    return 60 * int(hours) + int(past)


def test_there_are_plans_for_one_four_and_ten_hours():
    assert [hours for hours, _ in plans().values()] == [1, 4, 10]


@pytest.mark.parametrize("title", plans())
def test_a_plan_fills_its_hours_without_a_gap(title):
    hours, rows = plans()[title]
    assert [begin for begin, *_ in rows] == [0, *(end for _, end, *_ in rows[:-1])]
    assert rows[-1][1] == 60 * hours
    assert all(begin < end for begin, end, *_ in rows)


@pytest.mark.parametrize("title", plans())
def test_a_row_names_sections_of_its_chapter_and_has_time_for_its_exercises(title):
    for begin, end, chapter, cells in plans()[title][1]:
        needed = 0
        for number, told in re.findall(EXERCISE, cells):
            assert number.startswith(chapter)
            assert minutes(chapter)[1][number] == int(told), number
            needed += int(told)
        assert needed <= end - begin, cells
        for section in re.findall(r"(?<!\*)\*([^*]+)\*", cells if chapter and "as in" not in cells else ""):
            assert re.search(rf"^##+ {re.escape(section)}$", shown(chapter), re.MULTILINE), section


def test_no_exercise_is_planned_before_the_section_it_stands_in_is_named():
    """In each row an exercise belongs to one of the sections of that row."""
    for _, rows in plans().values():
        for _, _, chapter, cells in rows:
            for number, _ in re.findall(EXERCISE, cells):
                before = shown(chapter).split(f"### Exercise {number} ")[0]
                inside = re.findall(r"^###? (?!Exercise)(.+)$", before, re.MULTILINE)[-1]
                assert f"*{inside}*" in cells, (number, inside)


def test_what_is_skipped_is_there_and_is_not_planned():
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PLANS, re.MULTILINE | re.DOTALL):
        skipped = re.search(r"\*\*Skip:\*\*(.*?)(?:\*\*|$)", text, re.MULTILINE)
        for section in re.findall(r"(?<!\*)\*([^*]+)\*", skipped[1] if skipped else ""):
            homes = [name[:2] for name in NAMES if re.search(rf"^##+ {re.escape(section)}$", shown(name[:2]), re.MULTILINE)]
            assert homes, section
            planned = [cells for _, _, chapter, cells in plans()[title][1] if chapter in homes and "all but" not in cells]
            assert not any(f"*{section}*" in cells for cells in planned), section


def test_times_of_chapters_and_exercises_are_told_as_they_are_everywhere():
    for number, told in re.findall(r"(\d\d\.\d+) \((\d+) minutes?", PLANS):
        assert minutes(number[:2])[1][number] == int(told), number
    for chapter, told in re.findall(r"\b(\d\d) \((\d+) minutes\)", PLANS):
        assert minutes(chapter)[0] == int(told), chapter


def test_sums_of_chapters_are_right():
    rows = table(PLANS.split("## Other ten hours")[1])
    assert len(rows) >= 3
    for _, chapters, told in rows:
        assert sum(minutes(chapter)[0] for chapter in chapters.split(", ")) == int(told), chapters


@pytest.mark.parametrize("path", sorted(TEACH.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (TEACH / target).exists(), target
