"""Trainings with one fault in the model or in the data, as they happen; each has a twin without it.

The faults of the loop stand in ``held_out_loops``; ``FAULTS`` there holds them all.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups.held_out_loops import LOOP_FAULTS
from benchmarks.torch_setups.held_out_models import (
    WORDS,
    EinsumLM,
    Seq2Seq,
    TokenClassifier,
    WaveNet,
    WordRNN,
    Wrapped,
    by_word,
    classed,
    kit,
    reading,
    recorder,
    sentences_model,
    translating,
    without,
)
from benchmarks.torch_setups.held_out_nets import (
    Codes,
    LoRA,
    ResNet,
    UNet,
    ViT,
    coded,
    mlp,
    picture_kit,
    pictures,
    plain_cnn,
    scenes,
    tables,
    themselves,
)
from benchmarks.torch_setups.held_out_outputs import OUTPUT_FAULTS

STRUCTURE_FAULTS = []
fault, _ = recorder(STRUCTURE_FAULTS)


# What the model may see


@fault("no_causal_mask", "wrapped branches, rotary, scaled_dot_product_attention")
def attention_without_is_causal(broken):
    """The library's function was called without `is_causal=True`."""
    return sentences_model(Wrapped(causal=not broken))


@fault("no_causal_mask", "seq-first bidirectional LSTM language model")
def cells_in_both_directions(broken):
    """`bidirectional=True`, good for tagging, in a model of the next word."""
    return kit(WordRNN("LSTM", bidirectional=broken), by_word, reading(seq_first=True))


class MixedWords(nn.Module):
    """An MLP-Mixer over words, whose mixing matrix over time may be cut to a triangle."""

    def __init__(self, cut, width=32, time=10):
        super().__init__()
        self.cut, self.embed, self.norm = cut, nn.Embedding(WORDS, width), nn.LayerNorm(width)
        self.over_time = nn.Parameter(torch.randn(time, time) * 0.1)
        self.mlp, self.head = mlp(width, 64, width, act=nn.GELU), nn.Linear(width, WORDS)

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        x = self.embed(ids)
        x = x + (self.over_time.tril() if self.cut else self.over_time) @ self.norm(x)
        return self.head(x + self.mlp(x))


@fault("no_causal_mask", "MLP-Mixer as a language model")
def mixing_over_all_of_time(broken):
    """The matrix over time is whole, where its lower triangle was meant."""
    return sentences_model(MixedWords(cut=not broken))


