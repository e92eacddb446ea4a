"""A small language model in PyTorch. Its loss stands still, and nothing crashes."""

import torch
from torch import nn
from torch.nn import functional as F

TEXT = """the early bird catches the worm . a rolling stone gathers no moss . the pen is mightier than the sword .
all that glitters is not gold . the apple falls not far from the tree . a bird in the hand is worth two in the bush ."""
WORDS = sorted(set(TEXT.split()))
IDS = torch.tensor([WORDS.index(word) for word in TEXT.split()])
TIME = 12


class Model(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), width)
        self.positions = nn.Parameter(0.1 * torch.randn(TIME, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.output = nn.Linear(width, len(WORDS))

    def forward(self, ids):
        x = self.embedding(ids) + self.positions
        x = self.layer(x)
        return self.output(x).softmax(-1)


def batches(count=20, size=8):
    starts = torch.randint(len(IDS) - TIME, (count, size))
    return [tuple(torch.stack([IDS[s + k : s + k + TIME] for s in row]) for k in (0, 1)) for row in starts]


def loss(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def step(model, optimizer, scheduler, inputs, targets):
    optimizer.zero_grad()
    loss(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()


def training():
    torch.manual_seed(0)
    model, seen = Model(), batches()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    return model, loss, *seen[0], optimizer, scheduler, step, seen
