"""What the tests of the doctor for PyTorch share: subjects without a deadline, small modules, and what is said of them. Needs PyTorch."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from cllm_lib.instruments.torch import answers, backward, inside, loop, rates, reach
from cllm_lib.instruments.torch.subject import Subject

ROOMS = (inside, answers, reach, backward, loop, rates)
INSTRUMENTS = {tool.name: (tool, applies) for tool, applies in (inside.REPEAT, *(pair for room in ROOMS for pair in room.INSTRUMENTS))}
VOCABULARY = 23


def subject(module, loss, inputs, targets, batches=(), **of_loop):
    """A subject for which there is time enough, however busy the machine is."""
    found = Subject(module, loss, [(inputs, targets), *batches], **of_loop)
    found.deadline = math.inf
    return found


def read(name, subject):
    """What one instrument answers; it has to apply."""
    tool, applies = INSTRUMENTS[name]
    assert not applies(subject)
    return tool.read(subject)


def said(name, subject):
    """The words of one instrument."""
    return read(name, subject).words


def drawn(*shape, seed=0):
    """Normal numbers that a seed fixes."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text(*shape, seed=0, first=1):
    """Words that a seed fixes, of a small vocabulary."""
    return torch.randint(first, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def mlp(outputs=3, inputs=4):
    """Two layers."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


def classes(seed=0, n=12):
    """Inputs of four numbers, and one class of three for each."""
    return drawn(n, 4, seed=seed), torch.randint(3, (n,), generator=torch.Generator().manual_seed(100 + seed))


def each_word(logits, targets, **settings):
    """The mean cross-entropy, word by word."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **settings)


class Attention(nn.Module):
    """One head; `sees` of the places (query, key) says which key a query may look at; `axis` that of its softmax."""

    def __init__(self, width, sees, axis=-1):
        super().__init__()
        self.three, self.out, self.sees, self.axis = nn.Linear(width, 3 * width), nn.Linear(width, width), sees, axis

    def forward(self, x):
        query, key, value = self.three(x).chunk(3, -1)
        places = torch.arange(x.shape[1])
        scores = query @ key.transpose(1, 2) / x.shape[2] ** 0.5
        scores = scores.masked_fill(~self.sees(places[:, None], places[None, :]), -1e9)
        return self.out(torch.softmax(scores, self.axis) @ value)


def before(query, key):
    """The causal mask."""
    return key <= query


def after(query, key):
    """The causal mask, turned."""
    return key >= query


def everywhere(query, key):
    """No mask."""
    return (key == key) & (query == query)


class Block(nn.Module):
    def __init__(self, width, sees, residual=True, axis=-1):
        super().__init__()
        self.attention, self.norm, self.residual = Attention(width, sees, axis), nn.LayerNorm(width), residual
        self.layer = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm(x)) if self.residual else self.attention(self.norm(x))
        return x + self.layer(x) if self.residual else self.layer(x)


class Words(nn.Module):
    """A small transformer; with time first where it is told so."""

    def __init__(self, sees=before, width=16, blocks=2, time_first=False, length=16, **of_blocks):
        super().__init__()
        torch.manual_seed(2)
        self.embedding, self.places = nn.Embedding(VOCABULARY, width), nn.Parameter(0.5 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, sees, **of_blocks) for _ in range(blocks)))
        self.head, self.time_first = nn.Linear(width, VOCABULARY), time_first

    def forward(self, ids):
        ids = ids.T if self.time_first else ids
        logits = self.head(self.blocks(self.embedding(ids) + self.places[: ids.shape[1]]))
        return logits.transpose(0, 1) if self.time_first else logits


def next_words(rows=4, length=12, seed=0, ahead=1):
    """Inputs and targets that stand some words ahead of them."""
    ids = text(rows, length + ahead, seed=seed)
    return ids[:, :length].contiguous(), ids[:, ahead : length + ahead].contiguous()


def of_words(module=None, loss=each_word, seed=0, ahead=1, **others):
    """A subject that reads words and predicts others."""
    return subject(module or Words(), loss, *next_words(seed=seed, ahead=ahead), **others)
