"""Adapters learn questions and answers; the model they are for stays as it was."""

import numpy as np
import pytest
from pretrained.writing_gguf import as_gguf, tiny_model

from cllm_lib.model import softmax
from cllm_lib.pretrained import (
    adapted,
    answer_losses,
    load_chat_model,
    lora_init,
    loss_and_gradients,
    pack_examples,
    train_lora,
    training_example,
)
from cllm_lib.pretrained.lora_training import _batches

PAIRS = [("why the sky", "blue"), ("the sea?", "is deep"), ("the air", "thin, and the sky")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    path.write_bytes(as_gguf(tiny_model(seed=2)))
    return load_chat_model(path)


@pytest.fixture(scope="module")
def trained(tiny):
    examples, seen = [training_example(tiny, *pair) for pair in PAIRS], []
    lora, losses = train_lora(tiny, examples, 8, 16.0, 0.03, 3, 80, report=lambda *told: seen.append(told[:3]))
    return examples, lora, losses, seen


def test_an_example_is_the_prompt_and_the_answer_to_its_end(tiny):
    ids, is_target = training_example(tiny, "why the sky", "blue")
    assert tiny.decode(ids).endswith("<|im_start|>user\nwhy the sky<|im_end|>\n<|im_start|>assistant\nblue<|im_end|>")
    assert tiny.decode(ids[is_target]) == "blue<|im_end|>"
    np.testing.assert_array_equal(ids[~is_target], tiny.prompt("why the sky"))


def test_an_answer_cannot_pretend_to_end(tiny):
    ids, is_target = training_example(tiny, "a", "b<|im_end|>")
    assert ids[is_target].tolist().count(2) == 1


def test_an_example_that_cannot_be_is_refused(tiny):
    with pytest.raises(ValueError, match="the answer to 'a' is empty"):
        training_example(tiny, "a", "")
    with pytest.raises(ValueError, match="tokens, and the model reads 96: shorten"):
        training_example(tiny, "a", "b " * 60)


def test_packed_examples_share_their_beginning_and_see_nothing_of_each_other(tiny):
    examples = [training_example(tiny, *pair) for pair in PAIRS]
    ids, is_target, (positions, mask) = pack_examples(examples)
    beginning = tiny.decode(ids[0, positions == np.arange(len(positions), dtype=np.int64)])
    assert beginning.startswith("<|im_start|>system\nYou are tiny.<|im_end|>\n<|im_start|>user\nwhy the sky")
    seen = [np.flatnonzero(row) for row in mask]
    ends = np.flatnonzero((ids[0] == 2) & is_target[0])  # the mark that ends each answer
    for end, (own, learnt) in zip(ends, examples, strict=True):
        np.testing.assert_array_equal(ids[0, seen[end]], own)
        np.testing.assert_array_equal(positions[seen[end]], np.arange(len(own), dtype=np.int64))
        np.testing.assert_array_equal(is_target[0, seen[end]], learnt)
    assert is_target.sum() == sum(learnt.sum() for _, learnt in examples)
    with pytest.raises(ValueError, match="there is no example"):
        pack_examples([])


@pytest.mark.parametrize("chosen", [[0], [0, 1, 2], [1, 1], [2, 0]])
def test_packed_they_have_the_loss_and_gradients_that_they_have_alone(tiny, chosen):
    parameters = as_float64(tiny.parameters)
    lora = lora_init(tiny.config, 2, 0, dtype=np.float64)
    lora.flat[...] = np.random.default_rng(1).normal(0.0, 0.2, lora.flat.size)
    examples = [training_example(tiny, *PAIRS[i]) for i in chosen]
    ids, is_target, places = pack_examples(examples)
    loss, gradients = loss_and_gradients(ids, is_target, parameters, tiny.config, lora, places)
    weights = np.array([learnt.sum() for _, learnt in examples]) / is_target.sum()
    alone = [loss_and_gradients(own[None], learnt[None], parameters, tiny.config, lora) for own, learnt in examples]
    assert loss == pytest.approx(sum(w * one for w, (one, _) in zip(weights, alone, strict=True)), rel=1e-12)
    for name, gradient in gradients.items():
        expected = sum(w * one[name] for w, (_, one) in zip(weights, alone, strict=True))
        np.testing.assert_allclose(gradient, expected, atol=1e-12 * np.abs(expected).max())


def as_float64(node):
    if isinstance(node, list):
        return [as_float64(one) for one in node]
    return {name: as_float64(one) for name, one in node.items()} if isinstance(node, dict) else node.astype(np.float64)


def test_losses_are_those_of_the_probabilities(tiny):
    (ids, is_target), *_ = examples = [training_example(tiny, *pair) for pair in PAIRS]
    losses, _ = answer_losses(tiny, examples)
    first = int(np.flatnonzero(is_target)[0])
    probabilities = softmax(tiny.logits(ids).astype(np.float64))
    expected = -np.mean([np.log(probabilities[t - 1, ids[t]]) for t in range(first, len(ids))])
    assert losses[0] == pytest.approx(expected, rel=1e-5)


def test_it_learns_the_answers_and_then_says_them(tiny, trained):
    examples, lora, losses, _ = trained
    before, by_heart = answer_losses(tiny, examples)
    assert not by_heart.any()
    own = adapted(tiny, lora)
    after, by_heart = answer_losses(own, examples)
    assert by_heart.all()
    assert after.max() < 1.0 < before.min()
    assert [("".join(own.stream(question))) for question, _ in PAIRS] == [answer for _, answer in PAIRS]
    assert losses[0] == pytest.approx(before.mean(), rel=0.5)


def test_by_heart_is_said_exactly_where_the_answer_comes(tiny):
    question = "the sea"
    said = "".join(tiny.stream(question, max_new_tokens=8))
    ids = tiny.encode(said)
    if len(ids) < 8:  # it ended
        _, by_heart = answer_losses(tiny, [training_example(tiny, question, said)])
        assert by_heart[0]
    _, by_heart = answer_losses(tiny, [training_example(tiny, question, "the sky is blue, and thin")])
    assert not by_heart[0]


def test_every_step_is_reported_and_the_frozen_model_stays(tiny, trained):
    _, lora, losses, seen = trained
    assert seen == [(i + 1, 80, loss) for i, loss in enumerate(losses)]
    untouched = answer_losses(tiny, trained[0])[0]
    adapted(tiny, lora)
    np.testing.assert_array_equal(answer_losses(tiny, trained[0])[0], untouched)


def test_the_same_seed_gives_the_same_adapters(tiny):
    examples = [training_example(tiny, *pair) for pair in PAIRS]
    one, same, other = (train_lora(tiny, examples, 2, epochs=2, seed=seed)[0].flat for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_each_example_comes_once_an_epoch_in_another_order():
    batches = _batches(10, 4, 3, np.random.default_rng(0))
    assert [len(rows) for rows in batches] == [4, 4, 2] * 3
    epochs = [np.concatenate(batches[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_nothing_to_learn_is_said(tiny):
    with pytest.raises(ValueError, match="there is no example"):
        train_lora(tiny, [])
    with pytest.raises(ValueError, match="epochs"):
        train_lora(tiny, [training_example(tiny, "a", "b")], epochs=0)
