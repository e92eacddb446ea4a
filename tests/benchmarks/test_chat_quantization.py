"""The chat model in few bits, in small; what is stored fits its page."""

import json
import math

import numpy as np
import pytest
from pretrained.writing_gguf import TOKENIZER, as_gguf, tiny_model

from benchmarks import chat_quantization as bench
from benchmarks import held_out
from cllm_lib.experiments import Interval
from cllm_lib.model import softmax
from cllm_lib.pretrained import load_chat_model
from cllm_lib.quantization import round_to_nearest
from cllm_lib.quantization.decoders import SHARED

STORED = json.loads(bench.RESULTS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model()))
    return load_chat_model(path)


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    calibration, *judged = (generator.integers(0, len(TOKENIZER), (4, 20)) for _ in range(3))
    return calibration, dict(zip(bench.JUDGED, judged, strict=True))


def test_as_in_the_file_the_losses_are_the_models_own(tiny, texts):
    found = bench.judge(tiny, *texts, None)
    for name, rows in texts[1].items():
        np.testing.assert_allclose(found["losses"][name], held_out.losses(tiny, rows), atol=1e-4)
        exact = []
        for row in rows:
            probabilities = softmax(tiny.logits(row).astype(np.float64))
            exact.append(-np.mean([math.log(probabilities[t - 1, row[t]]) for t in range(1, len(row))]))
        np.testing.assert_allclose(found["losses"][name], exact, atol=1e-4)
    assert found["layer_errors"] == []


def test_rounded_it_is_the_model_with_rounded_matrices(tiny, texts):
    """Each matrix put into a copy of the model, which then reads the text whole."""
    found = bench.judge(tiny, *texts, ("round", 4))
    copy = load_chat_model.__globals__["ChatModel"](tiny.config, tiny.parameters, tiny.tokenizer, tiny.system)
    layers = []
    for layer in tiny.parameters["layers"]:
        parts = {part: dict(arrays) for part, arrays in layer.items()}
        for part in ("attention", "feed_forward"):
            parts[part] = {name: round_to_nearest(array.T, 4).dequantized.T.astype(np.float32) for name, array in layer[part].items()}
        layers.append(parts)
    copy.parameters = tiny.parameters | {"layers": layers}
    for name, rows in texts[1].items():
        np.testing.assert_allclose(found["losses"][name], held_out.losses(copy, rows), atol=1e-4)
    assert found["stored_bits"] == 4


def test_many_bits_change_little_and_few_change_more(tiny, texts):
    full = bench.judge(tiny, *texts, None)["losses"]
    apart = []
    for bits in (8, 3):
        found = bench.judge(tiny, *texts, ("gptq", bits))
        apart.append(max(np.abs(np.subtract(found["losses"][name], nats)).max() for name, nats in full.items()))
        assert len(found["layer_errors"]) == 2
    assert apart[0] < 0.05 < apart[1]


def test_unreduced_nearest_plane_is_gptq(tiny, texts):
    found = bench.same_integers(tiny, texts[0])
    assert found["different"] == 0
    assert found["integers"] == 2 * 32 * 32 + 2 * 32 * 64, "query, output, gate, down"
    assert found["matrices"] == [names[0] for names in SHARED]


def test_what_is_on_a_grid_comes_back_and_what_is_not_does_not(tiny):
    class Gridded:
        parameters = None

    generator, gridded = np.random.default_rng(0), Gridded()
    layers = []
    for layer in tiny.parameters["layers"]:
        parts = {part: dict(arrays) for part, arrays in layer.items()}
        for part in ("attention", "feed_forward"):
            for name, array in parts[part].items():
                integers = generator.integers(0, 16, (array.size // 32, 32))
                integers[:, :2] = 0, 15
                parts[part][name] = (0.25 * integers - 1.0).reshape(array.T.shape).T
        layers.append(parts)
    gridded.parameters = {"layers": layers}
    assert bench.in_its_own_blocks(gridded) == 1.0
    assert bench.in_its_own_blocks(tiny) < 0.3


def test_bits_a_weight_count_the_scales(tiny):
    config = tiny.config  # width 32, keys 16, inner 64
    rows = 32 + 32 + 16 + 16 + 64 + 64 + 32
    weights = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64
    assert bench.bits_a_weight(config, 3) == pytest.approx(3 + 16 * rows / weights)


def test_the_texts_that_judge_do_not_calibrate(tiny):
    assert bench.text_of("documents").count("\n") > 1_000
    calibration, judged = bench.ids_of(tiny, 2, 3, 30)
    assert calibration.shape == (4, 30)
    assert {name: rows.shape for name, rows in judged.items()} == {"prose": (3, 30), "python-docs": (3, 30)}
    begin, end = (tiny.decode(rows.ravel()) for rows in (calibration[:2], judged["prose"]))
    assert bench.text_of("prose").startswith(begin[:40])
    assert bench.text_of("prose").endswith(end[-40:])


def test_a_verdict_is_that_of_the_interval():
    assert [bench.verdict(Interval(mean, low, high)) for mean, low, high in ((-1, -2, -0.1), (1, 0.1, 2), (0.5, -1, 2))] == [
        "better",
        "worse",
        "undecided",
    ]
    assert bench.perplexity([math.log(8.0)] * 2 + [math.log(2.0)] * 2).startswith("4.0 (")


def test_what_is_stored_is_whole_and_the_passages_do_not_meet():
    assert STORED["command"] == bench.COMMAND
    assert [one["name"] for one in STORED["runs"]] == list(bench.VARIANTS)
    for one in STORED["runs"]:
        assert {name: len(nats) for name, nats in one["losses"].items()} == dict.fromkeys(bench.JUDGED, bench.JUDGES)
        assert len(one["layer_errors"]) == (30 if one["bits"] else 0)
    assert STORED["same_integers"]["different"] <= 3, "numbers within rounding error of a half"


@pytest.mark.slow
def test_the_stored_numbers_come_again_in_part():
    """The model as it is, and rounded to 4 bits, on the first stored piece of each text, to a hundredth of a nat."""
    model, calibration, judged = bench.loaded()
    first = {name: rows[:1] for name, rows in judged.items()}
    for name in (bench.FULL, "round, 4 bits"):
        found = bench.judge(model, calibration, first, bench.VARIANTS[name])["losses"]
        for text, nats in found.items():
            np.testing.assert_allclose(nats, bench.of(STORED, name)["losses"][text][:1], atol=0.01)


def test_the_page_is_made_of_the_stored_numbers():
    assert bench.PAGE.read_text(encoding="utf-8") == bench.page(STORED)


def test_what_is_finished_is_kept_and_taken_again_unless_the_settings_are_others(tiny, texts, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "loaded", lambda: (tiny, *texts))
    first = bench.measure("round, 3 bits", tmp_path / "kept")
    monkeypatch.setattr(bench, "judge", lambda *arguments: {"losses": "measured again"})
    assert bench.measure("round, 3 bits", tmp_path / "kept") == json.loads(json.dumps(first))
    monkeypatch.setattr(bench, "PIECES", bench.PIECES + 1)
    assert bench.measure("round, 3 bits", tmp_path / "kept")["losses"] == "measured again"


def test_trying_it_writes_nothing(tiny, monkeypatch, tmp_path, capsys):
    for name in ("PAGE", "RESULTS", "CACHE"):
        monkeypatch.setattr(bench, name, tmp_path / name)
    monkeypatch.setattr(bench, "load_chat_model", lambda: tiny)
    bench.main(["--tiny"])
    assert "# The chat model in few bits" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
