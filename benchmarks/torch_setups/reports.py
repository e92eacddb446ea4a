"""Ten trainings that strangers reported as stuck or wrong, where the thread itself found the cause, each built again in small.

The sentences and the code are our own; of the thread we keep the fault and what it looked like. ``build(seed)`` gives the
arguments of ``examine``: the module, the loss, the batches, the optimizer, and the loop's own step where the fault is in the
loop. ``build(seed, mended=True)`` gives the same training without the fault. For two of the ten no key of CAUSES is right:
they are here because a reader's training may suffer from something that nobody made a key for.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SUCCESSORS = 3  # of every word in our language of random walks, equally likely: nobody predicts it better than ln 3
FLOOR = math.log(SUCCESSORS)


@dataclass(frozen=True)
class Report:
    """A public thread and its training in small.

    Parameters
    ----------
    name
        One word or two.
    source
        The address of the thread.
    said
        What was reported and what the thread found, in our words.
    cause
        The key of CAUSES that would be right, or None where none is.
    build
        ``build(seed, mended=False)``: the arguments of ``examine``, by name.
    truth
        The cause in words, where no key fits.
    """

    name: str
    source: str
    said: str
    cause: str | None
    build: Callable[..., dict]
    truth: str = ""


def seeded(build):
    """The function with a seed in front: all that it draws comes from there, and the caller's random numbers stay as they were."""

    @functools.wraps(build)
    def with_seed(seed, mended=False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(mended)

    return with_seed


def setup(module, loss, batches, optimizer, **loop):
    """The arguments of ``examine``; inputs and targets are those of the first batch."""
    inputs, targets = batches[0]
    return dict(module=module, loss=loss, inputs=inputs, targets=targets, optimizer=optimizer, batches=batches, **loop)


def walks(count, length, words, first=None):
    """Sentences of a language in which each word has three successors, from the first words on: tokens (count, length)."""
    successors = torch.stack([torch.randperm(words)[:SUCCESSORS] for _ in range(words)])
    tokens = torch.randint(words, (count, length))
    if first is not None:
        tokens[:, 0] = first
    for position in range(1, length):
        tokens[:, position] = successors[tokens[:, position - 1], torch.randint(SUCCESSORS, (count,))]
    return tokens


def pictures(count, size=12):
    """Smooth pictures, a wave each: (count, 1, size, size)."""
    places = torch.linspace(0, 1, size)
    across, down, start = torch.randn(3, count, 1, 1)
    return torch.sin(4 * (across * places[None, None, :] + down * places[None, :, None]) + 3 * start)[:, None]


@seeded
def all_pairs(mended):
    """A regression whose targets lack the last axis: the loss compares every prediction with every target."""
    module, batches = nn.Linear(3, 1), []
    for _ in range(8):
        inputs = torch.randn(64, 3)
        targets = inputs @ torch.tensor([2.0, -1.5, 1.0]) + 4 + 0.1 * torch.randn(64)
        batches.append((inputs, targets[:, None] if mended else targets))
    return setup(module, nn.MSELoss(), batches, torch.optim.SGD(module.parameters(), lr=0.1))


@seeded
def same_picture(mended):
    """Pictures with and without a hidden message, in pairs; the message's picture is read from the wrong folder.

    The thread names the cut of the file name. That the same file is then read twice follows from ``os.path.join``, which drops
    the folder in front of a path that is whole already.
    """
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    module.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)])
    batches = []
    for _ in range(12):
        covers = pictures(16)
        messages = 0.4 * torch.randint(0, 2, covers.shape) - 0.2
        second = covers + messages if mended else covers
        batches.append((torch.stack([covers, second], dim=1).flatten(0, 1), torch.tensor([0, 1]).repeat(16)))
    return setup(module, nn.CrossEntropyLoss(), batches, torch.optim.Adam(module.parameters(), lr=5e-3))


