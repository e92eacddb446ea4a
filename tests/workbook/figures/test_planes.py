import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from cllm_lib.lattice.locality import quadratic_values
from cllm_lib.lattice.spirals import ulam_coordinates, ulam_index
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import planes as pictures

every_curve = pytest.mark.parametrize("curve", pictures.CURVES)


@every_curve
def test_places_are_those_of_the_numbers_from_one_on(curve):
    x, y = pictures.places(curve, 100)
    assert len(x) == len(y) == 100
    if curve not in pictures.POINT:
        assert (x[0], y[0]) == (0, 0)
        assert (x[1], y[1]) == (1, 0)
    else:
        np.testing.assert_allclose(np.hypot(x, y), np.sqrt(np.arange(1, 101, dtype=np.int64)))


def test_primes_factors_and_residues_are_those_of_sympy():
    for n, kind in enumerate(pictures.by_prime(500).kinds, 1):
        assert kind == sympy.isprime(n)
    factors = pictures.by_factors(500)
    for n, kind in enumerate(factors.kinds, 1):
        assert kind == min(7, sum(sympy.factorint(n).values()))
    assert factors.labels[1] == "1 prime factor"
    np.testing.assert_array_equal(pictures.by_residue(50, 7).kinds, np.arange(1, 51, dtype=np.int64) % 7)


def test_frequencies_double_from_colour_to_colour():
    found = pictures.by_frequency(10, [0, 1, 2, 3, 4, 7, 8])
    assert [found.labels[kind] for kind in found.kinds] == [
        "does not occur",
        "occurs once",
        "occurs 2 to 3 times",
        "occurs 2 to 3 times",
        "occurs 4 to 7 times",
        "occurs 4 to 7 times",
        "occurs 8 to 15 times",
        *["does not occur"] * 3,
    ]
    assert len(found.labels) == len(found.colours) == 5
    assert pictures.by_frequency(3, [0, 0]).labels == ("does not occur",)


def test_the_frequencies_of_a_text_are_taken_where_none_are_given():
    assert pictures.by_frequency(100).kinds.max() > 8


@pytest.mark.parametrize("name", pictures.PROPERTIES)
def test_counts_are_of_all_numbers_and_colours_of_all_kinds(name):
    found = pictures.colouring(name, 300)
    assert found.kinds.shape == (300,)
    assert len(found.colours) == len(found.labels) > found.kinds.max()
    assert sum(int(part.rpartition(": ")[2].replace(",", "")) for part in found.counts().split("; ")) == 300
    assert found.counts(np.array([], dtype=np.int64)) == "no number"


def test_the_two_colours_of_primes_are_far_apart_in_brightness():
    """By the contrast of WCAG 2.1, 1.4.11: at least 3 to 1, without any help of hue."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, pictures.by_prime(3).colours))
    assert (light + 0.05) / (dark + 0.05) > 3.0


@every_curve
def test_the_raster_holds_each_number_in_its_cell(curve):
    x, y = pictures.places(curve, 150)
    pixels, (left, bottom) = pictures.raster(x, y, pictures.by_prime(150))
    cells = [(round(b) - bottom, round(a) - left) for a, b in zip(x, y, strict=True)]
    assert pixels.shape == (round(y.max()) - bottom + 1, round(x.max()) - left + 1, 3)
    painted = np.zeros(pixels.shape[:2], dtype=bool)
    for n, cell in enumerate(cells, 1):
        painted[cell] = True
        if cells.count(cell) == 1:
            expected = figures.BLUE if sympy.isprime(n) else "#dddddd"
            np.testing.assert_array_equal(pixels[cell], np.rint(255 * np.array(to_rgb(expected))))
    assert (pixels[~painted] == 255).all()


def test_two_numbers_in_one_cell_are_mixed():
    mixed, _ = pictures.raster(np.array([0.1, 0.2, 3.0]), np.zeros(3), pictures.by_prime(3))
    apart, _ = pictures.raster(np.array([0, 1, 3], dtype=np.int64), np.zeros(3), pictures.by_prime(3))
    np.testing.assert_allclose(mixed[0, 0], (apart[0, 0].astype(float) + apart[0, 1]) / 2, atol=1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_halving_takes_means_of_two_by_two(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3)).astype(np.uint8)
    found = pictures.halved(pixels)
    assert found.shape == ((height + 1) // 2, (width + 1) // 2, 3)
    for i, j, channel in np.ndindex(found.shape):
        values = [int(pixels[a, b, channel]) if a < height and b < width else 255 for a in (2 * i, 2 * i + 1) for b in (2 * j, 2 * j + 1)]
        assert abs(found[i, j, channel] - sum(values) / 4) <= 0.5


@every_curve
def test_a_figure_says_in_words_how_many_numbers_it_shows(curve):
    axes = pictures.number_plane(curve, 1_000, marked={"k^2 + k + 41": quadratic_values(40)})
    texts = figures.numbers_drawn(axes)
    assert f"  {curve}, prime: not prime: 832; prime: 168" in texts
    assert "  k^2 + k + 41: 31 of 40 in the picture" in texts
    x, y = pictures.places(curve, 1_000)
    rings = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(rings, [(x[n - 1], y[n - 1]) for n in quadratic_values(40) if n <= 1_000])
    axes.figure.canvas.draw()


def test_a_figure_of_many_points_is_a_raster():
    axes = pictures.number_plane("Vogel", 30_000, "factors")
    assert len(axes.images) == 1
    assert not axes.collections
    axes.figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pictures.places("Peano", 10), "unknown curve 'Peano'"),
        (lambda: pictures.places("Ulam", 0), "limit is 0"),
        (lambda: pictures.places("Ulam", 10**8), "limit is 100,000,000: the picture would take long"),
        (lambda: pictures.by_residue(10, 25), "modulus is 25: give whole numbers from 2 to 24"),
        (lambda: pictures.by_frequency(10, [1.5]), "frequencies is an array of float64"),
        (lambda: pictures.by_frequency(10, [1, -1]), r"frequencies\[1\] is -1"),
        (lambda: pictures.colouring("taste", 10), "unknown property 'taste': choose one of 'prime'"),
        (lambda: pictures.number_plane("Ulam", 10, marked={"mine": [0]}), r"mine\[0\] is 0"),
    ],
)
def test_what_makes_no_sense_gets_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_numbers_are_written_where_they_lie():
    x, y = ulam_coordinates(np.arange(1, 26, dtype=np.int64))
    left, right = pictures.numbers_written({"one": (x, y), "other": (-x, y)}, bold=[2, 3])
    assert (left.get_title(), right.get_title()) == ("one", "other")
    assert {text.get_text(): text.get_position() for text in right.texts} == {
        str(ulam_index(-a, b)): (a, b) for a, b in zip(-x, y, strict=True)
    }
    assert [text.get_text() for text in left.texts if text.get_weight() == "bold"] == ["2", "3"]
