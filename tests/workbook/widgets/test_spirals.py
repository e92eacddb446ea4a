"""The explorer's two halves: what Python hands to the page, and what the page makes of it, run by Node."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import playwright
import pytest
import sympy

from cllm_lib.lattice.locality import nearest_numbers
from cllm_lib.workbook.figures.planes import CURVES, POINT, PROPERTIES, places
from cllm_lib.workbook.widgets import spiral_explorer, spirals

PAGE = Path(spirals.__file__).with_name("explorer.mjs")
NODE = shutil.which("node") or str(next((Path(playwright.__file__).parent / "driver").glob("node*")))  # the browser's driver has one
every_curve = pytest.mark.parametrize("curve", CURVES)
LIMIT = 3_000


def in_node(expression):
    """The value of an expression in which `page` is the explorer's module."""
    program = f"import * as page from {json.dumps(PAGE.as_uri())}; console.log(JSON.stringify({expression}))"
    done = subprocess.run([NODE, "--input-type=module", "-e", program], capture_output=True, text=True, encoding="utf-8", check=True)
    return json.loads(done.stdout)


def shown(limit=2_000, **settings):
    explorer = spiral_explorer(limit, **settings)
    explorer._ipython_display_()
    return explorer


def kinds(explorer):
    """The label of each number."""
    return np.array(explorer.view.colouring["labels"])[np.frombuffer(explorer.view.kinds, dtype=np.uint8)]


# What Python hands over


def test_nothing_is_computed_before_it_is_shown():
    explorer = spiral_explorer()
    assert explorer.view.kinds == b""
    small = spiral_explorer(100)
    small._ipython_display_()
    assert len(small.view.kinds) == 100


def test_the_page_gets_the_kind_of_every_number():
    explorer = shown()
    assert [n + 1 for n in np.flatnonzero(kinds(explorer) == "prime")] == list(sympy.primerange(2_001))
    explorer.colour.value = "factors"
    assert kinds(explorer)[[0, 11, 12, 63]].tolist() == ["no prime factor", "3 prime factors", "1 prime factor", "6 prime factors"]
    explorer.colour.value = "residue"
    assert kinds(explorer)[40] == "5 mod 12"
    explorer.modulus.value = 7
    assert kinds(explorer)[40] == "6 mod 7"
    assert explorer.view.colouring["name"] == "residue mod 7"


@pytest.mark.parametrize("colour", PROPERTIES)
def test_every_kind_has_a_name_and_a_colour_of_its_own(colour):
    explorer = shown(colour=colour, frequencies=[5, 0, 3])
    colours = explorer.view.colouring["colours"]
    assert len(explorer.view.colouring["labels"]) == len(colours) == len({tuple(rgb) for rgb in colours})
    assert max(explorer.view.kinds) < len(colours)
    assert all(0 <= part <= 255 for rgb in colours for part in rgb)


def test_a_modulus_out_of_range_is_said_beside_its_field_and_nothing_else_runs():
    explorer = shown(colour="residue", modulus=5)
    before = explorer.view.kinds
    explorer.modulus.text.value = "25"
    assert "modulus is &#x27;25&#x27;: give a whole number from 2 to 24" in explorer.modulus.problem.value
    assert explorer.view.kinds == before
    explorer.colour.value = "prime"
    explorer.colour.value = "residue"
    assert explorer.modulus.text.value == "25"
    explorer.modulus.text.value = "3"
    assert explorer.modulus.problem.value == ""
    assert explorer.view.colouring["name"] == "residue mod 3"


def test_the_modulus_can_be_typed_only_where_it_is_used():
    explorer = shown()
    assert explorer.modulus.disabled
    explorer.colour.value = "residue"
    assert not explorer.modulus.disabled
    explorer.curve.value = "Hilbert"
    assert explorer.view.curve == "Hilbert"


def test_its_text_is_the_same_each_time():
    assert repr(spiral_explorer(10)) == repr(shown(20, curve="Sacks"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(limit=0), "limit is 0"),
        (dict(limit=10**9), "limit is 1,000,000,000: .* give 4,000,000 at most"),
        (dict(limit=2.5), r"limit is 2\.5"),
        (dict(curve="Peano"), "unknown curve 'Peano': choose one of 'Ulam'"),
        (dict(colour="taste"), "unknown colour 'taste': choose one of 'prime'"),
        (dict(number=0), "number is 0: give whole numbers from 1 to 100"),
        (dict(number=101), "number is 101"),
        (dict(modulus=1), "modulus is 1"),
        (dict(number=True), "number is True"),
    ],
)
def test_what_makes_no_sense_gets_a_clear_error(settings, message):
    with pytest.raises(ValueError, match=message):
        spiral_explorer(**{"limit": 100} | settings)


# What the page makes of it


@every_curve
@pytest.mark.parametrize("limit", [1, 2, 17, LIMIT])
def test_the_page_knows_where_every_number_lies(curve, limit):
    plane = in_node(f"(p => ({{...p, x: [...p.x], y: [...p.y], whole: page.whole(p)}}))(page.places({curve!r}, {limit}))")
    x, y = places(curve, limit)
    np.testing.assert_allclose([plane["x"], plane["y"]], [x, y], atol=1e-9)
    assert (plane["left"], plane["bottom"]) == (np.rint(x).min(), np.rint(y).min())
    assert (plane["width"], plane["height"]) == (np.rint(x).max() - np.rint(x).min() + 1, np.rint(y).max() - np.rint(y).min() + 1)
    left, bottom, side = plane["whole"]
    assert side >= 8
    assert (np.rint(x) > left).all()
    assert (np.rint(x) < left + side).all()
    assert (np.rint(y) > bottom).all()
    assert (np.rint(y) < bottom + side).all()


