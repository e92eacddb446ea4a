"""Where words, examples and padding lie: told by behaviour, against what the module was made to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import VOCABULARY, Words, classes, drawn, each_word, mlp, next_words, subject, text  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch.layout import examples, padding_of, sequence, unlike_the_first, words_ahead  # noqa: E402

FEW = settings(max_examples=settings().max_examples // 3)


@given(st.integers(1, 5), st.integers(8, 20), st.sampled_from([0, 1, 2]), st.integers(0, 10**6), st.booleans())
def test_how_far_ahead_a_target_stands_is_told_by_the_words(rows, length, ahead, seed, masked):
    ids = text(rows + 2, length + ahead, seed=seed)
    tokens, targets = ids[:, :length], ids[:, ahead:].clone()
    counts = torch.ones_like(tokens, dtype=torch.bool)
    if masked:  # what does not count may be anything
        counts[0], targets[0] = False, 0
    assert words_ahead(tokens, targets, counts) == ahead


@given(st.integers(0, 10**6), st.sampled_from([3, -1]))
def test_other_targets_stand_nowhere_ahead(seed, by):
    ids = text(4, 20, seed=seed)
    tokens, targets = ids[:, 4:16], ids[:, 4 + by : 16 + by]
    assert words_ahead(tokens, targets, torch.ones_like(tokens, dtype=torch.bool)) is None
    assert words_ahead(tokens, tokens, torch.zeros_like(tokens, dtype=torch.bool)) is None


@FEW
@given(st.integers(2, 5), st.integers(8, 14), st.sampled_from([0, 1, 2]), st.booleans(), st.integers(0, 10**6))
def test_rows_and_time_are_told_apart_for_both_orders_and_each_shift(rows, length, ahead, time_first, seed):
    ids, targets = next_words(rows, length, seed, ahead)
    inputs, wanted = (ids.T.contiguous(), targets.T.contiguous()) if time_first else (ids, targets)
    found = sequence(subject(Words(time_first=time_first), each_word, inputs, wanted))
    assert (found.time, found.ahead, found.skipped) == (0 if time_first else 1, ahead, 0)
    assert torch.equal(found.tokens, ids)
    assert torch.equal(found.targets, targets)
    assert found.counts.all()
    assert torch.equal(found.source, inputs)


@pytest.mark.parametrize("time_first", [False, True])
def test_where_no_word_follows_another_the_order_is_told_by_who_hears_whom(time_first):
    ids, tags = text(5, 9), torch.randint(VOCABULARY, (5, 9), generator=torch.Generator().manual_seed(4))
    ids, tags = (ids.T.contiguous(), tags.T.contiguous()) if time_first else (ids, tags)
    found = sequence(subject(Words(time_first=time_first), each_word, ids, tags))
    assert (found.time, found.ahead) == (0 if time_first else 1, None)
    assert found.tokens.shape == (5, 9)


def test_a_prompt_without_outputs_is_skipped():
    class Caption(Words):
        def forward(self, ids):
            return super().forward(ids)[:, 4:]

    ids, targets = next_words(length=14)
    found = sequence(subject(Caption(), each_word, ids, targets[:, 4:].contiguous()))
    assert (found.skipped, found.ahead) == (4, 1)
    assert torch.equal(found.tokens, ids[:, 4:])


def test_of_two_inputs_those_words_are_taken_that_the_targets_follow():
    class Both(Words):
        def forward(self, both):
            return super().forward(both[1]) + self.embedding(both[0]).mean((1, 2))[:, None, None]

    ids, targets = next_words()
    found = sequence(subject(Both(), each_word, (text(4, 12, seed=9), ids), targets))
    assert torch.equal(found.tokens, ids)


def test_what_is_not_words_by_words_has_no_sequence():
    class Mean(Words):
        def forward(self, ids):
            return super().forward(ids).mean(1)

    assert sequence(subject(Mean(), F.cross_entropy, text(4, 9), torch.tensor([1, 2, 0, 1]))) is None
    assert sequence(subject(mlp(), F.cross_entropy, *classes())) is None


def slow_padding(rows):
    """The rule in loops: at the ends only (or the beginnings only), twice and more in two rows, in runs of different lengths."""
    length = len(rows[0])
    for turned in (rows, [row[::-1] for row in rows]):
        for candidate in sorted({row[-1] for row in turned}):
            runs = []
            for row in turned:
                run = 0
                while run < length and row[length - 1 - run] == candidate:
                    run += 1
                runs.append(run)
            elsewhere = any(word == candidate for row, run in zip(turned, runs, strict=True) for word in row[: length - run])
            if not elsewhere and sum(run >= 2 for run in runs) >= 2 and len({run for run in runs if run < length}) >= 2:
                return candidate
    return None


@given(st.data())
def test_padding_is_what_a_slow_rule_finds(data):
    length, count, kinds = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    rows = []
    for _ in range(count):
        kept = data.draw(st.integers(0, length))
        words = data.draw(st.lists(st.integers(0, kinds), min_size=kept, max_size=kept))
        rows.append(words + [0] * (length - kept))
    if data.draw(st.booleans()):
        rows = [row[::-1] for row in rows]
    assert padding_of(torch.tensor(rows)) == slow_padding(rows)


def test_rows_of_different_lengths_are_padded_and_rows_of_one_length_are_not():
    ids = text(4, 10)
    assert padding_of(ids) is None
    for row, length in zip(ids, (4, 7, 10, 6), strict=True):
        row[length:] = 0
    assert padding_of(ids) == 0
    assert padding_of(ids.flip(1)) == 0


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1), st.integers(0, 10**6), st.booleans())
def test_the_first_slice_is_exchanged_and_no_other(rows, columns, axis, seed, fractions):
    tensor = drawn(rows, columns, seed=seed) if fractions else text(rows, columns, seed=seed)
    kept, found = tensor.clone(), unlike_the_first(tensor, axis)
    assert torch.equal(tensor, kept)
    assert found.shape == tensor.shape
    turned, before = found.movedim(axis, 0), tensor.movedim(axis, 0)
    assert torch.equal(turned[1:], before[1:])
    differ = any(not torch.equal(slice_, before[0]) for slice_ in before[1:])
    if not torch.isnan(turned).any():
        assert torch.equal(turned[0], before[0]) == (not differ)


def test_the_axis_of_examples():
    found = examples(subject(mlp(), F.cross_entropy, *classes()))
    assert (found[0].shape, *found[1:]) == ((12, 4), 0, 0)
    ids, targets = next_words()
    assert examples(subject(Words(), each_word, ids, targets))[1:] == (0, 0)
    assert examples(subject(Words(time_first=True), each_word, ids.T.contiguous(), targets.T.contiguous()))[1:] == (1, 1)

    class Flat(Words):
        def forward(self, ids):
            return super().forward(ids).flatten(0, 1)

    assert examples(subject(Flat(), lambda o, t: F.cross_entropy(o, t.flatten()), ids, targets))[1:] == (0, None)


def test_recurrent_outputs_of_time_first_have_their_examples_on_the_second_axis():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.lstm, self.head = nn.LSTM(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    found = examples(subject(Recurrent(), F.mse_loss, drawn(7, 5, 3), drawn(7, 5, 2, seed=1)))
    assert found[1:] == (1, 1)


def test_the_nodes_of_a_graph_are_no_examples():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 3)
            self.register_buffer("neighbours", torch.eye(12).roll(1, 0) + torch.eye(12))

        def forward(self, x):
            return self.neighbours @ self.layer(x)

    assert examples(subject(Graph(), F.cross_entropy, *classes())) is None