class Attention(nn.Module):
    """Causal attention of two heads that writes ``hidden`` where a later word would be seen."""

    def __init__(self, width, hidden):
        super().__init__()
        self.projections, self.out, self.hidden = nn.Linear(width, 3 * width), nn.Linear(width, width), hidden

    def forward(self, x):
        """Of states (batch, length, width), what each place gathers: of the same shape."""
        batch, length, width = x.shape
        query, key, value = self.projections(x).view(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT / math.sqrt(width // 2)
        earlier = torch.ones(length, length, dtype=torch.bool).tril()
        mixed = scores.masked_fill(~earlier, self.hidden).softmax(dim=-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """A layer of a language model: attention and feed-forward part, each after its LayerNorm, around them residual paths."""

    def __init__(self, width, hidden=-math.inf):
        super().__init__()
        self.first_norm, self.attention, self.second_norm = nn.LayerNorm(width), Attention(width, hidden), nn.LayerNorm(width)
        self.forward_part = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        """States (batch, length, width) after the layer."""
        x = x + self.attention(self.first_norm(x))
        return x + self.forward_part(self.second_norm(x))


class Decoder(nn.Module):
    """A language model that may be shown a picture first, as ``patches`` numbers in front of the words; logits for the words only."""

    def __init__(self, words, length, width=48, layers=2, hidden=-math.inf, patches=0):
        super().__init__()
        self.patches = patches
        self.words, self.codes = nn.Embedding(words, width), nn.Embedding(max(patches, 1) * 4, width)
        self.positions = nn.Parameter(0.1 * torch.randn(patches + length, width))
        self.layers = nn.Sequential(*[Block(width, hidden) for _ in range(layers)], nn.LayerNorm(width), nn.Linear(width, words))
        if not patches:
            del self.codes

    def forward(self, tokens):
        """Logits (batch, words of the sentence, words) of tokens (batch, patches and words)."""
        picture = [self.codes(tokens[:, : self.patches])] if self.patches else []
        x = torch.cat([*picture, self.words(tokens[:, self.patches :])], dim=1) + self.positions
        return self.layers(x)[:, self.patches :]


def per_word(logits, targets):
    """Mean cross-entropy of every word that is not marked -100."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


@seeded
def shallow_mask(mended):
    """A mask of -10,000, and one head per layer whose scores lie below it, as the thread found them after a high rate."""
    words, length, width = 12, 8, 48
    module = Decoder(words, length, width, hidden=-math.inf if mended else -1e4)
    with torch.no_grad():
        depth = math.sqrt(1.5e4 * math.sqrt(width // 2))  # its square over the root of the head's width: a score of -15,000
        for block in module.layers[:2]:
            block.attention.projections.bias[0] += depth
            block.attention.projections.bias[width] -= depth
    tokens = walks(32 * 100, length + 1, words)
    batches = [(batch[:, :-1], batch[:, 1:]) for batch in tokens.split(32)]
    return setup(module, per_word, batches, torch.optim.AdamW(module.parameters(), lr=3e-3))


@seeded
def copied_captions(mended):
    """Captions of pictures: the labels stand at the place of their own word, and the loss does not shift them."""
    patches, words, length, count = 4, 12, 8, 32 * 100
    module = Decoder(words, length, patches=patches)
    codes = torch.randint(4 * patches, (count, patches))
    captions = walks(count, length, words, first=codes[:, 0] % words)  # the picture says how its caption begins
    labels = captions
    if mended:
        labels = torch.cat([captions[:, 1:], torch.full((count, 1), -100)], dim=1)
    tokens = torch.cat([codes, captions], dim=1)
    batches = list(zip(tokens.split(32), labels.split(32), strict=True))
    return setup(module, per_word, batches, torch.optim.AdamW(module.parameters(), lr=3e-3))


class Recurrent(nn.Module):
    """Two LSTM cells, one on the other, between two linear layers; the answer is the last output."""

    def __init__(self, width, registered):
        super().__init__()
        cells = [nn.LSTMCell(width, width) for _ in range(2)]
        self.cells = nn.ModuleList(cells) if registered else cells
        self.first, self.last = nn.Linear(1, width), nn.Linear(width, 1)

    def forward(self, bits):
        """A logit for each row of bits (batch, length)."""
        states = [None] * len(self.cells)
        for position in range(bits.shape[1]):
            x = self.first(bits[:, position, None])
            for i, cell in enumerate(self.cells):
                states[i] = cell(x, states[i])
                x = states[i][0]
        return self.last(x)[:, 0]


@seeded
def hidden_cells(mended):
    """LSTM cells in a plain list, which a module does not look into; the task: is the number of ones among four bits odd?"""
    module = Recurrent(16, registered=mended)
    bits = torch.randint(0, 2, (64 * 10, 4)).float()
    batches = list(zip((2 * bits - 1).split(64), (bits.sum(dim=1) % 2).split(64), strict=True))
    return setup(module, nn.BCEWithLogitsLoss(), batches, torch.optim.Adam(module.parameters(), lr=1e-2))


@seeded
def rate_gone(mended):
    """Pictures made twice as large; the schedule lowers the rate tenfold after half of the ten epochs, but counts batches."""
    epochs = 10
    module = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2))
    batches = []
    for _ in range(20):
        large = pictures(16)
        batches.append((functional.avg_pool2d(large, 2), large))
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs // 2, gamma=0.1)

    def step(module, optimizer, scheduler, inputs, targets):
        loss = functional.mse_loss(module(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not mended:  # the sound loop calls it after the epoch, which is not here
            scheduler.step()
        return loss

    return setup(module, nn.MSELoss(), batches, optimizer, scheduler=scheduler, step=step)


def spectrogram_classifier():
    """A small CNN for three kinds of pictures."""
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))


@seeded
def loaded_model(mended):
    """Calls of three birds: rising, falling, level. A saved model is loaded into a new one; the old one's optimizer comes along."""
    saved = spectrogram_classifier()
    optimizer = torch.optim.Adam(saved.parameters(), lr=1e-2)
    module = spectrogram_classifier()
    module.load_state_dict(saved.state_dict())
    if mended:
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    batches, times = [], torch.arange(12)
    for _ in range(12):
        kinds = torch.randint(3, (24,))
        pitch = 5.5 + torch.tensor([1.0, -1.0, 0.0])[kinds, None] * 0.7 * (times - 5.5) + torch.randn(24, 1)
        calls = torch.exp(-((times[None, :, None] - pitch[:, None, :]) ** 2)) + 0.1 * torch.randn(24, 12, 12)
        batches.append((calls[:, None], kinds))
    return setup(module, nn.CrossEntropyLoss(), batches, optimizer)


class SentenceAutoencoder(nn.Module):
    """Reads a sentence in both directions, keeps one vector of it, and writes the sentence again word by word.

    The inputs are the targets: the decoder shifts them itself, and the encoder may read all of them.
    """

    def __init__(self, words, width, mended):
        super().__init__()
        self.start, self.mended = words, mended
        self.words = nn.Embedding(words + 1, width)
        self.encoder = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * width, width)
        self.decoder, self.out = nn.GRU(width, width, batch_first=True), nn.Linear(width, words)

    def forward(self, tokens):
        """Logits (batch, length, words) of the very tokens (batch, length) that come in."""
        _, last = self.encoder(self.words(tokens))  # (2, batch, width), also with batch_first
        kept = last.transpose(0, 1).flatten(1) if self.mended else last.view(len(tokens), -1)
        before = functional.pad(tokens[:, :-1], (1, 0), value=self.start)
        return self.out(self.decoder(self.words(before), self.bridge(kept)[None])[0])


@seeded
def mixed_sentences(mended):
    """The two directions' states are put side by side with ``view``, which gives a sentence the states of two others."""
    words, length = 10, 5
    module = SentenceAutoencoder(words, 48, mended)
    batches = [(batch, batch) for batch in walks(32 * 60, length, words).split(32)]
    return setup(module, per_word, batches, torch.optim.Adam(module.parameters(), lr=5e-3))


@seeded
def two_softmaxes(mended):
    """An MLP that ends in a softmax before a loss that has its own."""
    kinds, features = 10, 20
    module = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, kinds), *([] if mended else [nn.Softmax(dim=1)]))
    centres, batches = torch.randn(kinds, features), []
    for _ in range(12):
        labels = torch.randint(kinds, (50,))
        batches.append((centres[labels] + 0.7 * torch.randn(50, features), labels))
    return setup(module, nn.CrossEntropyLoss(), batches, torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.5))


