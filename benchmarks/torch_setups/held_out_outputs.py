"""Trainings with one fault in the model or in the data, as they happen; each has a twin without it.

The faults of the loop stand in ``held_out_loops``; ``FAULTS`` there holds them all.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups.held_out_models import (
    WORDS,
    Attention,
    EinsumBlock,
    EinsumLM,
    HubLM,
    PackedClassifier,
    Seq2Seq,
    WaveNet,
    WordRNN,
    Wrapped,
    by_word,
    classed,
    kit,
    padded,
    reading,
    recorder,
    sentences_model,
    train,
    translating,
    without,
)
from benchmarks.torch_setups.held_out_nets import (
    Mixer,
    ResNet,
    UNet,
    ViT,
    mlp,
    picture_kit,
    pictures,
    plain_cnn,
    scenes,
    tags,
)

OUTPUT_FAULTS = []
fault, _ = recorder(OUTPUT_FAULTS)


# What comes out


@fault("double_softmax", "CNN in one Sequential")
def softmax_at_the_end_of_sequential(broken):
    """`nn.Softmax(1)` at the end, and cross-entropy takes its own."""
    return without(picture_kit(plain_cnn(4, 8, 2, 1, *([nn.Softmax(1)] if broken else []))), "step", "batches")


@fault("double_softmax", "MLP with several labels")
def sigmoid_before_bce_with_logits(broken):
    """Probabilities into `BCEWithLogitsLoss`."""
    module = nn.Sequential(mlp(8, 32, 5), nn.Sigmoid() if broken else nn.Identity())
    return kit(module, nn.BCEWithLogitsLoss(), tags())


class Answering(nn.Module):
    """A model that returns a dict."""

    def __init__(self, body, probabilities):
        super().__init__()
        self.body, self.probabilities = body, probabilities

    def forward(self, x):
        """(batch, ...) -> a dict with what stands under "logits" (batch, classes)."""
        logits = self.body(x)
        return {"logits": logits.softmax(-1) if self.probabilities else logits, "features": x}


@fault("double_softmax", "ViT that returns a dict")
def probabilities_named_logits(broken):
    """What is returned under the name of logits are probabilities; label smoothing hides it further."""
    return picture_kit(Answering(ViT(), broken), loss=lambda out, kinds: F.cross_entropy(out["logits"], kinds, label_smoothing=0.05))


@fault("double_softmax", "CNN with NLLLoss", debatable=True)
def nll_of_probabilities(broken):
    """`NLLLoss` on softmax without the logarithm. Debatable: one softmax, but the loss wants its logarithm."""
    return picture_kit(plain_cnn(4, 8, 2, 1, nn.Softmax(1) if broken else nn.LogSoftmax(1)), loss=nn.NLLLoss())


@fault("softmax_axis", "CNN with NLLLoss")
def log_softmax_over_the_batch(broken):
    """`F.log_softmax(x, dim=0)`: the examples compete, not the classes."""
    return picture_kit(plain_cnn(4, 8, 2, 1, nn.LogSoftmax(0 if broken else 1)), loss=nn.NLLLoss())


@fault("softmax_axis", "einsum attention on raw parameters")
def attention_over_the_queries(broken):
    """`softmax(-2)`: the weights of the words that look sum to one, not of those looked at."""
    return sentences_model(EinsumLM(axis=-2 if broken else -1))


@fault("softmax_axis", "U-Net with (batch, classes, height, width)")
def log_softmax_over_the_width(broken):
    """`log_softmax(-1)` on a map of classes whose axis is 1."""
    given = kit(nn.Sequential(UNet(), nn.LogSoftmax(-1 if broken else 1)), nn.NLLLoss(), scenes())
    return without(given, "step")


class Pooled(nn.Module):
    """A GRU whose states are weighed by attention, (batch, time, 1)."""

    def __init__(self, axis, width=32):
        super().__init__()
        self.embed, self.gru = nn.Embedding(WORDS, width), nn.GRU(width, width, batch_first=True)
        self.score, self.head, self.axis = nn.Linear(width, 1), nn.Linear(width, 3), axis

    def forward(self, ids):
        """(batch, time) -> (batch, 3)."""
        states, _ = self.gru(self.embed(ids))
        return self.head((self.score(states).softmax(self.axis) * states).sum(1))


@fault("softmax_axis", "GRU with attention pooling")
def softmax_over_an_axis_of_one(broken):
    """Scores (batch, time, 1) and `softmax(-1)`: every weight is one, and the scores never learn."""
    return kit(Pooled(-1 if broken else 1), F.cross_entropy, classed())


@fault("no_residual", "wrapped branches, eight blocks deep")
def branches_without_the_sum(broken):
    """`x = attn(x)` where `x = attn(x) + x` was meant."""
    return sentences_model(Wrapped(depth=8, skip=not broken))


@fault("no_residual", "MLP-Mixer, sixteen blocks deep")
def mixer_without_skips(broken):
    """Neither the mixing of patches nor that of features is added to what went in."""
    return picture_kit(Mixer(depth=16, skip=not broken))


class PostNorm(nn.Module):
    """Attention and a norm behind it."""

    def __init__(self, dim, skip):
        super().__init__()
        self.attn, self.ff, self.skip = Attention(dim), mlp(dim, 2 * dim, dim), skip
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x):
        """(batch, time, dim), in and out."""
        if not self.skip:
            return self.norm2(self.ff(self.norm1(self.attn(x))))
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.ff(x))


@fault("no_residual", "post-norm blocks in a Sequential")
def norm_of_the_branch_alone(broken):
    """`norm(attn(x))` where `norm(x + attn(x))` was meant."""
    return sentences_model(nn.Sequential(nn.Embedding(WORDS, 32), *[PostNorm(32, not broken) for _ in range(6)], nn.Linear(32, WORDS)))


@fault("no_residual", "ResNet, twelve blocks deep", debatable=True)
def shortcut_forgotten(broken):
    """`F.relu(out)` where `F.relu(out + x)` was meant. Debatable: with BatchNorm a deep plain CNN is a slow, not a broken, one."""
    return picture_kit(ResNet(depth=12, skip=not broken))


# Targets


@fault("targets_not_shifted", "seq-first GRU language model")
def the_word_itself(broken):
    """The targets are the inputs."""
    return train(kit(WordRNN(), by_word, reading(shift=0 if broken else 1, seq_first=True)), 20)


@fault("targets_not_shifted", "WaveNet")
def convolutions_asked_for_the_word_they_read(broken):
    """The generator's cut, `ids[:, 1:]`, was lost when it was rewritten."""
    return sentences_model(WaveNet(), reading(shift=0 if broken else 1))