@every_curve
def test_the_page_finds_the_number_nearest_to_a_place(curve):
    asked = np.random.default_rng(0).uniform(-40, 70, (50, 2))
    asked[::2] = np.rint(asked[::2])  # between cells, and in their middles
    found = in_node(f"(p => {asked.tolist()}.map(([x, y]) => page.nearest(p, x, y, 5)))(page.places({curve!r}, {LIMIT}))")
    x, y = places(curve, LIMIT)
    for place, numbers in zip(asked, found, strict=True):
        assert numbers == (nearest_numbers(x, y, place, 5) + 1).tolist()


@every_curve
def test_neighbours_share_a_side_or_are_the_nearest_there_are(curve):
    asked = [1, 2, 9, 41, 1_000, LIMIT]
    found = in_node(f"(p => {asked}.map(n => page.neighbours(p, n)))(page.places({curve!r}, {LIMIT}))")
    x, y = places(curve, LIMIT)
    for n, near in zip(asked, found, strict=True):
        distances = np.hypot(x - x[n - 1], y - y[n - 1])
        distances[n - 1] = np.inf
        if curve in POINT:
            assert sorted(distances[np.array(near) - 1]) == pytest.approx(sorted(distances)[:4])
        else:
            assert sorted(near) == (np.flatnonzero(distances == 1) + 1).tolist()


@every_curve
def test_row_order_counts_the_cells_of_the_plane_row_by_row(curve):
    found = in_node(f"(p => [...p.x.keys()].map(i => page.rowOrder(p, i + 1)))(page.places({curve!r}, {LIMIT}))")
    x, y = (np.rint(each).astype(np.int64) for each in places(curve, LIMIT))
    expected = np.ravel_multi_index((y - y.min(), x - x.min()), (np.ptp(y) + 1, np.ptp(x) + 1))
    assert found == expected.tolist()
    if curve == "row-major":  # stored along its curve it is stored row by row
        assert found == list(range(LIMIT))


def test_factors_multiply_to_their_number_and_are_prime():
    asked = [1, 2, 12, 97, 720_720, 999_983, 1_000_000, 3_999_971]
    for n, words in zip(asked, in_node(f"{asked}.map(page.factors)"), strict=True):
        if words in ("prime", "none"):
            assert sympy.isprime(n) if words == "prime" else n == 1
            continue
        powers = re.findall(r"([\d,]+)(?:<sup>(\d+)</sup>)?", words)
        assert {int(p.replace(",", "")): int(power or 1) for p, power in powers} == sympy.factorint(n)


@every_curve
def test_the_words_count_what_is_in_the_window_as_numpy_does(curve):
    explorer = shown(LIMIT, curve=curve)
    given = json.dumps({"kinds": list(explorer.view.kinds), **explorer.view.colouring})
    left, bottom, width = -10.5, -7.25, 33
    words = in_node(f"page.description({{...{given}, plane: page.places({curve!r}, {LIMIT}), window: [{left}, {bottom}, {width}]}}).words")
    x, y = places(curve, LIMIT)
    inside = [n for n in range(1, LIMIT + 1) if left <= x[n - 1] < left + width and bottom <= y[n - 1] < bottom + width]
    assert f"In view: x from -10 to 22, y from -7 to 25, {len(inside):,} numbers" in words
    assert f"; prime: {sum(map(sympy.isprime, inside))}." in words


@pytest.mark.parametrize(
    ("typed", "least", "most", "expected"),
    [
        ("41", 1, 100, {"value": 41}),
        ("4e1", 1, 100, {"value": 40}),
        ("-3", -5, 5, {"value": -3}),
        ("101", 1, 100, {"problem": "number is 101: give a whole number from 1 to 100"}),
        ("99999999999", 1, 10**6, {"problem": "number is 99999999999: give a whole number from 1 to 1,000,000"}),
        ("2.5", 1, 100, {"problem": "number is 2.5: give a whole number from 1 to 100"}),
        (" ", 1, 100, {"problem": "number is no number: give a whole number from 1 to 100"}),
    ],
)
def test_what_is_typed_in_the_page_is_that_number_or_a_sentence(typed, least, most, expected):
    assert in_node(f"page.read({typed!r}, false, {least}, {most}, 'number')") == expected


def written(svg):
    """The words on the strips, by strip: left and right end, and height."""
    places = re.findall(r'<text x="([\d.-]+)" y="([\d.-]+)" text-anchor="middle">(.*?)</text>', svg)
    return [(float(x) - 3.4 * len(words), float(x) + 3.4 * len(words), float(y)) for x, y, words in places]


@every_curve
def test_no_words_on_the_strips_of_memory_lie_on_each_other(curve):
    asked = [1, 2, 41, 1_000_000, *np.random.default_rng(0).integers(1, 1_000_001, 60).tolist()]
    for svg in in_node(f"(p => {asked}.map(n => page.strips(p, n, page.neighbours(p, n))))(page.places({curve!r}, 1000000))"):
        found = written(svg)
        assert len(found) == svg.count("<circle") >= 6
        for i, (left, right, y) in enumerate(found):
            assert all(right < other[0] or other[1] < left for other in found[:i] if abs(other[2] - y) < 11)