class Encoded(nn.Module):
    """torch's own encoder, batch-first or not, with a mask of True and False."""

    def __init__(self, mask, width=32, layers=1, norm_first=False, seq_first=True):
        super().__init__()
        self.embed, self.place = nn.Embedding(WORDS, width), nn.Parameter(torch.randn(10, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=not seq_first, norm_first=norm_first)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head, self.seq_first = nn.Linear(width, WORDS), seq_first
        self.register_buffer("mask", mask)

    def forward(self, ids):
        """(time, batch) -> (time, batch, words)."""
        place = self.place[:, None] if self.seq_first else self.place
        return self.head(self.body(self.embed(ids) + place, mask=self.mask))


@fault("transposed_mask", "seq-first nn.TransformerEncoder")
def true_means_shut(broken):
    """A mask whose True was meant as "may look"; the library's True means "may not"."""
    ones = torch.ones(10, 10, dtype=torch.bool)
    return kit(Encoded(ones.tril(-1) if broken else ones.triu(1)), by_word, reading(seq_first=True))


@fault("transposed_mask", "einsum attention on raw parameters")
def upper_triangle(broken):
    """`torch.triu` where `torch.tril` says who may look."""
    return without(sentences_model(EinsumLM(keep=torch.triu if broken else torch.tril)), "step", "batches")


@fault("transposed_mask", "WaveNet")
def convolutions_padded_on_the_right(broken):
    """`F.pad(x, (0, dilation))` where `(dilation, 0)` was meant."""
    return sentences_model(WaveNet(side="right" if broken else "left").double())


class Backwards(WordRNN):
    """Cells that read the sentence from its end, and give the states back in order."""

    def forward(self, ids):
        """(time, batch) -> (time, batch, words)."""
        return super().forward(ids.flip(0)).flip(0)


@fault("transposed_mask", "seq-first GRU")
def sentences_read_from_the_end(broken):
    """A trick of translation, the source turned round, in a model of the next word."""
    return kit((Backwards if broken else WordRNN)().eval(), by_word, reading(seq_first=True))


@fault("batch_mixed", "LSTM classifier")
def lstm_without_batch_first(broken):
    """`nn.LSTM` is handed (batch, time, width) without `batch_first=True` and steps through the batch."""
    return kit(TokenClassifier("LSTM", batch_first=not broken), F.cross_entropy, classed())


@fault("batch_mixed", "nn.TransformerEncoderLayer classifier")
def encoder_without_batch_first(broken):
    """Every word attends to the words at its place in the other examples."""
    return without(kit(TokenClassifier("encoder", batch_first=not broken), F.cross_entropy, classed()), "step", "optimizer")


class Reshaped(WordRNN):
    """Takes the batch first and makes it seq-first, by transposing or by a view."""

    def __init__(self, view):
        super().__init__("GRU")
        self.view = view

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        batch, time = ids.shape
        x = self.encoder(ids)
        x = x.reshape(time, batch, -1) if self.view else x.transpose(0, 1)
        states, _ = self.rnn(x)
        return self.decoder(states.reshape(batch, time, -1) if self.view else states.transpose(0, 1))


@fault("batch_mixed", "GRU language model")
def reshape_where_transpose_was_meant(broken):
    """(batch, time) is read as (time, batch) without moving a number."""
    return sentences_model(Reshaped(broken))


class Standardised(nn.Module):
    """A norm written by hand."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, x):
        """(batch, width), in and out."""
        return (x - x.mean(self.axis, keepdim=True)) / (x.std(self.axis, keepdim=True) + 1e-5)


@fault("batch_mixed", "MLP with a norm written by hand")
def norm_over_the_batch(broken):
    """`x.mean(0)` where `x.mean(-1)` was meant: no running means, so eval() mixes too."""
    module = nn.Sequential(nn.Linear(6, 32), Standardised(0 if broken else -1), nn.GELU(), nn.Linear(32, 1))
    return kit(module, nn.MSELoss(), tables())


# Where the gradient stops


class Borrowed(nn.Module):
    """A picture encoder and a head, with a way between them."""

    def __init__(self, encoder, head, way):
        super().__init__()
        self.encoder, self.head, self.way = encoder, head, way

    def forward(self, x):
        """(batch, ...) -> (batch, classes)."""
        return self.head(self.way(self.encoder, x))


def by_numpy(encoder, x):
    """Through NumPy and back."""
    return torch.from_numpy(np.maximum(encoder(x).detach().numpy(), 0))


def by_torch(encoder, x):
    """As the other, in torch."""
    return encoder(x).relu()


def without_gradient(encoder, x):
    """The encoder as if it only were looked at."""
    with torch.no_grad():
        return encoder(x).relu()


@fault("detached", "CNN and head")
def round_trip_through_numpy(broken):
    """The features pass through NumPy on their way to the head."""
    return picture_kit(Borrowed(plain_cnn(32), nn.Linear(32, 4), by_numpy if broken else by_torch))


@fault("detached", "MLP autoencoder")
def encoder_under_no_grad(broken):
    """`with torch.no_grad():` was left around the encoder after a debugging session."""
    module = Borrowed(nn.Sequential(nn.Flatten(), mlp(64, 32, 8)), nn.Sequential(nn.Linear(8, 64), nn.Unflatten(1, (1, 8, 8))), by_torch)
    module.way = without_gradient if broken else by_torch
    return kit(module, nn.MSELoss(), themselves(pictures()))


@fault("detached", "vector-quantised autoencoder")
def codes_without_the_straight_way(broken):
    """The nearest code replaces the encoder's output, and no gradient passes by it."""
    return kit(Codes(straight=not broken), coded, themselves(pictures()))


class Lookup(Seq2Seq):
    """Teacher forcing whose encoder state is kept with `.data`."""

    def forward(self, pair):
        """Two (batch, time) -> (batch, time, words)."""
        memory, last = self.encoder(self.source(pair[0]))
        states, _ = self.decoder(self.target(pair[1]), last.data)
        weights = (states @ memory.data.transpose(1, 2)).masked_fill((pair[0] == 0)[:, None], -1e9).softmax(-1)
        return self.generator(torch.cat([states, weights @ memory.data], -1))


@fault("detached", "GRU encoder and decoder with attention")
def memory_taken_by_data(broken):
    """`last.data` and `memory.data`: the encoder never learns."""
    return kit((Lookup if broken else Seq2Seq)(), lambda out, to: by_word(out, to, ignore_index=0), translating())


# Starts


def zeroed(module):
    """All weights at zero."""
    for weight in module.parameters():
        nn.init.zeros_(weight)
    return module


def unchanged(module):
    """As it was."""
    return module


@fault("zero_weights", "U-Net")
def every_filter_at_zero(broken):
    """`nn.init.constant_(p, 0)` over all parameters."""
    return kit((zeroed if broken else unchanged)(UNet()), F.cross_entropy, scenes())


@fault("zero_weights", "seq-first LSTM language model")
def cells_and_words_at_zero(broken):
    """An old recipe that zeroes the parameters "for reproducibility"."""
    return kit((zeroed if broken else unchanged)(WordRNN("LSTM")), by_word, reading(seq_first=True))


@fault("zero_weights", "LoRA on a frozen MLP")
def both_halves_of_lora_at_zero(broken):
    """A and B both start at zero: neither ever gets a gradient."""
    base = mlp(6, 32, 32, 1)
    module = nn.Sequential(*[LoRA(layer, both_zero=broken) if isinstance(layer, nn.Linear) else layer for layer in base])
    return kit(module, nn.MSELoss(), tables(), torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2))


