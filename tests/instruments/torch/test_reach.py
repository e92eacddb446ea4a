"""What depends on what: masks, batches, memory, residual connections and ties, each by a module that was made so."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is large; `make test-all` installs it")
from instruments.torch.subjects import (  # noqa: E402
    INSTRUMENTS,
    VOCABULARY,
    Words,
    after,
    before,
    classes,
    drawn,
    each_word,
    everywhere,
    mlp,
    next_words,
    of_words,
    read,
    said,
    subject,
)  # fmt: skip
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cllm_lib.instruments.torch import reach  # noqa: E402

LATER, EARLIER, OTHER = "perturb a later token", "perturb an earlier token", "perturb another sequence"


def why_not(name, subject):
    return INSTRUMENTS[name][1](subject)


@pytest.mark.parametrize("time_first", [False, True], ids=["batch first", "time first"])
@pytest.mark.parametrize(
    ("sees", "words"),
    [
        (before, ()),
        (everywhere, ("an earlier output changes",)),
        (after, ("an earlier output changes", "an earlier output changes, and no later one")),
        (lambda query, key: key <= query + 1, ("an earlier output changes",)),
    ],
    ids=["causal", "none", "turned", "one too far"],
)
def test_a_mask_is_told_by_what_outputs_see(sees, words, time_first):
    ids, targets = next_words()
    if time_first:
        ids, targets = ids.T.contiguous(), targets.T.contiguous()
    found = subject(Words(sees, time_first=time_first), each_word, ids, targets)
    assert set(said(LATER, found)) == set(words)
    assert said(OTHER, found) == ()


@pytest.mark.parametrize("sees", [before, after, everywhere], ids=["causal", "turned", "none"])
def test_what_moves_is_what_the_jacobian_says(sees):
    found = of_words(Words(sees, blocks=1))
    back, ahead = reach.reach_in_time(found)
    module, ids = found.still, found.inputs[:1]
    by_words = torch.func.jacrev(lambda x: module.head(module.blocks(x))[0].sum(-1))(module.embedding(ids) + module.places[: ids.shape[1]])
    moved = by_words[:, 0].abs().sum(-1) > 1e-12  # [output, word]
    assert (back > 0.0) == bool(moved.triu(1).any())
    assert (ahead > 0.0) == bool(moved.tril(-1).any())


def test_a_mask_that_holds_for_the_second_half_only_is_no_mask():
    class Half(Words):
        def forward(self, ids):
            logits = super().forward(ids)
            return logits + torch.cat([self.embedding(ids).mean(1, keepdim=True).mean(-1, keepdim=True).expand(-1, 6, 1),
                                       torch.zeros(len(ids), ids.shape[1] - 6, 1)], 1)  # fmt: skip

    assert said(LATER, of_words(Half())) == ("an earlier output changes",)


def test_layers_that_begin_at_zero_are_looked_at_after_some_steps():
    def made(sees):
        module = Words(sees)
        with torch.no_grad():
            for block in module.blocks:
                block.attention.out.weight.zero_()
                block.attention.out.bias.zero_()
        return module

    assert said(LATER, of_words(made(before))) == ()
    assert said(LATER, of_words(made(everywhere))) == ("an earlier output changes",)
    assert said(EARLIER, of_words(made(before))) == ()


def test_words_that_see_themselves_only_are_told():
    assert said(EARLIER, of_words(Words(lambda query, key: query == key))) == ("no earlier token reaches the last output",)
    assert said(EARLIER, of_words()) == ()


@pytest.mark.parametrize(
    ("ahead", "sees", "words"),
    [
        (1, before, ()),
        (0, before, ("the targets are the inputs",)),
        (2, before, ("the targets stand two words ahead",)),
        (0, everywhere, ()),
    ],
    ids=["the next", "the same", "two ahead", "given back by who has seen them"],
)
def test_where_targets_stand_is_said(ahead, sees, words):
    assert said("print a batch", of_words(Words(sees), ahead=ahead)) == words


def test_who_does_not_predict_what_follows_may_see_all():
    tags = torch.randint(VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(5))
    found = subject(Words(everywhere), each_word, next_words()[0], tags)
    assert why_not(LATER, found).startswith("the targets are not the words that follow")


MIXED = {
    "a view that takes rows for columns": lambda x: x.reshape(4, -1, 2).transpose(0, 1).reshape(x.shape),
    "a mean over the batch": lambda x: x - x.mean(0),
    "a softmax over the batch": lambda x: x.softmax(0),
    "rolled": lambda x: x.roll(1, 0),
}


class Changed(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.first, self.last, self.change = mlp(8), nn.Linear(8, 3), change

    def forward(self, x):
        return self.last(self.change(self.first(x)))


@pytest.mark.parametrize("name", list(MIXED))
def test_examples_that_hear_each_other_are_told(name):
    assert said(OTHER, subject(Changed(MIXED[name]), F.cross_entropy, *classes())) == ("another sequence's outputs change",)


@pytest.mark.parametrize("change", [nn.BatchNorm1d(8), nn.LayerNorm(8), torch.tanh], ids=["BatchNorm", "LayerNorm", "nothing"])
def test_examples_that_do_not_are_silent(change):
    module = Changed(change)
    assert said(OTHER, subject(module, F.cross_entropy, *classes())) == ()


def test_one_example_hears_nobody():
    x, y = classes()
    assert why_not(OTHER, subject(mlp(), F.cross_entropy, x[:1], y[:1])) == "the batch has one example only"


@pytest.mark.parametrize("residual", [True, False])
def test_a_residual_connection_is_missed(residual):
    words = said("silence attention", of_words(Words(residual=residual)))
    assert words == (() if residual else ("nothing passes a layer but by attention",))


def test_without_attention_it_is_not_looked_for():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.table, self.rnn, self.head = nn.Embedding(VOCABULARY, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, VOCABULARY)

        def forward(self, ids):
            return self.head(self.rnn(self.table(ids))[0])

    found = of_words(Recurrent())
    assert why_not("silence attention", found) == "nothing in it looks from one position at another"
    assert said(LATER, found) == said(EARLIER, found) == ()


class Deep(nn.Module):
    def __init__(self, depth, residual):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.residual = nn.Linear(4, 8), nn.Linear(8, 3), residual
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(depth))

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x) if self.residual else layer(x)
        return self.last(x)


def test_a_deep_stack_is_looked_at_for_residual_connections():
    name = "silence a stack"
    assert said(name, subject(Deep(8, False), F.cross_entropy, *classes())) == (
        "nothing passes many layers but through their weights",)  # fmt: skip
    found = subject(Deep(3, False), F.cross_entropy, *classes())
    assert reach.stack(found) == ()
    assert why_not(name, found) == "it is no deep stack of layers alike"

    class Inside(Deep):
        """The connection lies inside the layers, past their weights."""

        def forward(self, x):
            x = self.first(x)
            for layer in self.layers:
                x = x + layer(x)
            return self.last(x)

    found = subject(Inside(8, True), F.cross_entropy, *classes())
    assert reach.stack(found) == tuple(f"layers.{k}" for k in range(8))
    assert said(name, found) == ()


@pytest.mark.parametrize(("how", "words"), [("copy", ("two matrices that are copies of one another",)), ("apart", ())])
def test_a_copy_of_the_embedding_is_told(how, words):
    module = Words()
    if how == "copy":
        with torch.no_grad():
            module.head.weight.copy_(module.embedding.weight)
    assert said("embedding and output", of_words(module)) == words


def test_tied_matrices_are_one():
    module = Words()
    module.head.weight = module.embedding.weight
    assert why_not("embedding and output", of_words(module)) == "there are no two matrices that could be one"


def test_the_cosine_is_that_of_numpy():
    found = of_words()
    one, other = (matrix.detach().numpy() - matrix.detach().numpy().mean() for matrix in reach.tied_pair(found))
    by_hand = (one * other).sum() / ((one**2).sum() * (other**2).sum()) ** 0.5
    assert read("embedding and output", found).numbers["cosine"] == pytest.approx(by_hand, abs=1e-9)


def test_numbers_that_are_none_count_as_moved_where_they_come_or_go():
    one, other = torch.ones(3, 2), torch.ones(3, 2)
    other[0, 0], one[1, 0], other[1, 0], other[2, 1] = float("nan"), float("nan"), float("nan"), 1.5
    assert reach._apart(one, other).tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("place", [0, 3, 11])
def test_one_word_is_exchanged_for_another_that_stands_there(place):
    found = of_words()
    tokens, changed = found.inputs, reach._changed(found, place)
    assert (tokens != changed).nonzero().tolist() == [[0, place]]
    assert int(changed[0, place]) in tokens[1:, place].tolist()


def test_a_batch_of_rows_with_their_time_last_is_not_mixed():
    class Pictures(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Conv1d(2, 4, 3, padding=1)

        def forward(self, x):
            return self.layer(x)

    targets = torch.randint(4, (5, 7), generator=torch.Generator().manual_seed(1))
    assert said(OTHER, subject(Pictures(), F.cross_entropy, drawn(5, 2, 7), targets)) == ()
