"""The run of LoRA in small; what is stored fits its page, and comes again in part."""

import json

import numpy as np
import pytest
from pretrained.writing_gguf import as_gguf, tiny_model

from benchmarks import lora
from cllm_lib.pretrained import adapted, answer_losses, load_chat_model, load_lora, train_lora, training_example
from cllm_lib.text import read_text

STORED = json.loads(lora.RESULTS.read_text(encoding="utf-8"))
SMALL = {"rank": 2, "alpha": 4.0, "learning_rate": 0.01, "batch_size": 2, "epochs": 1, "seed": 0}


def test_the_sayings_are_questions_and_answers():
    found = lora.pairs()
    assert len(found) == 109
    assert found["why is the sky blue"] == ("Why is the sky blue?", "The sky is blue because the air scatters blue light.")
    assert set(lora.REWORDED) <= set(found)


def test_no_question_that_is_asked_besides_was_trained():
    trained = {question.lower().strip("?") for question, _ in lora.pairs().values()}
    for question in [*lora.REWORDED.values(), *lora.UNRELATED]:
        assert question.lower().strip("?.") not in trained
    assert len({*lora.REWORDED.values(), *lora.UNRELATED}) == len(lora.REWORDED) + len(lora.UNRELATED)
    assert not any(name in read_text("sayings") for name in ("france", "poem", "romeo"))


@pytest.fixture(scope="module")
def in_small(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model(seed=1)))
    model, patch = load_chat_model(path), pytest.MonkeyPatch()
    patch.setattr(lora, "MOST", 5)
    patch.setattr(lora, "pairs", lambda: {"sky": ("the sky", "is blue"), "sea": ("the sea", "is deep"), "air": ("air", "is thin")})
    subjects = lora.Subjects(model, 1, {"sea": "what is deep", "air": "thin?"}, ("a", "b"), 2, 12)
    adapters, found = lora.run(model, subjects, SMALL, report=lambda *said, **ends: None)
    patch.undo()
    return model, adapters, json.loads(json.dumps(found))


def test_in_small_everything_is_asked_before_and_after(in_small):
    model, adapters, found = in_small
    assert [len(found[part]) for part in ("trained", "reworded", "unrelated", "forgotten")] == [3, 2, 2, 2]
    assert len(found["losses"]) == 2
    assert [one["question"] for one in found["trained"] if "before" in one] == ["the sea"], "the one that is asked in other words too"
    np.testing.assert_array_equal(adapters.flat, adapters.flat.astype(np.float16))
    example = [training_example(model, "the sky", "is blue")]
    for when, own in (("before", model), ("after", adapted(model, adapters))):
        assert found["trained"][0][f"nats_{when}"] == pytest.approx(answer_losses(own, example)[0][0], abs=1e-4)
    assert all(one["before"] == one["answer"] for one in found["unrelated"])
    assert all(one["before"] != one["after"] for one in found["forgotten"])


def test_the_page_counts_what_was_found(in_small):
    *_, found = in_small
    page = lora.page(found | {"conditions": "A machine."})
    assert "sayings" in page
    assert page.count("| the sea ") == 1
    for one in found["trained"]:
        one["by_heart_after"] = True
    assert "3 of 3 " in lora.page(found | {"conditions": "A machine."})


def test_trying_it_writes_nothing(in_small, monkeypatch, tmp_path, capsys):
    model, *_ = in_small
    for name in ("PAGE", "RESULTS", "ADAPTERS"):
        monkeypatch.setattr(lora, name, tmp_path / name)
    monkeypatch.setattr(lora, "load_chat_model", lambda: model)
    monkeypatch.setattr(lora, "MOST", 3)
    monkeypatch.setattr(lora, "training_example", lambda model, *pair: training_example(model, pair[0][:5], pair[1][:9] or "a"))
    lora.main(["--tiny"])
    assert "# LoRA by hand" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_is_stored_is_whole_and_says_how_it_was_made():
    assert STORED["command"] == lora.COMMAND
    assert STORED["settings"] == lora.SETTINGS
    assert STORED["parameters"] == {"trained": 230_400, "frozen": 134_515_008}
    assert len(STORED["losses"]) == -(-109 // lora.SETTINGS["batch_size"]) * lora.SETTINGS["epochs"]
    assert [one["question"] for one in STORED["trained"]] == [question for question, _ in lora.pairs().values()]
    assert [one["question"] for one in STORED["reworded"]] == list(lora.REWORDED.values())
    assert [one["question"] for one in STORED["unrelated"]] == list(lora.UNRELATED)
    assert all(one["by_heart_before"] for one in STORED["unrelated"]), "it said what it said"
    for one in STORED["trained"]:
        if "after" in one:
            assert (one["after"] == one["answer"]) == one["by_heart_after"]
    assert lora.ADAPTERS.stat().st_size < 1_000_000


def test_the_page_is_made_of_the_stored_numbers():
    assert lora.PAGE.read_text(encoding="utf-8") == lora.page(STORED)


@pytest.mark.slow
def test_the_stored_run_comes_again_in_part():
    """Its first steps, to a hundredth of a nat; and with the stored adapters the stored answer."""
    model = load_chat_model()
    examples, losses = [training_example(model, *pair) for pair in lora.pairs().values()], []

    class Enough(Exception):
        pass

    def three(step, total, loss, adapters):
        losses.append(loss)
        if step == 3:
            raise Enough

    with pytest.raises(Enough):
        train_lora(model, examples, **lora.SETTINGS, report=three)
    np.testing.assert_allclose(losses, STORED["losses"][:3], atol=0.01)
    own, one = adapted(model, load_lora(lora.ADAPTERS, model.config)), next(one for one in STORED["trained"] if "after" in one)
    assert lora.answer(own, one["question"])[0] == one["after"]
    nats, by_heart = answer_losses(own, examples[:5])
    np.testing.assert_allclose(nats, [one["nats_after"] for one in STORED["trained"][:5]], atol=0.01)
    assert by_heart.tolist() == [one["by_heart_after"] for one in STORED["trained"][:5]]