@fault("targets_not_shifted", "GRU encoder and decoder, teacher forcing")
def decoder_fed_its_answer(broken):
    """The decoder's input is the target itself, without the start word in front."""
    return kit(Seq2Seq(), lambda out, to: by_word(out, to, ignore_index=0), translating(shifted=not broken))


@fault("targets_by_two", "model of a hub that shifts inside")
def shifted_by_the_data_and_by_the_model(broken):
    """The labels are cut by one already, and the model cuts once more."""
    batches = [({"input_ids": ids, "labels": labels}, labels) for ids, labels in reading(shift=1 if broken else 0)]
    return kit(HubLM(), lambda out, _: out.loss, batches)


@fault("targets_by_two", "seq-first LSTM language model")
def source_and_target_both_cut(broken):
    """`ids[:-2]` and `ids[2:]`."""
    return kit(WordRNN("LSTM"), by_word, reading(shift=2 if broken else 1, seq_first=True))


@fault("targets_by_two", "einsum attention, a loss that shifts")
def shifted_by_the_data_and_by_the_loss(broken):
    """The loss compares `logits[:, :-1]` with `targets[:, 1:]`, and the targets are the next words already."""
    return sentences_model(EinsumLM(), reading(shift=1 if broken else 0), lambda out, to: by_word(out[:, :-1], to[:, 1:]))


@fault("padding_in_loss", "seq-first GRU language model, padding_idx=0")
def padding_counted(broken):
    """Cross-entropy without `ignore_index`; half of all targets are padding."""
    module, batches = WordRNN(), []
    module.encoder = nn.Embedding(WORDS, 32, padding_idx=0)
    for _ in range(6):
        ids, _ = padded(length=13)
        batches.append((ids[:, :-1].t(), ids[:, 1:].t()))
    return kit(module, (by_word if broken else lambda out, to: by_word(out, to, ignore_index=0)), batches)


@fault("padding_in_loss", "GRU encoder and decoder, a tuple in")
def translations_padded_and_counted(broken):
    """As above, where the decoder writes."""
    return kit(Seq2Seq(), (by_word if broken else lambda out, to: by_word(out, to, ignore_index=0)), translating(length=12))


@fault("padding_in_loss", "model of a hub, labels in the dict")
def labels_not_set_to_minus_hundred(broken):
    """The labels are a copy of the padded input; those of padding were not set to -100."""
    batches = []
    for _ in range(6):
        ids, _ = padded()
        labels = ids if broken else torch.where(ids > 0, ids, -100)
        batches.append(({"input_ids": ids, "labels": labels}, labels))
    return kit(HubLM(pad=0), lambda out, _: out.loss, batches)


