"""Gradients that do not arrive: a cut graph, frozen weights, weights that the optimizer does not have, copies for ties."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import alone, clipped, each_word, looped
from benchmarks.torch_setups.models import CNN, GPT, LSTM, Autoencoder, FusedAttention, Tagger, TextClassifier, TorchAttention, mlp

HAND, FUSED, MULTIHEAD = "GPT by hand", "GPT, scaled_dot_product_attention", "GPT, nn.MultiheadAttention"


class DetachedStates(GPT):
    """A copy of the state for a plot, and then the copy is used."""

    def forward(self, ids):
        x = self.enter(ids)
        for block in self.blocks:
            x = block(x.detach())
        return self.head(self.norm(x))


@setup("states detached between blocks", HAND, "detached", LANGUAGE)
def _(seed):
    return alone(DetachedStates(layers=3), each_word, data.next_words(seed))


class NoGradEncoder(TextClassifier):
    """`no_grad` left over from when the encoder was a fixed one."""

    def forward(self, ids):
        with torch.no_grad():
            x = self.encoder(self.enter(ids))
        return self.head(x.mean(dim=1))


@setup("encoder under no_grad", "nn.TransformerEncoder, classifier", "detached", CLASSES)
def _(seed):
    return looped(NoGradEncoder(), F.cross_entropy, data.topics(seed))


class ThroughNumpy(Autoencoder):
    """The middle rounded by a function of NumPy's."""

    def forward(self, x):
        middle = torch.from_numpy(self.encoder(x).detach().numpy().clip(-3, 3))
        return self.decoder(middle)


@setup("through NumPy", "autoencoder", "detached", OTHER)
def _(seed):
    return alone(ThroughNumpy(), F.mse_loss, data.themselves(seed))


class LookedUpInData(LSTM):
    """Rows taken from `.data`."""

    def forward(self, ids):
        x, _ = self.rnn(self.embedding.weight.data[ids])
        return self.head(x)


@setup("embedding looked up in .data", "LSTM", "detached", LANGUAGE)
def _(seed):
    return looped(LookedUpInData(), each_word, data.next_words(seed))


def _adamw(parameters, rate=3e-3):
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)


@setup("first block left frozen", FUSED, "frozen", LANGUAGE)
def _(seed):
    model = GPT(attention=FusedAttention)
    for p in model.blocks[0].parameters():
        p.requires_grad = False  # for an experiment of the week before
    return looped(model, each_word, data.next_words(seed), _adamw(model.parameters()))


@setup("features left frozen", "CNN", "frozen", CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.features.requires_grad_(False)
    return looped(model, F.cross_entropy, data.pictures(seed), optimizer)


@setup("embedding left frozen", "nn.TransformerEncoder, tagger", "frozen", OTHER)
def _(seed):
    model = Tagger()
    model.embedding.weight.requires_grad = False
    return looped(model, each_word, data.tags(seed), torch.optim.Adam(model.parameters(), lr=2e-3))


@setup("embeddings in no group", HAND, "not_in_optimizer", LANGUAGE)
def _(seed):
    model, decay, rest = GPT(), [], []
    for module in model.modules():  # those with decay and those without; embeddings are neither Linear nor LayerNorm
        if isinstance(module, nn.Linear):
            decay.append(module.weight)
            rest += [] if module.bias is None else [module.bias]
        elif isinstance(module, nn.LayerNorm):
            rest += [module.weight, module.bias]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-3)
    return looped(model, each_word, data.next_words(seed), optimizer, step=clipped(each_word))


@setup("only the head in the optimizer", "CNN", "not_in_optimizer", CLASSES)
def _(seed):
    model = CNN()
    return looped(model, F.cross_entropy, data.pictures(seed), torch.optim.Adam(model.head.parameters(), lr=3e-3))


