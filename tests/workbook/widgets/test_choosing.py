import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.model import next_token_probabilities
from cllm_lib.pretrained import load_chat_model
from cllm_lib.workbook.widgets import Chosen, choices, choosing, runners_svg, tokens_html
from cllm_lib.workbook.widgets.choosing import visible_token


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return load_chat_model(path)


def first(model, count, **settings):
    return list(itertools.islice((one for one in choices(model, model.prompt("the sky"), **settings) if one), count))


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7, "seed": 3}, {"temperature": 1.0, "top_p": 0.6, "seed": 1}])
def test_tokens_are_those_of_the_models_own_stream(model, settings):
    streamed = [token for token, _ in model.stream_tokens("the sky", max_new_tokens=12, **settings)]
    assert [one.token for one in first(model, len(streamed), **settings)] == streamed
    assert streamed


def test_probabilities_are_the_models_own_whatever_the_temperature(model):
    for settings in ({}, {"temperature": 2.0, "seed": 5}):
        one, other = first(model, 2, **settings)
        ids = [*model.prompt("the sky"), one.token]
        for chosen, end in ((one, len(ids) - 1), (other, len(ids))):
            exact = next_token_probabilities(model.logits(ids[:end])[-1])
            assert chosen.probability == pytest.approx(exact[chosen.token], rel=1e-4)
            rest = np.delete(np.arange(len(exact), dtype=np.int64), chosen.token)
            best = rest[np.argsort(-exact[rest], kind="stable")][: choosing.RUNNERS_UP]
            assert [token for token, _ in chosen.runners_up] == best.tolist()
            np.testing.assert_allclose([p for _, p in chosen.runners_up], exact[best], rtol=1e-4)


def test_how_many_tokens_had_a_chance(model):
    assert first(model, 1)[0].drawn_from == 1
    few, all_of_them = (first(model, 1, temperature=1.0, top_p=p)[0].drawn_from for p in (0.3, None))
    assert 1 <= few < all_of_them == model.config.vocab_size


def test_a_long_prompt_is_read_in_parts_between_which_one_can_look_about(model, monkeypatch):
    whole = first(model, 3)
    monkeypatch.setattr(choosing, "AT_ONCE", 8)
    prompt = model.prompt("the sky")
    made = list(itertools.islice(choices(model, prompt), 30))
    assert made[0] is None
    assert made.index(whole[0]) == -(-len(prompt) // 8) - 1 if whole[0] in made else True
    assert [one.token for one in made if one][:3] == [one.token for one in whole]


def test_it_ends_where_the_model_can_read_no_more(model):
    ids = model.prompt("the sky")
    made = [one for one in choices(model, ids) if one]
    assert len(ids) + len(made) - 1 == model.config.seq_len


def test_a_token_can_be_seen(model):
    vocabulary = model.tokenizer.vocabulary
    assert visible_token(model, vocabulary.index(b" ")) == "␣"
    assert visible_token(model, vocabulary.index(b"\n")) == "⏎"
    assert visible_token(model, vocabulary.index(b"\xc3")) == "\\xc3"
    assert visible_token(model, vocabulary.index(b"\x00")) == "\ufffd"
    assert visible_token(model, 2, end=2) == "(end)"


def test_the_picture_says_its_numbers_and_escapes_what_is_said(model):
    token = model.tokenizer.vocabulary.index(b"<")
    chosen = Chosen(token, 0.5, ((model.tokenizer.vocabulary.index(b"&"), 0.25), (3, 0.125)), 1)
    picture = ElementTree.fromstring(runners_svg(model, chosen, 2, 7))
    assert picture.attrib["aria-label"].startswith("Token 2 of 7: <, probability 0.50. Runners-up: & 0.25, ")
    widths = [float(one.attrib["width"]) for one in picture.iter() if one.tag == "rect"]
    assert widths == pytest.approx([105, 52.5, 26.25], abs=0.1)
    boxes = tokens_html(model, [chosen, chosen], 1)
    assert boxes.count("&lt;") == 2
    assert boxes.count(choosing.MARK) == 1
