import base64
import html
import io
import re
import statistics
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import sympy
from matplotlib.image import imread

from cllm_lib.workbook.figures.planes import CURVES, POINT, PROPERTIES
from cllm_lib.workbook.widgets import spiral_explorer
from cllm_lib.workbook.widgets.spirals import PICTURE

SVG = "{http://www.w3.org/2000/svg}"
every_curve = pytest.mark.parametrize("curve", CURVES)


def shown(limit=2_000, **settings):
    explorer = spiral_explorer(limit, **settings)
    explorer._repr_mimebundle_()
    return explorer


def tree(explorer):
    return ElementTree.fromstring(explorer.picture.value)


def image(explorer):
    """The pixels sent to the page, row 0 at the top, and where they lie there."""
    element = tree(explorer).find("svg/image")
    data = base64.b64decode(element.attrib["href"].partition(",")[2])
    return imread(io.BytesIO(data)), {name: float(element.attrib[name]) for name in ("x", "y", "width", "height")}


def rows(explorer):
    """The table: number, place, factors, distance."""
    found = re.findall(r"<tr><th scope=\"row\">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", explorer.table.value)
    return [(int(n.replace(",", "")), place, factors, away) for n, place, factors, away in found]


def count_in_view(explorer):
    return int(re.search(r"([\d,]+) numbers:", explorer.sentence.value)[1].replace(",", ""))


def test_nothing_is_computed_before_it_is_shown(monkeypatch):
    started = time.perf_counter()
    explorer = spiral_explorer()
    assert explorer.plane is None
    assert explorer.picture.value == explorer.table.value == ""
    assert time.perf_counter() - started < 1.0
    small = spiral_explorer(100)
    small._repr_mimebundle_()
    assert small.plane is not None
    plane = small.plane
    small._repr_mimebundle_()
    assert small.plane is plane


@every_curve
@pytest.mark.parametrize("colour", PROPERTIES)
def test_every_curve_and_colour_is_drawn_with_its_numbers_in_words(curve, colour):
    explorer = shown(curve=curve, colour=colour, frequencies=[5, 0, 3])
    label = tree(explorer).attrib["aria-label"]
    assert tree(explorer).attrib["role"] == "img"
    assert f"{curve}, 1 to 2,000, coloured by" in label
    assert count_in_view(explorer) == 2_000
    counted = [int(number.replace(",", "")) for number in re.findall(r": ([\d,]+)[;.]", label.partition("numbers: ")[2])]
    assert sum(counted) == 2_000
    words = html.unescape(re.sub("<[^>]*>", "", explorer.sentence.value))
    assert label.partition("Numbers on the plane: ")[2].partition(" Chosen")[0] in words


@every_curve
@pytest.mark.parametrize("moves", [[], [(0.5, 0, 0)], [(0.5, 1, 0), (0.9, 0, -1)]])
def test_a_colour_lies_where_its_number_lies(curve, moves):
    explorer = shown(40_000, curve=curve)
    for factor, right, up in moves:
        explorer.zoom(factor)
        explorer.pan(right, up)
    pixels, box = image(explorer)
    left, bottom, width = explorer.window
    x, y = explorer.plane.x, explorer.plane.y
    cells, sharing = np.unique(np.stack([np.rint(x), np.rint(y)]), axis=1, return_counts=True)
    shared = set(zip(*cells[:, sharing > 1].tolist(), strict=True))
    checked = 0
    for i in explorer.plane.inside((left + 1, bottom + 1, width - 2))[::97].tolist():
        if (round(x[i]), round(y[i])) in shared:
            continue  # painted in the mean of their colours
        across, down = (np.array([x[i] - left, bottom + width - y[i]]) * PICTURE / width - (box["x"], box["y"])) / (
            box["width"],
            box["height"],
        )
        red = pixels[int(down * pixels.shape[0]), int(across * pixels.shape[1])][0]
        lit = red < 0.3  # the blue has no red
        assert lit == sympy.isprime(i + 1), (i + 1, red)
        checked += 1
    assert checked > 50


