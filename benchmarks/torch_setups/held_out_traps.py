"""Trainings with no fault in which a part, looked at alone, resembles a fault: masks, axes, probabilities, weights without gradient."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups.held_out_models import (
    WORDS,
    TokenClassifier,
    WaveNet,
    WordRNN,
    classed,
    feed_forward,
    kit,
    reading,
    recorder,
    rms,
    sentences_model,
)
from benchmarks.torch_setups.held_out_nets import ResNet, ViT, mlp, picture_kit, pictures, plain_cnn, tables, tags

TRAPS = []
_, sound = recorder(TRAPS)


class Pooler(TokenClassifier):
    """An encoder from a hub, with a pooler that this task does not ask."""

    def __init__(self):
        super().__init__("encoder")
        self.pooler = nn.Sequential(nn.Linear(32, 32), nn.Tanh())


@sound("nn.TransformerEncoderLayer with an unused pooler")
def pooler_that_nobody_asks():
    """Two weights come with the model, are held by the optimizer, and never get a gradient: no harm is done."""
    return kit(Pooler(), F.cross_entropy, classed())


class Windowed(nn.Module):
    """Attention over the last three words only, nearer ones preferred by a fixed slope, no other positions."""

    def __init__(self, dim=32, time=10):
        super().__init__()
        self.embed, self.q, self.kv, self.ff = nn.Embedding(WORDS, dim), nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), feed_forward(dim)
        self.gain, self.head = nn.Parameter(torch.ones(dim)), nn.Linear(dim, WORDS)
        back = torch.arange(time)[:, None] - torch.arange(time)
        self.register_buffer("bias", torch.where((back >= 0) & (back < 3), -0.5 * back, float("-inf")), persistent=False)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.embed(ids)
        k, v = self.kv(rms(x, self.gain)).chunk(2, -1)
        scores = torch.baddbmm(self.bias, self.q(rms(x, self.gain)), k.mT, alpha=x.shape[-1] ** -0.5)
        x = x + torch.bmm(F.softmax(scores, dim=2), v)
        return self.head(x + self.ff(x))


@sound("attention in a window of three, ALiBi")
def early_words_out_of_sight():
    """No output depends on words more than two back, on purpose."""
    return sentences_model(Windowed())


class Summed(nn.Module):
    """Linear attention: running sums over time instead of a softmax and a mask."""

    def __init__(self, dim=24):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, dim), nn.Linear(dim, WORDS)
        self.q, self.k, self.v, self.norm = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim), nn.LayerNorm(dim)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.embed(ids)
        h = self.norm(x)
        q, k, v = F.elu(self.q(h)) + 1, F.elu(self.k(h)) + 1, self.v(h)
        memory = torch.einsum("btk,btv->btkv", k, v).cumsum(1)
        mixed = torch.einsum("btk,btkv->btv", q, memory) / torch.einsum("btk,btk->bt", q, k.cumsum(1))[..., None]
        return self.head(x + mixed)


@sound("linear attention by running sums")
def causal_without_a_mask():
    """Nothing is masked, and nothing later is seen."""
    return sentences_model(Summed())


class Slots(nn.Module):
    """Slots compete for the patches of a picture: softmax over the queries, then a mean over the patches."""

    def __init__(self, slots=3, width=24, classes=4):
        super().__init__()
        self.patch, self.slots = nn.Conv2d(1, width, 2, stride=2), nn.Parameter(torch.randn(slots, width))
        self.kv, self.cell, self.head = nn.Linear(width, 2 * width), nn.GRUCell(width, width), nn.Linear(slots * width, classes)

    def forward(self, x):
        """(batch, 1, 8, 8) -> (batch, classes)."""
        k, v = self.kv(self.patch(x).flatten(2).mT).chunk(2, -1)
        slots = self.slots.expand(len(x), -1, -1)
        for _ in range(2):
            shares = (slots @ k.mT / 24**0.5).softmax(1)
            shares = shares / (shares.sum(-1, keepdim=True) + 1e-6)
            slots = self.cell((shares @ v).flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return self.head(slots.flatten(1))


@sound("slot attention")
def softmax_over_the_queries_on_purpose():
    """Slots are the queries, and they compete for each patch: the axis is the authors' own."""
    return picture_kit(Slots())


@sound("GRU language model, one target a sentence")
def only_the_last_word_counts():
    """All targets but the last are -100."""
    batches = [(ids, torch.where(torch.arange(10) < 9, -100, to)) for ids, to in reading(batch=32)]
    return sentences_model(WordRNN(batch_first=True), batches)


@sound("WaveNet, batches of different shapes")
def batches_by_length():
    """Sentences are sorted by length: each batch has a time and a size of its own."""
    batches = [reading(batch=size, length=length, count=1)[0] for size, length in ((12, 6), (8, 9), (6, 12), (12, 6))]
    return sentences_model(WaveNet(), batches)


@sound("ResNet, mixed pictures")
def soft_targets():
    """Pictures are mixed in pairs, and so are their labels: the targets are probabilities."""
    batches = []
    for x, kinds in pictures():
        share, other = torch.rand(len(x), 1), torch.randperm(len(x))
        labels = F.one_hot(kinds, 4).float()
        batches.append((share[..., None, None] * x + (1 - share[..., None, None]) * x[other], share * labels + (1 - share) * labels[other]))
    return picture_kit(ResNet(), batches)


@sound("MLP with Sigmoid and BCELoss")
def probabilities_where_they_are_wanted():
    """`BCELoss` wants probabilities, and gets them."""
    return kit(nn.Sequential(mlp(8, 32, 5), nn.Sigmoid()), nn.BCELoss(), tags())


@sound("ViT with softmax and a squared error")
def brier_score():
    """Probabilities compared with one-hot labels by their squared distance: an old and honest score."""
    batches = [(x, F.one_hot(kinds, 4).float()) for x, kinds in pictures()]
    return picture_kit(nn.Sequential(ViT(), nn.Softmax(-1)), batches, loss=nn.MSELoss())


@sound("CNN, hinge loss, bounded output")
def margins_of_tanh():
    """The outputs end in a tanh times three, and the loss is a margin."""
    return picture_kit(nn.Sequential(plain_cnn(), nn.Tanh()), loss=lambda out, kinds: F.multi_margin_loss(3 * out, kinds))


class Choosing(nn.Module):
    """A bottle neck of one of eight, drawn with Gumbel noise in training and the likeliest in eval."""

    def __init__(self):
        super().__init__()
        self.choose, self.values = mlp(6, 32, 8), nn.Linear(8, 1, bias=False)

    def forward(self, x):
        """(batch, 6) -> (batch, 1)."""
        scores = self.choose(x)
        if self.training:
            return self.values(F.gumbel_softmax(scores, tau=1.0, hard=True))
        return self.values(F.one_hot(scores.argmax(-1), 8).to(x.dtype))


@sound("MLP with a hard choice, Gumbel-softmax")
def hard_choices():
    """In eval the choice is an argmax, and no gradient passes; in training it does."""
    module = Choosing()
    return kit(module, nn.MSELoss(), tables(), torch.optim.Adam(module.parameters(), lr=1e-2))
