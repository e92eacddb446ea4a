import numpy as np
import pytest

from cllm_lib.workbook import figures


@pytest.mark.parametrize(("sizes", "common"), [((230, 180), 157), ((50, 50), 0), ((100, 20), 20), ((30, 90), 1), ((40, 40), 40)])
def test_two_sets_are_drawn_true_to_size(sizes, common):
    first, second = np.arange(sizes[0], dtype=np.int64), np.arange(sizes[0] - common, sizes[0] - common + sizes[1], dtype=np.int64)
    axes = figures.two_sets(first, second, ("one", "two"), "Title", ("a note", ""))
    circles = [patch for patch in axes.patches if hasattr(patch, "radius")]
    x, y = np.meshgrid(np.linspace(-2, 4, 1500), np.linspace(-2, 2, 1000))  # counted, where the figure has a formula
    inside = [np.hypot(x - circle.center[0], y) < circle.radius for circle in circles]
    unit = inside[int(sizes[1] > sizes[0])].sum() / max(sizes)
    measured = [np.sum(area) / unit for area in (inside[0], inside[1], inside[0] & inside[1])]
    np.testing.assert_allclose(measured, [*sizes, common], atol=0.01 * max(sizes))
    assert figures.numbers_drawn(axes) == [
        f"  {name}: {size}, of them {size - common} in no other" for name, size in zip(("one", "two"), sizes, strict=True)
    ]
    assert f"only here: {sizes[0] - common}\na note" in [text.get_text() for text in axes.texts]
