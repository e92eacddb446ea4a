"""How near numbers came that a reader wrote down before a run: a score, kindly."""

EPOCHS = (1, 10, 30)
PROMISED = {1: 7.5, 10: 5.0}  # documents 000 to 002, for their own fix
NEAR = 0.5  # nats: a factor of 1.6 in the number of words one hesitates between


def score(numbers, losses):
    """Say how near three numbers came that were written down before the run; without them the documents' are scored.

    Parameters
    ----------
    numbers : sequence of 3 float, dict of 3, or None
        What exercise 10.1 returned.
    losses : sequence of float
        Mean loss of each epoch.
    """
    measured = {epoch: losses[epoch - 1] for epoch in EPOCHS}
    if numbers is None:
        print("No numbers were written down, which is fine. The documents' own, made before any run, were these:")
        told, who = PROMISED, "promised"
    else:
        values = numbers.values() if isinstance(numbers, dict) else numbers
        told, who = dict(zip(EPOCHS, map(float, values), strict=True)), "you"
    for epoch, value in told.items():
        print(f"epoch {epoch:2}: {who} {value:.2f}, measured {measured[epoch]:.2f}: off by {abs(value - measured[epoch]):.2f}")
    if numbers is not None:
        print(verdict(told, measured))


def verdict(told, measured):
    """One kind sentence."""
    near = sum(abs(told[epoch] - measured[epoch]) <= NEAR for epoch in EPOCHS)
    ahead = {epoch: abs(PROMISED[epoch] - measured[epoch]) - abs(told[epoch] - measured[epoch]) for epoch in PROMISED}
    yours, ties = [epoch for epoch in ahead if ahead[epoch] > 0], [epoch for epoch in ahead if ahead[epoch] == 0]
    if len(ties) == 2:
        beside = "you and the documents are equally near at epochs 1 and 10"
    elif ties:
        who = "you were" if yours else "the documents were"
        beside = f"at epoch {ties[0]} you and the documents are equally near, at the other {who} nearer"
    elif len(yours) == 2:
        beside = f"you were nearer than the documents at both of theirs{'' if near else ', and a picture to correct is worth having'}"
    else:
        against = ("the documents were nearer at epochs 1 and 10", "you and the documents share epochs 1 and 10, one each")
        beside = against[len(yours)]
    return f"Within {NEAR} at {near} of 3; {beside}."
