"""What the page on quantisation is made of, and that its stored numbers come again."""

import json

import numpy as np
import pytest

from benchmarks import quantization
from benchmarks.quantization import BITS, FREE, SEEDS, VARIANTS
from cllm_lib import load_corpus
from cllm_lib.experiments.intervals import interval, paired_difference
from cllm_lib.quantization.matrices import input_hessian

STORED = json.loads(quantization.RESULTS.read_text(encoding="utf-8"))


def column(bits, variant, key):
    """Of the stored runs of the small model, one number a seed."""
    return [
        next(one[key] for one in run["variants"] if (one["bits"], one["variant"]) == (bits, variant)) for run in STORED["small"]["runs"]
    ]


def kept_neighbours(bits, variant):
    return next(one["stays"] for one in STORED["encoder"]["runs"] if (one["bits"], one["variant"]) == (bits, variant))


def test_what_is_stored_is_whole_and_says_how_it_was_made():
    assert STORED["command"] == quantization.COMMAND
    assert (STORED["model"], STORED["training"]) == (quantization.MODEL, quantization.TRAINING)
    assert STORED["small"]["seeds"] == list(SEEDS)
    pairs = [(bits, variant) for bits in BITS for variant in VARIANTS]
    for run in STORED["small"]["runs"]:
        assert [(one["bits"], one["variant"]) for one in run["variants"]] == pairs
    assert [(one["bits"], one["variant"]) for one in STORED["encoder"]["runs"]] == pairs
    assert len(STORED["encoder"]["runs"][0]["stays"]) >= 200
    assert [one["block"] for one in STORED["costs"]["rows"]] == list(quantization.BLOCKS)


def test_the_page_is_made_of_the_stored_numbers():
    assert quantization.PAGE.read_text(encoding="utf-8") == quantization.page(STORED)


def test_the_claims_hold_in_what_is_stored():
    """In the mean over seeds the layers' errors fall from rounding to GPTQ to LLL + Babai; the encoder keeps more of its neighbours."""
    for bits in BITS:
        for better, worse in (("gptq", "round"), (FREE, "gptq")):
            assert paired_difference(column(bits, better, "error"), column(bits, worse, "error")).high < 0, (bits, better)
    assert interval(column(2, "round", "loss")).low > interval(column(8, "round", "loss")).high
    assert paired_difference(kept_neighbours(4, "gptq"), kept_neighbours(4, "round")).low > 0


@pytest.mark.slow
def test_a_stored_seed_comes_out_again():
    """To two digits: another processor rounds sums elsewhere, and a weight near a half goes the other way."""
    again, before = quantization.measure(quantization.EPOCHS, SEEDS[0]), STORED["small"]["runs"][0]
    np.testing.assert_allclose(again["full"]["loss"], before["full"]["loss"], atol=0.01)
    for one, other in zip(again["variants"], before["variants"], strict=True):
        np.testing.assert_allclose(one["loss"], other["loss"], atol=0.02)
        np.testing.assert_allclose(one["error"], other["error"], rtol=0.02)


def test_the_split_keeps_the_text_and_judges_on_its_end():
    corpus, test = quantization.split()
    whole = load_corpus("prose").tokens
    np.testing.assert_array_equal(np.concatenate([corpus.train_tokens, corpus.validation_tokens, test]), whole)
    assert len(test) == len(corpus.validation_tokens) == len(whole) // 10


def test_nearest_neighbours_are_those_of_the_largest_cosine():
    rows = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    assert quantization.nearest(rows).tolist() == [1, 0, 3, 2]


def test_sentences_are_whole_and_none_is_tiny():
    for name, least in (("prose", 350), ("sayings", 190)):
        found = quantization.sentences(name)
        assert len(found) > least
        assert all(len(sentence.split()) > 3 and "\n" not in sentence for sentence in found)


def test_wider_blocks_come_nearer_and_a_block_of_one_is_gptq():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(300, 24)) @ generator.normal(size=(24, 24))
    weights = generator.normal(size=(20, 24))
    one, all_ = quantization.reduction_costs(weights, input_hessian(inputs), input_hessian(inputs, 0), blocks=(1, 24), rounds=2)["rows"]
    assert (one["block"], all_["block"]) == (1, 24)
    assert list(one["errors"].values()) == pytest.approx([1.0, 1.0])
    assert max(all_["errors"].values()) < 1.0


def test_no_basis_has_a_smaller_sum_of_squares_than_one_of_equal_lengths():
    assert quantization.least_error(np.eye(5), False) == pytest.approx(1.0)
    assert quantization.least_error(np.diag([1.0, 100.0]), True) == pytest.approx(10 / 50.5)


def test_trying_it_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(quantization, "PAGE", tmp_path / "QUANTIZATION.md")
    monkeypatch.setattr(quantization, "RESULTS", tmp_path / "quantization.json")
    monkeypatch.setattr(quantization, "EMBEDDING_BITS", (None, 8))
    monkeypatch.setattr(quantization, "load_encoder", lambda: (_ for _ in ()).throw(FileNotFoundError("no encoder here")))
    quantization.trained.cache_clear()
    quantization.main(["--tiny"])
    quantization.trained.cache_clear()
    said = capsys.readouterr().out
    assert "# Few bits" in said
    assert "no encoder here" in said
    assert not list(tmp_path.iterdir())