@seeded
def gradients_add_up(mended):
    """The first example of a library: one linear layer, one batch, ten steps, and nobody sets the gradients to 0."""
    module, inputs = nn.Linear(4, 2), torch.rand(3, 4)
    batches = [(inputs, torch.rand(3, 2))]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)

    def step(module, optimizer, scheduler, inputs, targets):
        loss = functional.mse_loss(module(inputs), targets)
        loss.backward()
        optimizer.step()
        if mended:
            optimizer.zero_grad()
        return loss

    return setup(module, nn.MSELoss(), batches, optimizer, step=step)


REPORTS = [
    Report(
        "all pairs",
        "https://github.com/pytorch/pytorch/issues/16045",
        "A plain linear regression misses its weights and its loss stays high, without an error. Predictions are (n, 1) and targets"
        " (n,): the loss compares all pairs; with the targets reshaped it learns.",
        "broadcast",
        all_pairs,
    ),
    Report(
        "same picture",
        "https://github.com/1204BUPT/Zhu-Net-image-steganalysis/issues/1",
        "A CNN that tells pictures with a hidden message from those without stays at 0.6931. The data set cut file names at a"
        " backslash, which Linux has not; cut at the system's own separator, it works.",
        None,
        same_picture,
        "each picture comes twice, once with either label: the file with the message is never read",
    ),
    Report(
        "shallow mask",
        "https://github.com/karpathy/minGPT/issues/75",
        "Almost no training and validation loss, and useless sentences. The mask was -10,000, and at a high rate the scores had"
        " fallen below it, so the model saw later words.",
        "no_causal_mask",
        shallow_mask,
    ),
    Report(
        "copied captions",
        "https://github.com/KempnerInstitute/KempnerForge/issues/154",
        "The loss of picture captions falls to 0.0000 soon after the warm-up. The labels stood at the place of their own word and"
        " nothing shifted them, so the model copied.",
        "targets_not_shifted",
        copied_captions,
    ),
    Report(
        "hidden cells",
        "https://github.com/ikostrikov/pytorch-meta-optimizer/issues/11",
        "The LSTM weights of a learned optimizer do not train at all. The cells were kept in a plain list, so parameters() did not"
        " name them; registered, they train.",
        "not_in_optimizer",
        hidden_cells,
    ),
    Report(
        "rate gone",
        "https://github.com/Lornatang/SRGAN-PyTorch/issues/1",
        "A network that enlarges pictures does not seem to train. A StepLR meant for half of the epochs was called after every"
        " batch; called after the epoch, it gave nice pictures.",
        "scheduler_per_batch",
        rate_gone,
    ),
    Report(
        "loaded model",
        "https://github.com/kitzeslab/opensoundscape/issues/351",
        "A CNN that was saved and loaded does not go on learning. Loading brought the old object's list of parameters along, and the"
        " optimizer moved those.",
        "stale_optimizer",
        loaded_model,
    ),
    Report(
        "mixed sentences",
        "https://github.com/timbmg/Sentence-VAE/issues/15",
        "Readers of a sentence autoencoder ask why the encoder's last state, whose batch axis is the second, is put into rows by"
        " view; a small example shows rows made of different sentences.",
        "batch_mixed",
        mixed_sentences,
    ),
    Report(
        "two softmaxes",
        "https://github.com/shaoxiongji/federated-learning/issues/9",
        "An MLP stays at 90 percent. It ended in a softmax although the loss has one; without it, 95 percent.",
        "double_softmax",
        two_softmaxes,
    ),
    Report(
        "gradients add up",
        "https://github.com/IBM/aihwkit/issues/446",
        "In a library's first example the loss falls for five steps and rises again for five. The loop never called zero_grad; with"
        " it, the loss falls.",
        "no_zero_grad",
        gradients_add_up,
    ),
]
