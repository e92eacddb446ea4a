"""How weights begin: at zero, with dead units, with saturated ones."""

from torch import nn
from torch.nn import functional as F

from benchmarks.torch_setups import data
from benchmarks.torch_setups.case import CLASSES, LANGUAGE, OTHER, setup
from benchmarks.torch_setups.loops import alone, each_word, looped
from benchmarks.torch_setups.models import CNN, GPT, LSTM, Autoencoder, Block, Tagger, feed_forward, mlp

HAND = "GPT by hand"


@setup("all layers begin at zero", "MLP, classifier", "zero_weights", CLASSES)
def _(seed):
    model = mlp()
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return looped(model, F.cross_entropy, data.points(seed))


@setup("feed-forward layers begin at zero", HAND, "zero_weights", LANGUAGE)
def _(seed):
    model = GPT()
    for block in model.blocks:
        for layer in block.mlp:
            if isinstance(layer, nn.Linear):  # the last alone would have been enough, and right
                nn.init.zeros_(layer.weight)
    return alone(model, each_word, data.next_words(seed))


@setup("matrices set to zero", "nn.TransformerEncoder, tagger", "zero_weights", OTHER)
def _(seed):
    model = Tagger()
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.constant_(p, 0.0)  # xavier_uniform_ was meant
    return looped(model, each_word, data.tags(seed))


@setup("encoder and decoder begin at zero", "autoencoder", "zero_weights", OTHER)
def _(seed):
    model = Autoencoder()
    for p in model.parameters():
        p.data.zero_()
    return alone(model, F.mse_loss, data.themselves(seed))


@setup("biases far below zero", "MLP, classifier", "dead_units", CLASSES)
def _(seed):
    model = mlp()
    nn.init.constant_(model[2].bias, -10.0)
    return alone(model, F.cross_entropy, data.points(seed))


@setup("norm shifted far below zero", "CNN", "dead_units", CLASSES)
def _(seed):
    model = CNN()
    nn.init.constant_(model.features[5].bias, -8.0)
    return looped(model, F.cross_entropy, data.pictures(seed))


class ReLUBlock(Block):
    """With ReLU inside."""

    def __init__(self, width, attention):
        super().__init__(width, attention, feed_forward(width, nn.ReLU))


@setup("feed-forward layer dead", HAND, "dead_units", LANGUAGE)
def _(seed):
    model = GPT(block=ReLUBlock)
    for block in model.blocks:
        nn.init.constant_(block.mlp[0].bias, -6.0)
    return alone(model, each_word, data.next_words(seed))


@setup("decoder dead", "autoencoder", "dead_units", OTHER)
def _(seed):
    model = Autoencoder()
    model.decoder[0].bias.data.fill_(-5.0)
    return looped(model, F.mse_loss, data.themselves(seed))


@setup("pixels from 0 to 255 into sigmoids", "MLP, pictures", "saturated", CLASSES)
def _(seed):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 4))
    nn.init.normal_(model[1].weight, std=0.5)
    return alone(model, F.cross_entropy, data.pictures(seed, brightest=255))


@setup("weights of 5 into tanh", "MLP, regression", "saturated", OTHER)
def _(seed):
    model = mlp(6, 1, activation=nn.Tanh)
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=5.0)
    return looped(model, F.mse_loss, data.curve(seed))


@setup("gates saturated", "LSTM", "saturated", LANGUAGE)
def _(seed):
    model = LSTM()
    for name, p in model.rnn.named_parameters():
        if name.startswith("weight"):
            nn.init.normal_(p, std=10.0)  # 0.1 was meant
    return alone(model, each_word, data.next_words(seed))


@setup("tanh saturated, autoencoder", "autoencoder", "saturated", OTHER)
def _(seed):
    model = Autoencoder(activation=nn.Tanh)
    for layer in (model.encoder[0], model.decoder[0]):
        nn.init.normal_(layer.weight, std=8.0)
    return looped(model, F.mse_loss, data.themselves(seed))
