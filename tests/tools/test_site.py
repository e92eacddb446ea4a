"""The site and the book on paper, without Sphinx: what its pages are given for readers, and what goes to the end of the book."""

import math
import re
import unicodedata

import pytest
from bs4 import BeautifulSoup
from notebooks.books import NAMES, ROOT, load_tool, read

from cllm_lib import load_corpus
from cllm_lib.workbook.widgets import TrainingDashboard

site = load_tool("site")
paper = load_tool("site/paper")
pages = site.pages
CARD = "<h3>Exercise 07.2 ●●○ 5 minutes: momentum</h3>"
TERMS = (pages.Term("loss", ("loss",), "00"), pages.Term("logits", ("logits", "logit"), "00"))


def page(body, **settings):
    """A page with this in its article, finished, as elements."""
    return BeautifulSoup(pages.finished(f"<html><body><article>{body}</article></body></html>", **settings), "html.parser")


def output(text, image=""):
    """What a cell shows, as the pages have it."""
    return f'<div class="cell_output">{image}<div class="output stream"><div class="highlight"><pre>{text}</pre></div></div></div>'


# For readers


def test_difficulty_is_said_in_words_and_circles_are_not_read():
    card = page(CARD).h3
    assert card.find(attrs={"aria-hidden": "true"}).string == "●●○"
    heard = "".join(text for text in card.strings if not text.find_parent(attrs={"aria-hidden": "true"}))
    assert re.sub(r"\s+", " ", heard) == "Exercise 07.2 , difficulty 2 of 3, 5 minutes: momentum"
    assert [pages.in_words(circles) for circles in ("●○○", "●●●")] == ["difficulty 1 of 3", "difficulty 3 of 3"]


def test_circles_that_a_cell_prints_stay():
    assert page(output("●○○ as printed")).pre.string == "●○○ as printed"


def test_what_was_not_attempted_is_said_for_readers_and_the_rest_stays():
    found = page(output("07.1 not attempted yet: the notebook goes on without it.\nand 0.2 in the last epoch\n"))
    assert "Exercise 07.1 is left for you" in found.select_one("p.for-readers").get_text()
    assert found.select_one("p.for-readers a")["href"] == f"#{pages.RUN}"
    assert found.pre.string == "and 0.2 in the last epoch\n"
    alone = page(output("07.1 not attempted yet: the notebook goes on with the reference.\n"))
    assert alone.pre is None
    assert alone.select_one("p.for-readers")


def test_every_sentence_of_a_check_in_the_chapters_is_one_that_is_told_to_readers():
    for name in NAMES:
        printed = "".join(o.get("text", "") for cell in read(name).cells if cell.cell_type == "code" for o in cell.outputs)
        assert len(pages.NOT_ATTEMPTED.findall(printed)) == printed.count("not attempted yet"), name


SLEEPING = '<div class="output text_html"><p class="cllm-sleeping"><em>Nothing to move</em></p><style>a { b: c }</style></div>'


def test_a_panel_is_said_once_and_for_readers():
    bare = output("A slider over V (run this cell in JupyterLab to move it)").removesuffix("</div>")
    found = page(f"{bare}{SLEEPING}</div>")
    assert (found.style, found.pre) == (None, None)
    assert [part.get_text() for part in found.select("p")] == [
        "Here the notebook shows a panel: a slider over V. To use it, run the chapter."
    ]
    alone = page(f'<div class="cell_output">{SLEEPING}</div>')
    assert [part.get_text() for part in alone.select("p")] == ["Here the notebook shows a panel. To use it, run the chapter."]
    assert pages.in_a_sentence("LLL step by step") == "LLL step by step"


def test_a_caption_that_is_the_pictures_text_is_read_once():
    found = page(output("What to see: It falls.\n  loss: from 5 to 1\n", '<img src="a.png" alt="It falls.">'))
    assert found.select_one("p.what-to-see[aria-hidden=true]").string == "What to see: It falls."
    assert found.pre.string == "  loss: from 5 to 1\n"
    other = page(output("What to see: Something else.\n", '<img src="a.png" alt="It falls.">'))
    assert other.select_one("p.what-to-see") is None


def test_a_picture_opens_large():
    link = page('<img src="a.png" alt="It falls.">').select_one("a.larger")
    assert (link["href"], link.img["alt"]) == ("a.png", "It falls.")


