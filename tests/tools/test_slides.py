"""Slides: each picture and printed line is the chapter's own, every number stands there, and the page needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from browser.labs import CHROMIUM, needs_a_browser
from notebooks.books import NAMES, load_tool, read
from playwright.sync_api import sync_playwright

slides = load_tool("slides")
SOURCE = slides.SOURCE.read_text(encoding="utf-8")
CHAPTER = slides.chapter_of(slides.SOURCE)
PAGE = slides.page(slides.filled(SOURCE, CHAPTER))


class Seen(HTMLParser):
    """What a page holds: tags with their attributes, and texts by the tag they stand in."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


SEEN = Seen(PAGE)


def stored_lines():
    outputs = [one for cell in read(NAMES[1]).cells for one in cell.get("outputs", [])]
    return {line for one in outputs for line in one.get("text", "").split("\n")}


def test_every_line_that_was_printed_is_stored_in_the_chapter():
    shown = [line for tag, text in SEEN.texts if tag == "code" and "\n" in text for line in text.strip("\n").split("\n")]
    assert len(shown) > 25
    assert [line for line in shown if line not in stored_lines()] == []


def test_every_picture_is_the_chapters_with_its_text():
    stored = {}
    for cell in read(NAMES[1]).cells:
        for one in cell.get("outputs", []):
            if "image/png" in one.get("data", {}):
                stored[one.metadata["image/png"]["alt"]] = base64.b64decode(one.data["image/png"])
    images = SEEN.all("img")
    assert len(images) == 2
    for image in images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == stored[image["alt"]]


def test_every_number_on_a_slide_stands_in_the_chapter():
    slides.check_numbers(SOURCE, CHAPTER)
    for wrong in ("Its loss is 9.2104.", "A text of 1,242 words.", "In 43 steps."):
        with pytest.raises(SystemExit, match=r"A slide says (9\.2104|1242|43), and the chapter does not"):
            slides.check_numbers(f"{SOURCE}\n{wrong}\n", CHAPTER)


def test_the_page_asks_no_other_host_and_nothing_is_left_to_fill():
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", PAGE)
    assert not re.search(r"https?://|@import|url\(", PAGE)
    assert "{{" not in PAGE
    assert len(PAGE) < 500_000


def test_it_can_be_read_aloud_and_its_headings_are_in_order():
    assert SEEN.all("html") == [{"lang": "en"}]
    assert [text for tag, text in SEEN.texts if tag == "title"] == ["The loss that never moves"]
    levels = [tag for tag, _ in SEEN.tags if re.fullmatch(r"h\d", tag)]
    assert levels == ["h1", *["h2"] * (len(levels) - 1)]
    assert len(levels) == len(SEEN.all("section")) == SOURCE.count("\n---\n") + 1
    assert all(len(image["alt"]) > 30 for image in SEEN.all("img"))
    assert len({section["id"] for section in SEEN.all("section")}) == len(levels)


def contrast(first, second):
    """The ratio of the Web Content Accessibility Guidelines, 1.4.3."""

    def light(colour):
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lights = sorted(map(light, (first, second)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_letters_stand_out_in_light_in_dark_and_in_print():
    themes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", slides.STYLE, re.DOTALL)]
    assert len(themes) == 3
    for theme in themes:
        for ink in ("ink", "accent", "quiet"):
            assert contrast(theme[ink], theme["paper"]) > 7, (ink, theme)
        assert contrast(theme["ink"], theme["box"]) > 7
    assert "prefers-reduced-motion: no-preference" in slides.STYLE


# What is refused


def book(*printed, pictures=()):
    cells = [{"source": "", "outputs": [{"text": text}]} for text in printed]
    cells += [{"source": "", "outputs": [{"data": {"image/png": "aGk="}, "metadata": {"image/png": {"alt": alt}}}]} for alt in pictures]
    return {"cells": cells}


def test_lines_are_taken_from_the_first_to_the_last():
    chapter = book("a 1\nb 2\nb 3\nc 4\n", "d 5\n")
    assert slides.filled("{{printed: b ... c}}", chapter) == "```\nb 2\nb 3\nc 4\n```"
    assert slides.filled("{{printed: d}}", chapter) == "```\nd 5\n```"
    assert slides.filled("text {{printed: d}}", chapter) == "text {{printed: d}}"  # a line of its own


@pytest.mark.parametrize("line", ["{{printed: x}}", "{{printed: c ... a}}", "{{printed: b}}", "{{figure: One}}", "{{figure: Two [}}"])
def test_what_is_not_there_or_there_twice_is_told(line):
    chapter = book("a 1\nb 2\nc 3\n", "b 4\n", pictures=["One picture", "One more"])
    with pytest.raises(SystemExit, match=r"^[02] (cells|pictures) of the chapter"):
        slides.filled(line, chapter)


def test_a_text_with_brackets_and_quotes_comes_through():
    chapter = book(pictures=['Left: [0, 1], "known" & <bold>'])
    (image,) = Seen(slides.page("# t\n\n" + slides.filled("{{figure: Left}}", chapter))).all("img")
    assert image == {"src": "data:image/png;base64,aGk=", "alt": 'Left: [0, 1], "known" & <bold>'}


def test_a_chapter_that_was_run_anew_with_other_numbers_gives_another_page_or_none():
    """Nothing typed can go stale: either a line is taken from the chapter, or a number that is not there is told."""
    changed = json.loads(json.dumps(CHAPTER).replace("9.2334", "9.4321"))
    slides.check_numbers(SOURCE, changed)
    assert "9.4321" in slides.page(slides.filled(SOURCE, changed))
    with pytest.raises(SystemExit, match="A slide says 1241"):
        slides.check_numbers(SOURCE, json.loads(json.dumps(CHAPTER).replace("1,241", "1,250")))


def test_the_command_writes_one_file(tmp_path, capsys):
    slides.main(["--output", str(tmp_path / "a" / "01.html")])
    assert (tmp_path / "a" / "01.html").read_text(encoding="utf-8") == PAGE
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["01.html"]
    assert "17 slides" in capsys.readouterr().out


class TestInABrowser:
    pytestmark = needs_a_browser

    @pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740)])
    def test_keys_go_from_slide_to_slide_and_nothing_is_cut_off(self, width, height, tmp_path):
        slides.main(["--output", str(tmp_path / "01.html")])
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            asked = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto((tmp_path / "01.html").as_uri())
            wide = "[...document.querySelectorAll('section, pre, img')].filter((one) => one.scrollWidth > innerWidth).length"
            assert page.evaluate(wide) == 0
            for key, at in (("ArrowRight", 2), ("ArrowDown", 3), ("ArrowLeft", 2), ("End", 17), ("ArrowRight", 17), ("Home", 1)):
                page.keyboard.press(key)
                assert page.url.endswith(f"#slide-{at}")
                top = page.evaluate("document.activeElement.getBoundingClientRect().top")
                assert (page.evaluate("document.activeElement.id"), abs(top) < 2) == (f"slide-{at}", True)
            assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
            printed = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 17
            browser.close()
