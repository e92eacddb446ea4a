import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from cllm_lib.model.layers import softmax
from cllm_lib.workbook.widgets import AttentionViewer

WORDS = ["why", "the", "sky", "<is>"]


def weights_for(n_layers=2, n_heads=3, time=4, seed=0):
    scores = np.random.default_rng(seed).standard_normal((n_layers, n_heads, time, time))
    return softmax(np.where(np.tri(time, dtype=bool), scores, -np.inf))


@pytest.fixture
def viewer():
    return AttentionViewer(weights_for(), WORDS)


def described(viewer):
    """The picture as a tree: it has to be well formed."""
    return ElementTree.fromstring(viewer.picture.value)


def numbers_below_the_words(viewer):
    return [float(number) for number in re.findall(r"<small>([-\d.]+)</small>", viewer.line.value)]


def test_it_opens_at_the_last_query_of_the_first_head(viewer):
    np.testing.assert_array_equal(viewer.row, weights_for()[0, 0, 3])
    assert "Layer 0, head 0" in viewer.sentence.value
    assert "<b>&lt;is&gt;</b> (position 3)" in viewer.sentence.value
    assert "&lt;is&gt;<br>" in viewer.line.value


def test_every_place_shows_its_own_numbers(viewer):
    for layer, head, query in np.ndindex(2, 3, 4):
        viewer.layer.value, viewer.head.value, viewer.query.value = layer, head, query
        row = weights_for()[layer, head, query]
        best = int(row.argmax())
        np.testing.assert_allclose(numbers_below_the_words(viewer), row[: query + 1], atol=0.005)
        assert f"(position {best}), with weight <b>{row[best]:.2f}</b>" in viewer.sentence.value
        label = described(viewer).attrib["aria-label"]
        assert f"Layer {layer}, head {head}" in label
        assert f"{WORDS[best]} {row[best]:.2f}" in label
        assert label.count(".") == query + 1


def test_the_map_draws_each_weight_where_it_belongs_and_frames_the_row(viewer):
    viewer.query.value = 2
    tree = described(viewer)
    assert tree.attrib["role"] == "img"
    side = 60.0
    for cell in tree.find("g"):
        q, k = (round((float(cell.attrib[name]) - 20) / side) for name in ("y", "x"))
        assert float(cell.attrib["fill-opacity"]) == pytest.approx(weights_for()[0, 0, q, k], abs=0.005)
    assert len(tree.find("g")) == 10
    frame = tree.findall("rect")[-1]
    assert (float(frame.attrib["y"]), float(frame.attrib["height"])) == (20 + 2 * side, side)


def test_a_weight_on_a_later_word_is_not_hidden():
    leaking = np.full((1, 1, 4, 4), 0.25)
    viewer = AttentionViewer(leaking, WORDS, query=0)
    assert numbers_below_the_words(viewer) == [0.25] * 4
    assert "<is> 0.25" in described(viewer).attrib["aria-label"]


def test_it_opens_where_it_is_told():
    viewer = AttentionViewer(weights_for(), WORDS, layer=1, head=2, query=1)
    np.testing.assert_array_equal(viewer.row, weights_for()[1, 2, 1])


def test_weights_that_are_not_numbers_are_shown_as_such():
    broken = np.full((1, 1, 4, 4), np.nan)
    viewer = AttentionViewer(broken, WORDS)
    assert "weight <b>nan</b>" in viewer.sentence.value
    described(viewer)


def test_its_text_is_the_same_each_time(viewer):
    assert repr(viewer) == repr(AttentionViewer(weights_for(seed=1), WORDS))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "weights are empty"),
        (weights_for(time=3), r"layer 0 have shape \(3, 3, 3\), and there are 4 words: give \(heads, 4, 4\)"),
        (weights_for()[0], r"layer 0 have shape \(4, 4\)"),
        ([np.zeros((0, 4, 4))], r"layer 0 have shape \(0, 4, 4\)"),
        (type("Model", (), {"config": None})(), r"give it attention_weights\(model, tokens\)"),
    ],
)
def test_what_does_not_fit_gets_a_clear_error(weights, message):
    with pytest.raises(ValueError, match=message):
        AttentionViewer(weights, WORDS)