@fault("ignore_index", "CNN")
def class_zero_ignored(broken):
    """`ignore_index=0`, copied from a model of words; class 0 is a kind of picture."""
    loss = nn.CrossEntropyLoss(ignore_index=0) if broken else nn.CrossEntropyLoss()
    return train(picture_kit(plain_cnn(), pictures(noise=1.5), loss=loss), 20)


@fault("ignore_index", "WaveNet over bytes without padding")
def a_real_word_ignored(broken):
    """No sentence is padded, word 3 is a word, and the loss ignores it."""
    ignored = 3 if broken else -100
    return sentences_model(WaveNet(), None, lambda out, to: F.cross_entropy(out.transpose(1, 2), to, ignore_index=ignored))


@fault("ignore_index", "U-Net")
def highest_class_of_a_map_ignored(broken):
    """The number of the last class was taken for that of "unknown"; no place is unknown."""
    return kit(UNet(), nn.CrossEntropyLoss(ignore_index=2 if broken else 255), scenes())


# What eval() does not turn off


class Noisy(nn.Module):
    """A CNN whose dropout is a function."""

    def __init__(self, heeds_mode):
        super().__init__()
        self.conv, self.head, self.heeds_mode = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 4), heeds_mode

    def forward(self, x):
        """(batch, 1, 8, 8) -> (batch, 4)."""
        x = self.conv(x).relu().flatten(1)
        return self.head(F.dropout(x, 0.5, training=self.training) if self.heeds_mode else F.dropout(x, 0.5))


@fault("dropout_on", "CNN")
def functional_dropout_without_the_flag(broken):
    """`F.dropout(x, 0.5)`: its flag is True by default."""
    return picture_kit(Noisy(not broken).eval())


class FreshDropout(PackedClassifier):
    """A new nn.Dropout in every forward pass, which is always in training mode."""

    def forward(self, pair):
        """(batch, time), (batch,) -> (batch, classes)."""
        hidden = self.lstm(self.embed(pair[0]))[0].mean(1)
        return self.head(nn.Dropout(0.4)(hidden))


class KeptDropout(FreshDropout):
    """The same, made once."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.4)

    def forward(self, pair):
        """(batch, time), (batch,) -> (batch, classes)."""
        return self.head(self.drop(self.lstm(self.embed(pair[0]))[0].mean(1)))


@fault("dropout_on", "BiLSTM classifier, a tuple in")
def dropout_made_in_forward(broken):
    """`nn.Dropout(0.4)(hidden)` inside forward."""
    batches = [((ids, torch.full((16,), 12)), kinds) for ids, kinds in classed()]
    return kit((FreshDropout if broken else KeptDropout)(), F.cross_entropy, batches)


@fault("dropout_on", "ViT with scaled_dot_product_attention")
def attention_drops_in_eval(broken):
    """`dropout_p=0.3` is handed over whether or not the model trains."""
    return picture_kit(ViT(drop=0.3, heeds_mode=not broken))


# Weights meant to be one


@fault("untied", "seq-first GRU language model")
def output_copied_from_the_embedding(broken):
    """`decoder.weight.data = encoder.weight.data.clone()` where `decoder.weight = encoder.weight` was meant."""
    module = WordRNN(tied=not broken)
    if broken:
        module.decoder.weight.data = module.encoder.weight.data.clone()
    return kit(module, by_word, reading(seq_first=True))


@fault("untied", "model of a hub")
def head_is_a_new_parameter(broken):
    """`lm_head.weight = nn.Parameter(wte.weight.detach().clone())`."""
    batches = [({"input_ids": ids}, labels) for ids, labels in reading()]
    return kit(HubLM(tied="copy" if broken else "same"), lambda out, to: by_word(out.logits, to), batches)


class Turned(nn.Module):
    """A block between an embedding and a head that was made from it."""

    def __init__(self, broken, width=32):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.body, self.head = nn.Sequential(*[EinsumBlock(width) for _ in range(2)]), nn.Linear(width, WORDS, bias=False)
        self.head.weight = copy.deepcopy(self.embed.weight) if broken else self.embed.weight

    def forward(self, ids):
        """(batch, time) -> (batch, time, words)."""
        return self.head(self.body(self.embed(ids)))


@fault("untied", "einsum attention, tied by deepcopy")
def head_is_a_deep_copy(broken):
    """`copy.deepcopy` of the shared weight."""
    return without(sentences_model(Turned(broken)), "batches")