def test_an_empty_cell_at_a_tables_head_heads_nothing():
    found = page("<table><tr><th></th><th>loss</th></tr></table>")
    assert [cell.name for cell in found.tr.children] == ["td", "th"]
    assert found.table.parent["tabindex"] == "0"


def test_wide_lines_are_scrolled_from_the_keyboard_and_narrow_ones_are_no_stop():
    assert page(output("x" * (pages.WIDE + 1))).pre["tabindex"] == "0"
    assert "tabindex" not in page(output("x" * pages.WIDE)).pre.attrs
    assert "scrolled" in page(output("gain     0\nbias     1")).pre["class"]  # cut to fit, columns would no longer stand below each other


def test_a_sentence_among_columns_is_cut_to_fit_and_they_are_not():
    verdict = "verdict: Every weight is exactly zero: the initialisation never reached them, and no gradient moves them."
    found = page(output(f"tensor     mean\ngain          0\n{verdict}\n"))
    assert [(part.get_text(), "scrolled" in part.get("class", [])) for part in found.select("pre")] == [
        ("tensor     mean\ngain          0", True),
        (f"{verdict}\n", False),
    ]


CLUE = "perturb a later token: an earlier output changes; activation statistics: not normalised"


@pytest.mark.parametrize(
    ("printed", "indents"),
    [
        (f"evidence   {CLUE}\nmost told  one reading\n", [11, 11, 0]),
        (f"    verdict:  {CLUE}", [14]),
        (f"           {CLUE}\n{CLUE}", [11, 0]),
        (f"{' ' * 40}{CLUE}", [pages.SHORT]),
        (f"  0.51  Nora keeps the light.\n  0.48  {CLUE}", [8, 8]),
        ("evidence   short\nmost told  one reading", None),  # fits as it is
        (CLUE, []),
        (f"evidence   {CLUE}  0.51", None),  # a third column
        (f"a label of many words  {CLUE}", None),
        (f"evidence   {CLUE}\ntensor  mean  largest", None),  # among lines of a table
        ("x" * 99, None),
    ],
)
def test_a_label_stays_before_its_sentence_which_is_cut_to_fit_below_itself(printed, indents):
    found = page(output(printed)).pre
    assert found.get_text() == printed
    spans = found.select(".hung")
    assert [span["style"] for span in spans] == [f"--before: {indent}ch" for indent in indents or []]
    assert ("scrolled" in found.get("class", [])) == (indents is None)


WORDS = "Each bets alone, and nobody explains yet what the numbers say."


def test_a_table_of_many_columns_of_words_can_be_stacked_and_others_stay():
    heads = "".join(f"<th>{name}</th>" for name in ("time", "cells", "what happens", "aloud"))
    made = f"<table><thead><tr>{heads}</tr></thead><tbody><tr><td>0:00</td><td>01</td><td>{WORDS}</td><td></td></tr></tbody></table>"
    found = page(made).table
    assert [cell["data-head"] for cell in found.select("td")] == ["time", "cells", "what happens", "aloud"]
    assert [found["role"], found.td["role"], found.th["role"], found.tr["role"]] == ["table", "cell", "columnheader", "row"]
    assert "role" not in page(made.replace(WORDS, "few")).table.attrs
    assert "role" not in page(f"<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>{WORDS}</td></tr></tbody></table>").table.attrs


def test_the_themes_buttons_have_plain_names_and_no_sign_that_stays_on_a_touch_screen():
    button = page('<button class="secondary-toggle" data-bs-toggle="tooltip" title="Toggle secondary sidebar"></button>').button
    assert button.attrs == {"class": ["secondary-toggle"], "title": "Contents", "aria-label": "Contents"}


def test_to_run_the_chapter_leads_where_the_button_does():
    body = f"<h1>07</h1>{output('07.1 not attempted yet: the notebook goes on without it.')}"
    assert page(body, run='<p><a class="run-button" href="../lite/x">Run</a></p>').select_one("p.for-readers a")["href"] == "../lite/x"
    assert page(body, run="<p>Call make lab.</p>").select_one("p.for-readers a")["href"] == f"#{pages.RUN}"


def test_code_keeps_its_lines():
    assert page('<div class="highlight"><pre>' + "x" * (pages.NARROW + 1) + "</pre></div>").pre["aria-label"] == "Code"
    assert "tabindex" not in page('<div class="highlight"><pre>x = 1</pre></div>').pre.attrs


def test_an_example_of_an_address_is_no_link():
    found = page('<a href="tcp://192.0.2.7:8786">an example</a> <a href="https://example.org/">one</a> <a href="x.html">two</a>')
    assert [link.string for link in found.find_all("a")] == ["one", "two"]