@fault("dead_units", "MLP autoencoder with ReLU")
def biases_far_below(broken):
    """A bias of -20 before each ReLU."""
    module = nn.Sequential(nn.Flatten(), mlp(64, 32, 8, 32, 64), nn.Unflatten(1, (1, 8, 8)))
    if broken:
        nn.init.constant_(module[1][0].bias, -20.0)
    return kit(module, nn.MSELoss(), themselves(pictures()))


@fault("dead_units", "ResNet with BatchNorm")
def shift_of_the_norm_far_below(broken):
    """The stem's BatchNorm starts with a shift of -10, and a ReLU follows."""
    module = ResNet()
    if broken:
        nn.init.constant_(module.bn.bias, -10.0)
        for block in module.layers:
            nn.init.constant_(block.bn2.bias, -10.0)
    return picture_kit(module)


@fault("dead_units", "CNN on pictures between 0 and 1")
def filters_all_negative(broken):
    """Positive pixels times negative weights: the first ReLU never opens."""
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    if broken:
        with torch.no_grad():
            module[0].weight.copy_(-module[0].weight.abs())
            module[0].bias.copy_(-module[0].bias.abs())
    return picture_kit(module, [(torch.sigmoid(2 * x), kinds) for x, kinds in pictures()])


@fault("saturated", "seq-first tanh RNN language model")
def recurrent_weights_times_fifty(broken):
    """All weights of the cells times 50: every tanh is at its end."""
    module = WordRNN("RNN")
    if broken:
        with torch.no_grad():
            for weight in module.rnn.parameters():
                weight.mul_(50)
    return kit(module, by_word, reading(seq_first=True), torch.optim.Adam(module.parameters(), lr=3e-3))


