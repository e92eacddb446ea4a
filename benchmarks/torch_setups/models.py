"""Small models as one finds them: nothing here is wrong. Faulty ones override a method in `faults/`."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups.data import PAD

LONGEST = 32


class SelfAttention(nn.Module):
    """Causal attention by hand, with queries, keys and values from one projection."""

    def __init__(self, width, heads, dropout=0.0, bias=True):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mask", torch.tril(torch.ones(LONGEST, LONGEST)))

    def split(self, x):  # (B, T, D) -> (B, H, T, D / H)
        batch, time, width = x.shape
        return x.view(batch, time, self.heads, width // self.heads).transpose(1, 2)

    def weights(self, scores):  # (B, H, T, T) -> (B, H, T, T)
        time = scores.size(-1)
        scores = scores.masked_fill(self.mask[:time, :time] == 0, float("-inf"))
        return F.softmax(scores, dim=-1)

    def mix(self, query, key, value):
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        return self.dropout(self.weights(scores)) @ value

    def forward(self, x):
        query, key, value = (self.split(part) for part in self.qkv(x).chunk(3, dim=-1))
        y = self.mix(query, key, value)
        return self.proj(y.transpose(1, 2).reshape(x.shape))


class FusedAttention(SelfAttention):
    """The same by PyTorch's own function."""

    def __init__(self, width, heads, dropout=0.0, bias=True):
        super().__init__(width, heads, dropout, bias)
        self.p = dropout

    def mix(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=self.p if self.training else 0.0, is_causal=True)


class RotaryAttention(FusedAttention):
    """Queries and keys turned by their places."""

    def mix(self, query, key, value):
        return super().mix(self.turn(query), self.turn(key), value)

    def turn(self, x):
        half = x.size(-1) // 2
        angles = torch.arange(x.size(-2))[:, None] * 100.0 ** -(torch.arange(half) / half)
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)


class TorchAttention(nn.Module):
    """nn.MultiheadAttention with a causal mask."""

    def __init__(self, width, heads, dropout=0.0):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)

    def mask(self, time):
        return torch.triu(torch.ones(time, time, dtype=torch.bool), diagonal=1)

    def forward(self, x):
        y, _ = self.attention(x, x, x, attn_mask=self.mask(x.size(1)), need_weights=False)
        return y


def feed_forward(width, activation=nn.GELU, dropout=0.0):
    """Four times as wide inside."""
    return nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width), nn.Dropout(dropout))