def test_a_wide_window_is_sent_with_no_more_pixels_than_it_has_on_the_page():
    explorer = shown(400_000)
    whole, box = image(explorer)
    assert max(whole.shape) <= PICTURE
    assert (box["x"], box["width"]) == pytest.approx((0, PICTURE * 2 * whole.shape[1] / explorer.window[2]), abs=0.01)
    share = (0xDD / 255 - whole[..., 0].mean()) / (0xDD / 255)  # of primes: they have no red
    assert share == pytest.approx(sympy.primepi(400_000) / 400_000, abs=0.01)


@pytest.mark.parametrize("curve", POINT)
def test_near_by_the_points_of_a_round_curve_are_drawn_one_by_one(curve):
    explorer = shown(curve=curve)
    for _ in range(3):
        explorer.zoom(0.5)
    circles = tree(explorer).findall("svg/g/circle")
    assert len(circles) == count_in_view(explorer) > 10
    assert tree(explorer).find("svg/image") is None


def test_the_window_is_counted_as_numpy_counts_it():
    explorer = shown()
    explorer.zoom(0.5)
    explorer.pan(1, 0)
    explorer.pan(0, -1)
    left, bottom, width = explorer.window
    x, y = explorer.plane.x, explorer.plane.y
    inside = [n for n in range(1, 2_001) if left < x[n - 1] < left + width and bottom < y[n - 1] < bottom + width]
    assert count_in_view(explorer) == len(inside)
    assert f"prime: {sum(map(sympy.isprime, inside))}." in explorer.sentence.value
    columns = range(
        int(re.search(r"x from (-?\d+)", explorer.sentence.value)[1]), int(re.search(r"to (-?\d+), y", explorer.sentence.value)[1]) + 1
    )
    assert {int(x[n - 1]) for n in inside} <= set(columns)
    assert len(columns) == width


def test_zoom_ends_at_eight_cells_and_at_all_of_them():
    explorer = shown()
    for _ in range(20):
        explorer.zoom(0.5)
    assert explorer.window[2] == 8
    for n in re.findall(r">(\d+)</text>", explorer.picture.value):  # so near, every number is written
        assert int(n) - 1 in explorer.plane.inside(explorer.window)
    for _ in range(20):
        explorer.zoom(2.0)
    assert explorer.window == explorer.plane.whole


def test_pan_stays_where_there_are_numbers():
    explorer = shown()
    explorer.zoom(0.25)
    for _ in range(100):
        explorer.pan(1, 1)
    assert count_in_view(explorer) > 0
    for _ in range(100):
        explorer.pan(-1, -1)
    assert count_in_view(explorer) > 0


@every_curve
def test_the_buttons_do_what_they_say(curve):
    explorer = shown(curve=curve)
    press = {name: button.click for name, button in explorer.buttons.items()}
    whole = explorer.window
    press["zoom in"]()
    start = np.array(explorer.window)
    assert start[2] < whole[2]
    for name, axis, sign in (("left", 0, -1), ("right", 0, 1), ("up", 1, 1), ("down", 1, -1)):
        before = np.array(explorer.window)
        press[name]()
        moved = np.array(explorer.window) - before
        assert np.sign(moved[axis]) == sign
        assert moved[1 - axis] == 0
    press["all"]()
    assert explorer.window == whole
    explorer.number.value = 1_234
    press["zoom in"]()
    press["zoom in"]()
    press["to the number"]()
    left, bottom, width = explorer.window
    assert abs(left + width / 2 - explorer.plane.x[1_233]) <= 1
    assert abs(bottom + width / 2 - explorer.plane.y[1_233]) <= 1