@pytest.mark.parametrize("has_bundle", [True, False])
def test_of_what_is_said_for_either_case_one_stays(has_bundle):
    found = page('<p class="if-bundle">here</p><p class="if-no-bundle">there</p>', has_bundle=has_bundle)
    assert [part.string for part in found.find_all("p")] == ["here" if has_bundle else "there"]


# The glossary


def test_the_first_use_of_a_word_is_linked_and_nowhere_else():
    elsewhere = "<h2>The loss</h2><p>A <code>loss</code>, a <a href='x'>loss</a>, a glossy floss, "
    found = page(f"{elsewhere}a loss &lt; 1, a loss.</p><pre>loss</pre><p>loss</p>", terms=TERMS, home="../")
    (link,) = found.select("a.term")
    assert (link["href"], link.string) == ("../docs/GLOSSARY.html#loss", "loss")
    assert link.next_sibling.startswith(" < 1")


def test_another_form_counts_and_a_word_that_the_chapter_links_is_left_alone():
    assert [link.string for link in page("<p>two logits, a logit</p>", terms=TERMS).select("a.term")] == ["logits"]
    assert page("<p>the <a href='../docs/GLOSSARY.html#loss'>loss</a>, the loss</p>", terms=TERMS).select("a.term") == []


def test_words_of_the_glossary_are_read_with_their_forms_and_first_chapter():
    found = {term.name: term for term in site.glossary()}
    assert found["logits"].forms == ("logits", "logit")
    assert found["loss"].first == "00"
    assert all(term.first for term in found.values())
    assert {term.name for term in site.terms_before("01_x", list(found.values()))} == {t.name for t in found.values() if t.first == "00"}


def test_everyday_words_are_words_of_the_glossary():
    forms = {form for term in site.glossary() for form in term.forms}
    assert pages.EVERYDAY - forms <= {"m", "v", "head", "positions", "gate"}


# Chapters and the first page


def test_the_first_page_links_every_chapter_and_offers_five_suspects():
    made = site.landing()
    assert [f"notebooks/{name}.html" for name in NAMES] == re.findall(r'</span> <a href="(notebooks/[^"]+)"', made)
    assert made.count('type="radio"') == 5
    assert set(re.findall(r'value="(\w+)"', made)) == set(re.findall(r'data-for="(\w+)"', made)) - {"none"}
    assert "$" not in made


def test_the_loss_at_zero_that_the_first_page_tells_is_ln_v_of_the_dashboards_text():
    (text,) = [name for name, box in TrainingDashboard().texts.items() if box.value]
    assert f"at {math.log(len(load_corpus(text).vocabulary)):.2f}, which is ln V" in site.landing()


def test_a_chapter_says_how_it_is_run():
    with_bundle = site.run_line(NAMES[0], {"00": 80.3}, True)
    assert f'href="../lite/lab/index.html?path={NAMES[0]}.ipynb"' in with_bundle
    assert "about 1 minute of computing in a browser" in with_bundle
    assert "stand still in a browser" in site.run_line(NAMES[21], {}, True)
    assert "href" not in site.run_line(NAMES[0], {}, False)


def test_what_sphinx_reads_has_every_page_and_every_file_that_they_link_to(tmp_path):
    site.stage(tmp_path)
    assert {path.stem for path in (tmp_path / "notebooks").glob("*.ipynb")} == set(NAMES)
    for path in [*tmp_path.rglob("*.md"), *tmp_path.rglob("*.ipynb")]:
        for link in re.findall(r"\]\(([\w./-]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).is_file(), (path.name, link)


def test_the_page_for_other_peoples_computers_has_the_repositorys_name_where_it_is_known(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    site.stage(tmp_path / "nameless")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/a-book")
    site.stage(tmp_path / "named")
    nameless, named = ((tmp_path / kind / "docs" / "CLOUD.md").read_text(encoding="utf-8") for kind in ("nameless", "named"))
    assert "github.com/<owner>/<repository>" in nameless
    assert "github.com/someone/a-book" in named
    assert "<repository>" not in named


def test_a_folder_that_is_not_the_book_for_a_browser_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="is not the book for a browser"):
        site.build(tmp_path / "site", tmp_path)


def test_a_book_for_a_browser_that_was_made_of_something_older_is_known(tmp_path):
    assert not site.is_current(tmp_path)
    (tmp_path / site.lite.STATE).write_text(site.lite.state(), encoding="utf-8")
    assert site.is_current(tmp_path)
    (tmp_path / site.lite.STATE).write_text("another", encoding="utf-8")
    assert not site.is_current(tmp_path)


def test_every_public_face_has_a_page():
    packages = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in (ROOT / "cllm_lib").rglob("__init__.py")
        if "face(" in path.read_text(encoding="utf-8")
    }
    assert packages == set(site.FACES)


