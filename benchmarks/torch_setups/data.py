"""Small synthetic data with something to learn in it: a list of batches (inputs, targets), the same for the same seed."""

import torch

PAD = 0  # where there is padding; elsewhere 0 is a word like any other
IGNORED = -100  # PyTorch's own mark of a target that does not count
BATCHES = 8


def generator_of(seed):
    """Random numbers of their own."""
    return torch.Generator().manual_seed(7_919 * seed + 1)


def sizes(seed):
    """Examples in a batch and words in a sequence; never equal, so that axes cannot be taken for each other unseen."""
    return [(8, 16), (6, 12), (12, 20)][seed % 3]


def sentences(seed, count, length, vocab, first=0):
    """Words of a Markov chain (count, length): each word has three usual successors, and low numbers are frequent as short words are."""
    generator = generator_of(seed)
    words = vocab - first
    usual = (words * torch.rand(words, 3, generator=generator) ** 1.5).long()
    usual = torch.where(usual == torch.arange(words)[:, None], (usual + 1) % words, usual)  # no word follows itself
    shares = torch.tensor([0.65, 0.2, 0.1, 0.05])  # the last: any word at all
    now = torch.randint(words, (count,), generator=generator)
    found = [now]
    for _ in range(length - 1):
        choice = torch.multinomial(shares, count, replacement=True, generator=generator)
        other = (now + 1 + torch.randint(words - 1, (count,), generator=generator)) % words
        now = torch.cat([usual[now], other[:, None]], 1)[torch.arange(count), choice]
        found.append(now)
    return torch.stack(found, 1) + first


def _cut(inputs, targets, batch):
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))


def next_words(seed, vocab=50, shift=1):
    """Sentences, and for each word the one `shift` places after it (0: the word itself)."""
    batch, length = sizes(seed)
    ids = sentences(seed, BATCHES * batch, length + 2, vocab)
    return _cut(ids[:, :length].contiguous(), ids[:, shift : length + shift].contiguous(), batch)


def padded_next_words(seed, vocab=50, filler=PAD):
    """As :func:`next_words`, each sentence of its own length, the first of a batch the longest; targets are filled with `filler`."""
    batch, length = sizes(seed)
    ids = sentences(seed, BATCHES * batch, length + 1, vocab, first=1)
    inputs, targets = ids[:, :-1].clone(), ids[:, 1:].clone()
    beyond = _beyond(seed, batch, length)
    inputs[beyond], targets[beyond] = PAD, filler
    return _cut(inputs, targets, batch)


def _beyond(seed, batch, length):
    """Which places lie beyond the end of their sentence."""
    lengths = torch.randint(length // 2, length, (BATCHES * batch,), generator=generator_of(seed + 1))
    lengths[::batch] = length
    return torch.arange(length) >= lengths[:, None]


def topics(seed, vocab=40, classes=4, padded=False):
    """Texts and their topic: half of the words are of the topic's own part of the vocabulary."""
    batch, length = sizes(seed)
    generator, count = generator_of(seed), BATCHES * batch
    labels = torch.randint(classes, (count,), generator=generator)
    part = (vocab - 1) // classes
    own = 1 + labels[:, None] * part + torch.randint(part, (count, length), generator=generator)
    anything = torch.randint(1, vocab, (count, length), generator=generator)
    ids = torch.where(torch.rand(count, length, generator=generator) < 0.5, own, anything)
    if padded:
        ids[_beyond(seed, batch, length)] = PAD
    return _cut(ids, labels, batch)


def tags(seed, vocab=40, classes=5, padded=False, filler=IGNORED):
    """Texts and a tag for each word, which hangs on the word and on the one behind it."""
    batch, length = sizes(seed)
    ids = sentences(seed, BATCHES * batch, length + 1, vocab, first=1)
    kinds = torch.randint(classes, (vocab,), generator=generator_of(seed + 2))
    found = (kinds[ids[:, :-1]] + ids[:, 1:] % 2) % classes
    ids = ids[:, :-1].clone()
    if padded:
        beyond = _beyond(seed, batch, length)
        ids[beyond], found[beyond] = PAD, filler
    return _cut(ids, found, batch)


def masked_words(seed, vocab=40):
    """Texts in which one word of four is hidden (as the last number of the vocabulary), and the hidden words."""
    batch, length = sizes(seed)
    ids = sentences(seed, BATCHES * batch, length, vocab - 1)
    hidden = torch.rand(ids.shape, generator=generator_of(seed + 3)) < 0.25
    hidden[:, 0] |= ~hidden.any(1)
    return _cut(ids.masked_fill(hidden, vocab - 1), ids.masked_fill(~hidden, IGNORED), batch)


def points(seed, features=10, classes=5):
    """Points around a middle for each class; each batch has every class."""
    generator, batch = generator_of(seed), 15
    middles = 1.5 * torch.randn(classes, features, generator=generator)
    labels = torch.arange(BATCHES * batch) % classes
    inputs = middles[labels] + torch.randn(len(labels), features, generator=generator)
    return _cut(inputs, labels, batch)


def several_labels(seed, features=10, labels=6):
    """Points, and for each of several labels whether it holds, as 0.0 or 1.0."""
    generator = generator_of(seed)
    inputs = torch.randn(BATCHES * 16, features, generator=generator)
    return _cut(inputs, (inputs @ torch.randn(features, labels, generator=generator) > 0).float(), 16)


def curve(seed, features=6):
    """Points and a smooth function of them (count, 1)."""
    inputs = torch.randn(BATCHES * 16, features, generator=generator_of(seed))
    targets = torch.sin(2 * inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:3]
    return _cut(inputs, targets, 16)


def pictures(seed, classes=4, side=8, brightest=None):
    """Noisy pictures (1, side, side) of a pattern for each class; with `brightest` as bytes would be, from 0 up to it."""
    generator, batch = generator_of(seed), 12
    patterns = torch.randn(classes, 1, side, side, generator=generator)
    labels = torch.arange(BATCHES * batch) % classes
    inputs = patterns[labels] + 0.8 * torch.randn(len(labels), 1, side, side, generator=generator)
    if brightest is not None:
        inputs = ((inputs + 3) / 6).clamp(0, 1).mul(brightest).round()
    return _cut(inputs, labels, batch)


def themselves(seed, features=20, inner=4):
    """Points on a curved surface of few dimensions, and the same points as targets."""
    generator = generator_of(seed)
    inputs = torch.tanh(
        torch.randn(BATCHES * 16, inner, generator=generator) @ torch.randn(inner, features, generator=generator) / inner**0.5
    )
    return _cut(inputs, inputs.clone(), 16)
