import numpy as np

from cllm_lib.training.optimizers import SGD
from cllm_lib.training.ravine import ravine_loss, ravine_path
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import style


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_ravine_draws_paths_and_their_losses():
    paths = {"sgd": ravine_path(SGD(0.03)), "diverging": ravine_path(SGD(0.1))}
    above, below = figures.ravine(paths, 30.0, "Title")
    drawn = lines(above)
    np.testing.assert_array_equal(drawn["_sgd"].get_xdata(), paths["sgd"][:, 0])
    np.testing.assert_array_equal(drawn["_sgd"].get_ydata(), paths["sgd"][:, 1])
    assert np.nanmax(np.abs(drawn["_diverging"].get_ydata())) < 50  # the rest is far outside
    for name, path in paths.items():
        np.testing.assert_array_equal(lines(below)[name].get_ydata(), ravine_loss(path, 30.0))
    assert [text.split(":")[0] for text in figures.numbers_drawn(below)] == ["  sgd", "  diverging"]
    assert figures.numbers_drawn(above) == []
    assert (above.get_aspect(), below.get_yscale(), above.get_title()) == (1.0, "log", "Title")


def test_a_path_out_of_all_numbers_is_still_a_figure(capsys, monkeypatch):
    monkeypatch.setattr(style, "display", lambda picture: None)
    figures.show(figures.ravine({"wild": ravine_path(SGD(1e3))}, 25.0, "t"), "It leaves.")
    assert "wild: from 20.5 to" in capsys.readouterr().out