class LayersInAList(nn.Module):
    """A list of Python's, which `parameters()` does not look into; nn.ModuleList was meant."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 32)
        self.hidden = [nn.Linear(32, 32) for _ in range(3)]
        self.last = nn.Linear(32, 5)

    def forward(self, x):
        x = F.relu(self.first(x))
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.last(x)


@setup("layers in a Python list", "MLP, classifier", "not_in_optimizer", CLASSES)
def _(seed):
    return looped(LayersInAList(), F.cross_entropy, data.points(seed))


@setup("biases forgotten", "LSTM", "not_in_optimizer", LANGUAGE)
def _(seed):
    model = LSTM()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.dim() > 1], lr=3e-3)  # "decay the matrices only"
    return looped(model, each_word, data.next_words(seed), optimizer)


@setup("new head after the optimizer", "nn.TransformerEncoder, classifier", "stale_optimizer", CLASSES)
def _(seed):
    model = TextClassifier(classes=7)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.head = nn.Linear(32, 4)  # four topics, not seven
    return looped(model, F.cross_entropy, data.topics(seed), optimizer)


@setup("vocabulary enlarged after the optimizer", HAND, "stale_optimizer", LANGUAGE)
def _(seed):
    model = GPT(vocab=48)
    optimizer = _adamw(model.parameters())
    old = model.embedding.weight.detach()
    model.embedding, model.head = nn.Embedding(50, 32), nn.Linear(32, 50, bias=False)
    with torch.no_grad():
        model.embedding.weight.mul_(0.05)
        model.embedding.weight[:48] = old
    return looped(model, each_word, data.next_words(seed), optimizer)


@setup("model made anew after the optimizer", "MLP, regression", "stale_optimizer", OTHER)
def _(seed):
    optimizer = torch.optim.Adam(mlp(6, 1).parameters(), lr=3e-3)
    return looped(mlp(6, 1), F.mse_loss, data.curve(seed), optimizer)


@setup("best model copied after the optimizer", "CNN", "stale_optimizer", CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return looped(copy.deepcopy(model), F.cross_entropy, data.pictures(seed), optimizer)


class CopiedHead(GPT):
    """A new Parameter with the same numbers; the Parameter itself was meant."""

    def __init__(self, **options):
        super().__init__(**options)
        self.head.weight = nn.Parameter(self.embedding.weight.detach().clone())


@setup("tied by a new Parameter", FUSED, "untied", LANGUAGE)
def _(seed):
    return alone(CopiedHead(attention=FusedAttention), each_word, data.next_words(seed))


@setup("tied by copy_", "nn.TransformerEncoder, masked words", "untied", OTHER)
def _(seed):
    model = Tagger(classes=40)
    nn.init.normal_(model.embedding.weight, std=0.1)
    model.head.weight.data.copy_(model.embedding.weight.data)
    return looped(model, each_word, data.masked_words(seed))


@setup("tied by deepcopy", "LSTM", "untied", LANGUAGE)
def _(seed):
    model = LSTM()
    nn.init.normal_(model.embedding.weight, std=0.2)
    model.head.weight = copy.deepcopy(model.embedding.weight)
    return looped(model, each_word, data.next_words(seed))


class BranchForgotten(nn.Module):
    """A block without `x +`."""

    def __init__(self, width, attention, inner=None):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention
        self.mlp = inner or nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = self.attention(self.norm1(x))
        return self.mlp(self.norm2(x))


@setup("no residual connection", HAND, "no_residual", LANGUAGE)
def _(seed):
    return alone(GPT(layers=4, block=BranchForgotten), each_word, data.next_words(seed))


class PostNormForgotten(BranchForgotten):
    """The same, norm last."""

    def forward(self, x):
        x = self.norm1(self.attention(x))
        return self.norm2(self.mlp(x))


@setup("no residual connection, norm last", MULTIHEAD, "no_residual", LANGUAGE)
def _(seed):
    return looped(GPT(layers=3, attention=TorchAttention, block=PostNormForgotten), each_word, data.next_words(seed))


class AroundAttentionForgotten(BranchForgotten):
    """Only around attention."""

    def forward(self, x):
        x = self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@setup("no residual around attention", FUSED, "no_residual", LANGUAGE)
def _(seed):
    model = GPT(layers=3, attention=FusedAttention, block=AroundAttentionForgotten)
    return looped(model, each_word, data.next_words(seed), _adamw(model.parameters()))