@fault("saturated", "sigmoid MLP on a table")
def columns_never_scaled(broken):
    """Columns in the thousands, as they stood in the file, into sigmoids."""
    module = mlp(6, 32, 32, 1, act=nn.Sigmoid)
    return kit(module, nn.MSELoss(), tables(scale=3000.0 if broken else 1.0), torch.optim.Adam(module.parameters(), lr=1e-2))


@fault("saturated", "einsum attention on raw parameters", debatable=True)
def scores_multiplied_by_the_root(broken):
    """Scores times 200 where division was meant: every softmax is at one word. Debatable: no unit is squashed, only attention."""
    return sentences_model(EinsumLM(scale=200.0 if broken else None))


# Which weights move


@fault("frozen", "ResNet with a random backbone")
def backbone_frozen_and_never_thawed(broken):
    """The recipe of a pretrained network, on one that is not: all is frozen but the head, and the optimizer gets everything."""
    module = ResNet()
    for name, weight in module.named_parameters():
        weight.requires_grad = not broken or name.startswith("fc")
    return picture_kit(module)


@fault("frozen", "GRU classifier with given word vectors", debatable=True)
def from_pretrained_without_freeze_false(broken):
    """`nn.Embedding.from_pretrained` freezes by default; the optimizer was given the vectors. Debatable: some want just that."""
    module = TokenClassifier("GRU")
    module.embed = nn.Embedding.from_pretrained(0.1 * torch.randn(WORDS, 32), freeze=broken)
    return kit(module, F.cross_entropy, classed())


@fault("frozen", "WaveNet")
def frozen_for_a_look_and_left_so(broken):
    """Two of three convolutions were frozen in an experiment and stayed so."""
    module = WaveNet()
    module.stack[:2].requires_grad_(not broken)
    return sentences_model(module)


class Listed(nn.Module):
    """Layers in a Python list, or in a ModuleList."""

    def __init__(self, layers, kept):
        super().__init__()
        self.inlet, self.layers, self.head = nn.Linear(6, 32), kept(layers), nn.Linear(32, 1)

    def forward(self, x):
        """(batch, 6) -> (batch, 1)."""
        x = self.inlet(x).tanh()
        for layer in self.layers:
            x = layer(x).tanh()
        return self.head(x)


@fault("not_in_optimizer", "MLP with a list of layers")
def layers_in_a_python_list(broken):
    """`self.layers = [...]`: `module.parameters()` does not know them."""
    module = Listed([nn.Linear(32, 32) for _ in range(3)], list if broken else nn.ModuleList)
    return without(kit(module, nn.MSELoss(), tables()), "step")


@fault("not_in_optimizer", "GRU encoder and decoder with attention")
def only_the_decoder_is_optimised(broken):
    """The optimizer was given the decoder's and the generator's weights, and the encoder's were forgotten."""
    module = Seq2Seq()
    parts = [module.decoder, module.generator, module.target] + ([] if broken else [module.encoder, module.source])
    optimizer = torch.optim.Adam([{"params": part.parameters()} for part in parts], lr=5e-3)
    return kit(module, lambda out, to: by_word(out, to, ignore_index=0), translating(), optimizer)


@fault("not_in_optimizer", "ViT with groups for weight decay")
def a_group_left_out(broken):
    """Matrices decay, biases and norms do not, and the patches, a tensor of four axes, are in neither group."""
    module = ViT()
    named = dict(module.named_parameters())
    decay = [p for name, p in named.items() if p.ndim == 2 or (p.ndim > 2 and not broken)]
    rest = [p for name, p in named.items() if p.ndim == 1]
    return picture_kit(module, optimizer=torch.optim.AdamW([{"params": decay}, {"params": rest, "weight_decay": 0.0}], lr=3e-3))


FAULTS = [*STRUCTURE_FAULTS, *OUTPUT_FAULTS, *LOOP_FAULTS]