def test_what_makes_the_site_has_a_lock_of_its_own():
    text = (ROOT / "requirements-site.lock").read_text(encoding="utf-8")
    assert {"sphinx", "myst-nb", "sphinx-book-theme", "pypdf"} <= set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:])
    assert "://" not in text


# The bibliography


def plain(text):
    """Letters and digits alone: titles are written with other signs and breaks."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return " ".join(re.findall(r"[a-z0-9]+", letters))


def test_every_source_has_an_address_that_stays_and_is_cited():
    text = (ROOT / "docs" / "BIBLIOGRAPHY.md").read_text(encoding="utf-8")
    entries = re.findall(r'^\* (.+), "(.+)"(.*): \[([^\]]+)\]\((https://[^)]+)\)$', text, re.MULTILINE)
    assert len(entries) == text.count("\n* ") > 90
    chapters = ["\n".join(cell.source for cell in read(name).cells) for name in NAMES]
    library = [re.sub(r"\n\s*#?\s*", " ", path.read_text(encoding="utf-8")) for path in (ROOT / "cllm_lib").rglob("*.py")]
    cited = plain(" ".join(chapters + library))
    for author, title, _, label, address in entries:
        assert plain(title) in cited, (author, title)
        if label.startswith(("doi:", "arXiv:")):
            assert address.startswith("https://doi.org/10."), address
    assert len({address for *_, address in entries}) == len(entries)


# On paper


PART = (
    '<article><section id="t"><h1>07 · Adam<a class="headerlink" href="#t">#</a></h1><p class="run-chapter">run</p>'
    '<p><a href="../docs/GLOSSARY.html#loss">loss</a> <a href="03_x.html">three</a> <a href="../evidence/pages/A.html">page</a> '
    '<a href="https://example.org/">far</a></p><img loading="lazy" src="../_images/a.png" alt="A">'
    '<section id="exercise"><h3>Exercise 07.1</h3><details><summary>Hint</summary><p>think</p></details>'
    "<details><summary>Solution</summary><p>answer</p></details></section>"
    "<details><summary>The parts by name</summary><p>parts</p></details></section></article>"
)
BOOK = {"c-07_adam": PART, "c-GLOSSARY": '<article><section id="g"><h1>Glossary</h1><p id="loss">Loss</p></section></article>'}


def test_hints_and_solutions_stand_behind_the_chapters_and_each_leads_to_the_other():
    made = BeautifulSoup(paper.assembled(BOOK), "html.parser")
    chapter, appendix = made.find(id="c-07_adam"), made.find(id="c-appendix")
    assert "answer" not in chapter.get_text()
    assert "answer" in appendix.get_text()
    assert chapter.select_one("p.pointer a")["href"] == "#c-07_adam--exercise--folded"
    assert made.find(id="c-07_adam--exercise--folded").h3.a["href"] == "#c-07_adam--exercise"
    assert "The parts by name" in chapter.get_text()
    assert made.details is None


def test_links_on_paper_lead_into_the_book_or_to_the_world():
    made = BeautifulSoup(paper.assembled(BOOK), "html.parser")
    links = [link["href"] for link in made.find(id="c-07_adam").find_all("a")]
    assert links == ["#c-GLOSSARY--loss", "https://example.org/", "#c-07_adam--exercise--folded"]
    assert all(made.find(id=link[1:]) for link in [a["href"] for a in made.find_all("a")] if link.startswith("#"))
    assert made.img["src"] == "_images/a.png"
    assert "loading" not in made.img.attrs
    assert "run" not in made.find(id="c-07_adam").find("p").get_text()


def test_the_contents_name_every_part_with_its_page():
    made = paper.with_page_numbers(paper.assembled(BOOK), {"c-07_adam": 3, "c-appendix": 4, "c-GLOSSARY": 5})
    rows = BeautifulSoup(made, "html.parser").select(".contents li")
    assert [row.get_text() for row in rows] == ["07 · Adam 3", "Hints and solutions 4", "Glossary 5"]