@every_curve
def test_a_number_is_found_with_its_neighbours_and_their_factors(curve):
    explorer = shown(curve=curve)
    explorer.number.value = 1_000
    (n, _, factors, away), *others = rows(explorer)
    assert (n, factors, away) == (1_000, "2<sup>3</sup> × 5<sup>3</sup>", "chosen")
    x, y = explorer.plane.x.astype(float), explorer.plane.y.astype(float)
    distances = np.hypot(x - x[999], y - y[999])
    closest = sorted(distances[np.arange(2_000, dtype=np.int64) != 999])[: len(others)]
    assert sorted(distances[[m - 1 for m, *_ in others]]) == pytest.approx(closest)
    assert len(others) == 4 if curve in POINT else all(distance == 1.0 for distance in closest)
    for m, _, factors, away in others:
        assert away == f"{abs(m - 1_000):,}"
        plain = factors.replace(",", "").replace("<sup>", "**").replace("</sup>", "").replace("×", "*")
        assert sympy.isprime(m) if factors == "prime" else eval(plain) == m


def test_a_neighbour_beyond_the_limit_is_no_neighbour():
    explorer = shown(9, number=9)
    assert [n for n, *_ in rows(explorer)] == [9, 2, 8]


def test_a_place_is_found_by_its_coordinates_and_a_number_tells_its_own():
    explorer = shown()
    explorer.x.value, explorer.y.value = -3, -1
    explorer.buttons["find"].click()
    assert explorer.number.value == 41
    explorer.number.value = 10
    assert (explorer.x.value, explorer.y.value) == (2, -1)
    explorer.x.value, explorer.y.value = 1_000, 2_000  # far outside: the nearest there is
    explorer.buttons["find"].click()
    assert (explorer.x.value, explorer.y.value) == (22, 22)
    explorer.x.value = 500
    explorer.buttons["find"].click()  # chosen already
    assert explorer.x.value == 22


def test_the_window_follows_a_number_it_does_not_show():
    explorer = shown()
    for _ in range(2):
        explorer.zoom(0.5)
    explorer.number.value = 2_000
    assert 1_999 in explorer.plane.inside(explorer.window)
    assert "2,000 at" in tree(explorer).attrib["aria-label"]
    assert "framed" in tree(explorer).attrib["aria-label"]
    explorer.pan(-1, 0)
    explorer.pan(-1, 0)
    explorer.pan(-1, 0)
    assert "not in view" in tree(explorer).attrib["aria-label"]


def test_another_modulus_and_curve_are_drawn_anew_and_a_colour_keeps_the_window():
    explorer = shown()
    assert explorer.modulus.disabled
    explorer.zoom(0.5)
    window = explorer.window
    explorer.colour.value = "residue"
    assert not explorer.modulus.disabled
    assert "residue mod 12" in explorer.sentence.value
    explorer.modulus.value = 5
    assert "residue mod 5" in explorer.sentence.value
    assert explorer.window == window
    explorer.curve.value = "Hilbert"
    assert explorer.window == explorer.plane.whole


def test_a_single_number_is_a_plane_too():
    explorer = shown(1)
    assert count_in_view(explorer) == 1
    for button in explorer.buttons.values():
        button.click()
    assert [n for n, *_ in rows(explorer)] == [1]
    assert rows(explorer)[0][2] == "none"


def test_every_control_has_a_name_to_be_called_by():
    explorer = spiral_explorer(10)
    for control in (explorer.curve, explorer.colour, explorer.modulus, explorer.number, explorer.x, explorer.y):
        assert control.description
    for name, button in explorer.buttons.items():
        assert button.description == name
        assert button.tooltip


def test_its_text_is_the_same_each_time():
    assert repr(spiral_explorer(10)) == repr(shown(20, curve="Sacks"))


@pytest.mark.parametrize("curve", ["Ulam", "Vogel"])
def test_a_million_numbers_are_redrawn_in_a_tenth_of_a_second(curve):
    explorer = shown(1_000_000, curve=curve)
    explorer.show_all()
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        explorer.show_all()
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.1


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
