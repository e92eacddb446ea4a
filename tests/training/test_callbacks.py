from dataclasses import replace

import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.training.callbacks import every, look_for_trouble, save_to, speak
from cllm_lib.training.checkpoint import load_checkpoint


@pytest.fixture
def trainer():
    corpus = load_corpus("sayings")
    return Trainer(CLLM(CLLMConfig(len(corpus.vocabulary), d_model=8, n_layers=1, n_heads=2, d_ff=8)), corpus)


def test_every_so_many_steps(trainer):
    seen = []
    trainer.fit(steps=10, callbacks=[every(3, lambda trainer: seen.append(trainer.steps))])
    assert seen == [3, 6, 9]
    with pytest.raises(ValueError, match="steps is 0"):
        every(0, print)


def test_speaking_does_not_change_the_run(trainer, capsys):
    other = Trainer(CLLM(trainer.model.config), trainer.corpus)
    assert trainer.fit(steps=6, callbacks=[every(3, speak("the sky is", 4))]).losses == other.fit(steps=6).losses
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 3", "step 6"]
    assert all(": the sky is " in line and len(line.split()) == 2 + 3 + 4 for line in lines)


def test_saving_on_the_way(trainer, tmp_path):
    path = tmp_path / "run.safetensors"
    trainer.fit(steps=7, callbacks=[every(5, save_to(path))])
    assert load_checkpoint(path)[1].steps == 5


def test_trouble_is_named_and_health_is_not(trainer, capsys):
    trainer.fit(steps=1, callbacks=[look_for_trouble()])
    assert capsys.readouterr().out == ""
    Trainer(CLLM(trainer.model.config, init="zeros"), trainer.corpus).fit(steps=1, callbacks=[look_for_trouble()])
    assert "step 1: Every weight is exactly zero" in capsys.readouterr().out


def test_ids_that_no_word_of_the_text_has_are_trouble(trainer, capsys):
    fewer = replace(trainer.corpus, vocabulary=trainer.corpus.vocabulary[:20])
    Trainer(CLLM(trainer.model.config), fewer).fit(steps=1, callbacks=[look_for_trouble()])
    assert "ids lie beyond the 20 words of the text" in capsys.readouterr().out
