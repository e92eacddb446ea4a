"""Sound networks without words: points, pictures, autoencoders."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, OTHER, setup
from benchmarks.torch_setups.loops import accumulated, alone, clipped, looped, scheduled, train
from benchmarks.torch_setups.models import CNN, Autoencoder, mlp

POINTS, CURVE = "MLP, classifier", "MLP, regression"


@setup("MLP", POINTS, task=CLASSES)
def _(seed):
    return alone(mlp(), F.cross_entropy, data.points(seed))


@setup("MLP, SGD with momentum and decay", POINTS, task=CLASSES)
def _(seed):
    def step(module, optimizer, scheduler, inputs, targets):
        F.cross_entropy(module(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return looped(model, F.cross_entropy, data.points(seed), optimizer, step=step)


@setup("MLP with BatchNorm and dropout", POINTS, task=CLASSES)
def _(seed):
    model = nn.Sequential(
        nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Linear(32, 5),
    )  # fmt: skip
    return looped(model, F.cross_entropy, data.points(seed))


@setup("MLP, class weights", POINTS, task=CLASSES)
def _(seed):
    weights = torch.tensor([0.5, 1.0, 2.0, 1.0, 0.7])
    return looped(mlp(), nn.CrossEntropyLoss(weight=weights), data.points(seed))


@setup("MLP, label smoothing, trained", POINTS, task=CLASSES, trained=True)
def _(seed):
    return train(looped(mlp(), nn.CrossEntropyLoss(label_smoothing=0.1), data.points(seed)))


@setup("MLP, several labels", "MLP, several labels", task=OTHER)
def _(seed):
    return looped(mlp(10, 6), nn.BCEWithLogitsLoss(), data.several_labels(seed))


@setup("MLP, one label, a weight for the rare", "MLP, several labels", task=OTHER)
def _(seed):
    return alone(mlp(10, 1), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0])), [(x, y[:, :1]) for x, y in data.several_labels(seed)])


@setup("MLP, Sigmoid and BCELoss", "MLP, several labels", task=OTHER)
def _(seed):
    return looped(mlp(10, 6, last=(nn.Sigmoid(),)), nn.BCELoss(), data.several_labels(seed))


@setup("MLP of tanh", POINTS, task=CLASSES)
def _(seed):
    return alone(mlp(activation=nn.Tanh), F.cross_entropy, data.points(seed))


class Residual(nn.Module):
    """Two blocks around which the input goes, each beginning as the identity."""

    def __init__(self, width=32):
        super().__init__()
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 5)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(2))
        for block in self.blocks:
            nn.init.zeros_(block[2].weight)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


@setup("MLP with residual connections from zero", POINTS, task=CLASSES)
def _(seed):
    return looped(Residual(), F.cross_entropy, data.points(seed))


@setup("MLP, trained to the end", POINTS, task=CLASSES, trained=True)
def _(seed):
    return train(looped(mlp(), F.cross_entropy, data.points(seed)), 300)


@setup("MLP, LogSoftmax and NLLLoss", POINTS, task=CLASSES)
def _(seed):
    return looped(mlp(last=(nn.LogSoftmax(dim=1),)), nn.NLLLoss(), data.points(seed))


@setup("MLP, LogSoftmax and cross-entropy, which is the same", POINTS, task=CLASSES)
def _(seed):
    return alone(mlp(last=(nn.LogSoftmax(dim=-1),)), nn.CrossEntropyLoss(), data.points(seed))


@setup("MLP, OneCycleLR", POINTS, task=CLASSES)
def _(seed):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=1_000)
    return looped(model, F.cross_entropy, data.points(seed), optimizer, schedule, scheduled(F.cross_entropy))


@setup("MLP, trained in bfloat16 under autocast", POINTS, task=CLASSES, trained=True)
def _(seed):
    def step(module, optimizer, scheduler, inputs, targets):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = F.cross_entropy(module(inputs), targets)
        value.backward()
        optimizer.step()

    return train(looped(mlp(), F.cross_entropy, data.points(seed), step=step))


@setup("MLP, regression", CURVE, task=OTHER)
def _(seed):
    return alone(mlp(6, 1), F.mse_loss, data.curve(seed))


@setup("MLP, regression by Huber's loss, clipped at 1", CURVE, task=OTHER)
def _(seed):
    model = mlp(6, 1, activation=nn.SiLU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return looped(model, nn.HuberLoss(), data.curve(seed), optimizer, step=clipped(nn.HuberLoss()))


@setup("MLP, regression, trained", CURVE, task=OTHER, trained=True)
def _(seed):
    model = mlp(6, 1)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    return train(looped(model, F.mse_loss, data.curve(seed), optimizer))


@setup("MLP, regression, pieces averaged", CURVE, task=OTHER)
def _(seed):
    model = mlp(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return looped(model, F.mse_loss, data.curve(seed), optimizer, step=accumulated(F.mse_loss, 4))


def gaussian(found, targets):
    """A mean and the logarithm of a variance for each point."""
    mean, log_variance = found.chunk(2, dim=1)
    return F.gaussian_nll_loss(mean, targets, log_variance.exp())


@setup("MLP, regression with a variance", CURVE, task=OTHER)
def _(seed):
    return looped(mlp(6, 2), gaussian, data.curve(seed))


@setup("MLP, regression, warm-up from 0", CURVE, task=OTHER)
def _(seed):
    model = mlp(6, 1)
    nn.init.zeros_(model[4].weight)
    nn.init.zeros_(model[4].bias)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, step / 15))
    return looped(model, F.mse_loss, data.curve(seed), optimizer, schedule, scheduled(F.mse_loss))


@setup("CNN with BatchNorm", "CNN", task=CLASSES)
def _(seed):
    return alone(CNN(), F.cross_entropy, data.pictures(seed))


@setup("CNN, StepLR after each epoch", "CNN", task=CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    return looped(model, F.cross_entropy, data.pictures(seed), optimizer, StepLR(optimizer, step_size=1, gamma=0.1))


@setup("CNN, the rate falls when the loss does not", "CNN", task=CLASSES)
def _(seed):
    model = CNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return looped(model, F.cross_entropy, data.pictures(seed), optimizer, ReduceLROnPlateau(optimizer, patience=2))


@setup("CNN, trained", "CNN", task=CLASSES, trained=True)
def _(seed):
    return train(looped(CNN(), F.cross_entropy, data.pictures(seed)))


@setup("CNN, features frozen on purpose", "CNN", task=CLASSES, trained=True)
def _(seed):
    trained = train(looped(CNN(), F.cross_entropy, data.pictures(seed)), 60)
    model = trained["module"]
    model.features.requires_grad_(False)
    model.head = nn.Linear(96, 4)
    return trained | {"optimizer": torch.optim.Adam(model.head.parameters(), lr=3e-3)}


@setup("CNN with GroupNorm, class weights", "CNN", task=CLASSES)
def _(seed):
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.25, 1.0, 1.5, 1.25]))
    return looped(CNN(norm=lambda width: nn.GroupNorm(4, width)), loss, data.pictures(seed))


@setup("autoencoder", "autoencoder", task=OTHER)
def _(seed):
    return alone(Autoencoder(), F.mse_loss, data.themselves(seed))


@setup("autoencoder, trained", "autoencoder", task=OTHER, trained=True)
def _(seed):
    return train(looped(Autoencoder(), F.mse_loss, data.themselves(seed)))


class Denoising(Autoencoder):
    """Noise in training only."""

    def forward(self, x):
        if self.training:
            x = x + 0.2 * torch.randn_like(x)
        return super().forward(x)


@setup("autoencoder, noise in training only", "autoencoder", task=OTHER)
def _(seed):
    return looped(Denoising(), F.mse_loss, data.themselves(seed))


class Variational(Autoencoder):
    """Draws from the middle in training, takes its mean at evaluation; gives the reconstruction and the divergence."""

    def __init__(self):
        super().__init__(middle=12)
        self.decoder[0] = nn.Linear(6, 24)

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        middle = mean + (torch.randn_like(mean) * (log_variance / 2).exp() if self.training else 0.0)
        return self.decoder(middle), -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


@setup("variational autoencoder", "autoencoder", task=OTHER)
def _(seed):
    def loss(found, targets):
        return F.mse_loss(found[0], targets) + 0.01 * found[1]

    return looped(Variational(), loss, data.themselves(seed))


class TiedAutoencoder(nn.Module):
    """The decoder is the encoder turned."""

    def __init__(self, features=20, middle=8):
        super().__init__()
        self.encoder = nn.Linear(features, middle)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        return F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.t(), self.bias)


@setup("autoencoder, tied", "autoencoder", task=OTHER)
def _(seed):
    return alone(TiedAutoencoder(), F.mse_loss, data.themselves(seed))


def among_the_batch(found, targets):
    """Each example's own target among those of the whole batch: the loss compares examples, the model does not."""
    found, targets = F.normalize(found, dim=1), F.normalize(targets, dim=1)
    return F.cross_entropy(found @ targets.t() / 0.2, torch.arange(len(found)))


@setup("contrastive loss", "MLP, contrastive", task=OTHER)
def _(seed):
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 20))
    return looped(model, among_the_batch, [(x.flip(1), y) for x, y in data.themselves(seed)])