class Block(nn.Module):
    """Norm first."""

    def __init__(self, width, attention, inner=None, norm=nn.LayerNorm):
        super().__init__()
        self.norm1, self.norm2 = norm(width), norm(width)
        self.attention, self.mlp = attention, inner or feed_forward(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PostNormBlock(Block):
    """Norm last, as in the first Transformer."""

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class GPT(nn.Module):
    """A causal language model: (B, T) -> (B, T, V)."""

    def __init__(self, vocab=50, width=32, heads=4, layers=2, attention=SelfAttention, block=Block, tied=False, **options):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocab, width), nn.Embedding(LONGEST, width)
        self.blocks = nn.ModuleList(block(width, attention(width, heads, **options)) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.apply(self.start)
        if tied:
            self.head.weight = self.embedding.weight

    @staticmethod
    def start(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.05)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def enter(self, ids):
        x = self.embedding(ids)
        return x + self.positions(torch.arange(x.size(1)))

    def forward(self, ids):
        x = self.enter(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def sinusoids(width):
    """Positions (LONGEST, width) that are not learned."""
    angles = torch.arange(LONGEST)[:, None] * 100.0 ** -(torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Encoder(nn.Module):
    """Embedding, positions and PyTorch's own encoder, whose layers are copies of one: (B, T) -> (B, T, D)."""

    def __init__(self, vocab=40, width=32, heads=4, layers=2, dropout=0.0, norm_first=False, batch_first=True, activation="relu"):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.register_buffer("positions", sinusoids(width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation=activation, batch_first=batch_first, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def enter(self, ids):
        x = self.embedding(ids)
        return x + self.positions[: x.size(1)]

    def forward(self, ids):
        return self.encoder(self.enter(ids))


class EncoderLM(Encoder):
    """PyTorch's encoder as a causal language model: (B, T) -> (B, T, V)."""

    def __init__(self, vocab=50, tied=False, width=32, **options):
        super().__init__(vocab, width, **options)
        self.head = nn.Linear(width, vocab)
        if tied:
            nn.init.normal_(self.embedding.weight, std=0.1)
            self.head.weight = self.embedding.weight

    def mask(self, time):
        return nn.Transformer.generate_square_subsequent_mask(time)

    def forward(self, ids):
        x = self.enter(ids)
        return self.head(self.encoder(x, mask=self.mask(x.size(1))))


class TextClassifier(Encoder):
    """(B, T) -> (B, C), over the mean of all words."""

    def __init__(self, classes=4, width=32, **options):
        super().__init__(width=width, **options)
        self.head = nn.Linear(width, classes)

    def forward(self, ids):
        return self.head(super().forward(ids).mean(dim=1))


class PaddedTextClassifier(TextClassifier):
    """The same, for texts of different lengths."""

    def forward(self, ids):
        padding = ids == PAD
        x = self.encoder(self.enter(ids), src_key_padding_mask=padding)
        words = (~padding).unsqueeze(-1)
        return self.head((x * words).sum(1) / words.sum(1))


class Tagger(Encoder):
    """(B, T) -> (B, T, C); also a model of masked words, with as many classes as words."""

    def __init__(self, classes=5, width=32, tied=False, **options):
        super().__init__(width=width, **options)
        self.head = nn.Linear(width, classes)
        if tied:
            nn.init.normal_(self.embedding.weight, std=0.1)
            self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(super().forward(ids))


class PaddedTagger(Tagger):
    """The same, for texts of different lengths."""

    def forward(self, ids):
        return self.head(self.encoder(self.enter(ids), src_key_padding_mask=ids == PAD))


class LSTM(nn.Module):
    """A language model: (B, T) -> (B, T, V)."""

    def __init__(self, vocab=50, width=32, layers=1, dropout=0.0, tied=False, padding=None, batch_first=True, kind=nn.LSTM):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width, padding_idx=padding)
        self.rnn = kind(width, width, layers, dropout=dropout, batch_first=batch_first)
        self.head = nn.Linear(width, vocab)
        if tied:
            nn.init.normal_(self.embedding.weight, std=0.2)
            self.head.weight = self.embedding.weight

    def forward(self, ids):
        x, _ = self.rnn(self.embedding(ids))
        return self.head(x)


class GRUClassifier(nn.Module):
    """(B, T) -> (B, C), from the last state."""

    def __init__(self, vocab=40, width=24, classes=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, ids):
        _, last = self.rnn(self.embedding(ids))
        return self.head(last[-1])


class PoolingClassifier(GRUClassifier):
    """The same, from a weighted mean of all states."""

    def __init__(self, vocab=40, width=24, classes=4):
        super().__init__(vocab, width, classes)
        self.score = nn.Linear(width, 1)

    def forward(self, ids):
        states, _ = self.rnn(self.embedding(ids))
        weights = torch.softmax(self.score(states), dim=1)  # (B, T, 1)
        return self.head((weights * states).sum(dim=1))


def mlp(inputs=10, outputs=5, width=32, activation=nn.ReLU, last=()):
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(inputs, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, outputs), *last)


class CNN(nn.Module):
    """Pictures (B, 1, 8, 8) -> (B, C)."""

    def __init__(self, classes=4, width=12, norm=nn.BatchNorm2d):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), norm(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), norm(2 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(8 * width, classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class Autoencoder(nn.Module):
    """(B, 20) -> (B, 20), through a narrow middle."""

    def __init__(self, features=20, width=24, middle=6, activation=nn.ReLU):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, middle))
        self.decoder = nn.Sequential(nn.Linear(middle, width), activation(), nn.Linear(width, features))

    def forward(self, x):
        return self.decoder(self.encoder(x))
