"""The book's colours: told apart without one kind of cone, and standing out from the ground they lie on, in figures and in the page."""

import ast
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from colours import BLINDNESS, apart, contrast, difference, mixed
from matplotlib.colors import to_hex
from notebooks.books import ROOT

from cllm_lib.workbook.figures import style
from cllm_lib.workbook.widgets import attention, choosing, svg

PALETTE = {name: getattr(style, name) for name in ("BLACK", "SKY", "GREEN", "BLUE", "VERMILION", "PURPLE", "GREY")}
PAPER = "#ffffff"  # of every figure, on a dark page too
APART = 10.0  # CIEDE2000; a difference of 1 is just seen side by side, and lines are thin and lie apart
SHAPES, TEXT = 3.0, 4.5  # contrast: WCAG 2.1, 1.4.11 and 1.4.3

PALE = "SKY"  # too pale on white for a line: it fills what has an edge


@pytest.mark.parametrize("sight", [None, *BLINDNESS])
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(PALETTE, 2)))
def test_two_colours_stay_apart(one, other, sight):
    assert apart(PALETTE[one], PALETTE[other], sight) >= APART


def test_a_pair_that_the_colour_blind_confuse_would_be_noticed():
    """Matplotlib's own red and green, which ordinary sight keeps far apart."""
    assert apart("#d62728", "#2ca02c") > 60
    assert apart("#d62728", "#8c6d31", "protanopia") < APART


@pytest.mark.parametrize(
    ("one", "other", "expected"),  # from the test data of Sharma, Wu and Dalal 2005, table 1
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_distance_is_the_one_of_its_paper(one, other, expected):
    assert difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_grey_stays_grey_without_a_kind_of_cone(blindness):
    assert np.allclose(np.sum(BLINDNESS[blindness], axis=1), 1.0, atol=2e-6)


def test_lines_differ_in_dash_or_marker_as_well():
    looks = [(dash, marker) for _, dash, marker in style.LINE_STYLES]
    assert len(set(looks)) == len({marker for _, marker in looks}) == len(looks)


def test_what_is_drawn_stands_out_from_the_paper():
    assert [name for name, colour in PALETTE.items() if contrast(colour, PAPER) < SHAPES] == [PALE]


def drawn_with():
    """Of every call in the figures' modules: what it calls, and its named arguments as they are written."""
    for path in sorted((ROOT / "cllm_lib" / "workbook" / "figures").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield getattr(node.func, "attr", ""), {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_the_pale_colour_fills_what_has_an_edge_and_draws_no_line():
    uses = [words for _, words in drawn_with() if any(PALE in value for value in words.values())]
    assert uses
    for words in uses:
        assert {"edgecolor"} <= {*words}, words
        assert contrast(PALETTE[words["edgecolor"]], PAPER) >= SHAPES
    assert PALETTE[PALE] not in {colour for colour, _, _ in style.LINE_STYLES}


def test_words_in_a_figure_can_be_read():
    for name in PALETTE:
        assert name == PALE or contrast(to_hex(style.ink(PALETTE[name])), PAPER) >= TEXT, name
    written = {words["color"] for name, words in drawn_with() if name in ("annotate", "text") and "color" in words}
    assert "GREY" in written
    for colour in written:  # one that depends on its ground says so by an "if"
        assert colour.startswith("ink(") or " if " in colour or contrast(PALETTE[colour], PAPER) >= TEXT, colour


# In the page, where the ground is the theme's


def theme(name):
    """Custom properties of JupyterLab's own theme, as it is installed, with those in place that they name."""
    path = Path(sys.prefix) / f"share/jupyter/lab/themes/@jupyterlab/theme-{name}-extension/index.css"
    if not path.is_file():
        pytest.skip("JupyterLab is not installed here")
    found = dict(re.findall(r"(--[\w-]+):\s*([^;}]+)", path.read_text(encoding="utf-8")))
    return {key: re.sub(r"var\(--[\w-]+,\s*([^)]+)\)", r"\1", value.strip()) for key, value in found.items()}


def colour_of(value, ground):
    """#rrggbb of a value of a theme: a name, a number, or something half transparent on its ground."""
    value = {"white": "#ffffff", "black": "#000000"}.get(value, value)
    parts = re.fullmatch(r"rgba\((\d+),\s*(\d+),\s*(\d+),\s*([\d.]+)\)", value)
    if parts:
        return mixed("#" + "".join(f"{int(part):02x}" for part in parts.groups()[:3]), ground, float(parts[4]))
    return "#" + "".join(digit * 2 for digit in value[1:]) if len(value) == 4 else value


@pytest.fixture(params=[("light", 0), ("light", 1), ("dark", 0), ("dark", 1)], ids=lambda each: f"{each[0]}-{each[1]}")
def page(request):
    """Ground, ink and the blue of a theme."""
    name, layer = request.param
    colours = theme(name)
    ground = colour_of(colours[f"--jp-layout-color{layer}"], PAPER)
    return ground, colours["--jp-content-font-color1"], colour_of(colours["--jp-brand-color1"], ground)


def test_what_a_panel_draws_stands_out_from_the_page(page):
    ground, ink, blue = page
    assert svg.SHADE.startswith("var(--jp-brand-color1, ")
    assert contrast(blue, ground) >= SHAPES
    assert contrast(svg.MARK, ground) >= SHAPES
    assert contrast(colour_of(ink, ground), ground) >= TEXT


@pytest.mark.parametrize("sight", [None, *BLINDNESS])
def test_a_panels_two_colours_stay_apart(page, sight):
    assert apart(page[2], svg.MARK, sight) >= APART


@pytest.mark.parametrize("panel", [attention, choosing], ids=["attention", "choosing"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_a_word_on_its_shade_can_be_read(page, panel, weight):
    ground, ink, blue = page
    behind = mixed(blue, ground, panel.DARKEST * weight)
    assert contrast(colour_of(ink, behind), behind) >= TEXT


def test_a_panel_takes_no_other_colour():
    """Those of the theme, and two that were looked at above; a picture of squares has them as numbers."""
    known = {"#D55E00", "#0072B2", "#d55e00", "#0072b2"}
    for path in sorted((ROOT / "cllm_lib" / "workbook" / "widgets").glob("*.*")):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b(?=[;\"'])", text)) <= known, path.name


def schemes(text):
    """Custom properties of a style sheet: light ones, and those of the dark scheme."""
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    return [dict(re.findall(r"--(\w+): (#\w+)", part)) for part in (light, dark)]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_start_page_of_the_book_for_a_browser_can_be_read(scheme):
    colours = schemes((ROOT / "tools" / "lite" / "start.css").read_text(encoding="utf-8"))[scheme]
    for ink, ground in itertools.product(("ink", "faint", "link"), ("paper", "told")):
        assert contrast(colours[ink], colours[ground]) >= TEXT, (ink, ground)


MOVING = re.compile(
    r"@keyframes|animation(-[\w]+)?\s*:(?!\s*none)|transition(-[\w]+)?\s*:|\.animate\(|scroll-behavior\s*:\s*smooth|behavior:\s*.smooth"
)


def test_nothing_moves_by_itself_where_the_reader_asked_for_less_motion():
    """No style of ours is animated; one that were, would have to look at `prefers-reduced-motion`."""
    for folder in ("cllm_lib/workbook", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".css", ".mjs", ".js", ".html", ".py"}:
                text = path.read_text(encoding="utf-8")
                assert not MOVING.search(text) or "prefers-reduced-motion" in text, path.relative_to(ROOT)
