import numpy as np
import pytest

from cllm_lib.claims import Effect, Row
from cllm_lib.claims.multiverse import Way
from cllm_lib.experiments.intervals import Interval
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures import uncertainty as evidence_figures


def row(verdict, mean, unit="nats", n_seeds=10):
    effect = Effect(f"of {mean}", unit, Interval(mean, mean - 1, mean + 1), Interval(mean, mean - 2, mean + 2), n_seeds)
    return Row("a claim", "000", "found", verdict, "section", "experiment", "nothing", (effect,), "10")


def test_intervals_that_miss_are_counted_and_drawn_apart():
    axes = evidence_figures.coverage([(0, 2), (0.5, 0.9), (1, 3), (1.2, 1.4)], 1.0, "t")
    assert figures.numbers_drawn(axes) == ["  2 hold the truth", "  2 miss it"]
    hold, miss = axes.collections[:2]
    assert [segment[0][0] for segment in hold.get_segments()] == [0, 2]
    assert [segment[0][0] for segment in miss.get_segments()] == [1, 3]


def test_ways_are_drawn_in_order_with_their_choices_below_and_shares_in_words():
    answers = {"sooner": Interval(-0.5, -0.6, -0.4), "later": Interval(0.2, 0.1, 0.3), "open": Interval(0.0, -0.1, 0.1)}
    ways = [Way({"text": text, "side": name}, answer) for text in ("a", "b") for name, answer in answers.items()]
    above, below = evidence_figures.specification_curve(ways, "t", "difference")
    drawn = {line.get_label().split(":")[0]: line.get_xdata().tolist() for line in above.lines if line.get_label()[0] != "_"}
    assert drawn == {"favours features": [0, 1], "favours neither": [2, 3], "favours control": [4, 5]}
    labels = [collection.get_label() for collection in below.collections]
    assert labels[0] == "text: a: 33% features, 33% neither, 33% control"
    assert labels[2] == "side: sooner: 100% features, 0% neither, 0% control"
    assert [segment[0][0] for segment in below.collections[3].get_segments()] == [4, 5]


def test_effects_are_sorted_and_of_one_unit_only():
    rows = [
        row("holds", 3.0),
        row("does not hold", -1.0),
        row("holds only if x", 1.0),
        row("holds", 9.0, "share"),
        row("holds", 9.0, n_seeds=None),
    ]
    axes = evidence_figures.effects(rows, "nats", "t")
    said = figures.numbers_drawn(axes)
    assert [line.split(":")[0].strip() for line in said] == ["of -1.0", "of 1.0", "of 3.0"]
    assert said[0].endswith("-1.000 (-2.000 to +0.000), corrected -3.000 to +1.000; does not hold")
    thick = [c.get_segments()[0][:, 0].tolist() for c in axes.collections if not c.get_label().startswith("_")]
    assert thick == [[-2, 0], [0, 2], [2, 4]]
    assert len(axes.figure.legends[0].get_texts()) == 3


def test_effects_that_are_not_there_are_told():
    with pytest.raises(ValueError, match="no row has a first effect in 'apples'"):
        evidence_figures.effects([row("holds", 1.0)], "apples", "t")


def test_every_run_is_a_point():
    axes = evidence_figures.seed_by_seed({"a": [1.0, 2.0, 3.0], "b": [0.5]}, "t", "x", {"chance": 0.2})
    assert [points.get_offsets()[:, 0].tolist() for points in axes.collections] == [[1.0, 2.0, 3.0], [0.5]]
    assert figures.numbers_drawn(axes)[0] == "  a: from 1.000 to 3.000, 3 seeds"


def test_a_curve_falls_where_a_seed_arrives_and_stays_where_none_does():
    times = {"text": {"soon": np.array([1.0, 2.0, np.inf, 2.0]), "never": np.full(4, np.inf)}}
    (axes,) = evidence_figures.survival(times, {"text": 5}, "on ")
    soon, never = axes.lines
    assert soon.get_xdata().tolist() == [0, 1, 2, 5]
    assert soon.get_ydata().tolist() == [1.0, 0.75, 0.25, 0.25]
    np.testing.assert_allclose(never.get_ydata(), 1.008)  # a little higher, so that both can be seen
    assert figures.numbers_drawn(axes)[0] == "  text, soon: 3 of 4 seeds arrive; mean 2.50 epochs, none counted beyond 5"
