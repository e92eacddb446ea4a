import math
import xml.etree.ElementTree as ElementTree

import pytest

from cllm_lib.workbook.widgets import UniformLossExplorer


def test_it_opens_with_the_number_of_the_static_figure():
    explorer = UniformLossExplorer(math.log, vocab_size=10_000)
    assert explorer.vocab_size == 10_000
    assert "<b>10,000</b>" in explorer.sentence.value
    assert "<b>9.2103</b>" in explorer.sentence.value


@pytest.mark.parametrize("power", [0, 1, 2.5, 5.2])
def test_moving_the_slider_changes_sentence_and_picture(power):
    explorer = UniformLossExplorer()
    explorer.slider.value = 10**power
    size = round(10**power)
    assert f"V = <b>{size:,}</b>" in explorer.sentence.value
    assert f"at V = {size:,} it is {math.log(size):.4f} nats" in explorer.picture.value


def test_the_picture_is_well_formed_and_described():
    picture = ElementTree.fromstring(UniformLossExplorer().picture.value)
    assert picture.attrib["role"] == "img"
    assert "9.2103" in picture.attrib["aria-label"]
    circle = next(element for element in picture.iter() if element.tag == "circle")
    assert 0 < float(circle.attrib["cx"]) < 420


def test_it_uses_the_readers_own_function():
    explorer = UniformLossExplorer(lambda size: 7.0)
    assert "<b>7.0000</b>" in explorer.sentence.value


def test_its_text_is_the_same_each_time():
    assert repr(UniformLossExplorer()) == repr(UniformLossExplorer())
