import pytest

from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import style


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def luminance(colour):
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_curves_differ_in_more_than_colour():
    drawn = lines(figures.loss_curves({str(i): [1.0, 2.0] for i in range(5)}, "t"))
    looks = {(line.get_linestyle(), line.get_marker()) for line in drawn.values()}
    assert len(looks) == 5


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_any_changed_number_changes_the_text_below_the_figure(position):
    losses = [9.0, 5.0, 3.0, 1.0]
    text = figures.numbers_drawn(figures.loss_curves({"loss": losses}, "t"))
    losses[position] += 0.01
    assert figures.numbers_drawn(figures.loss_curves({"loss": losses}, "t")) != text


def test_show_prints_caption_and_numbers_and_displays_a_described_picture(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(style, "display", shown.append)
    figures.show(figures.loss_curves({"loss": [2.0, 1.0]}, "t"), "It falls.")
    assert capsys.readouterr().out == "What to see: It falls.\n  loss: from 2 to 1, mean 1.5\n"
    assert shown[0].data[:4] == b"\x89PNG"
    assert shown[0].alt == "It falls."


def test_pictures_are_the_same_bytes_twice():
    def draw():
        import io

        buffer = io.BytesIO()
        figures.loss_curves({"loss": [2.0, 1.0]}, "t").figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    assert draw() == draw()


@pytest.mark.parametrize("colour", [style.BLUE, style.VERMILION, style.GREEN, style.BLACK])
def test_colours_of_single_marks_stand_out_from_the_ground(colour):
    """WCAG 2.1, 1.4.11: graphics need a contrast of 3 to 1."""
    assert 1.05 / (luminance(colour) + 0.05) >= 3.0
