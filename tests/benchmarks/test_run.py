import pytest

from benchmarks import run
from benchmarks.compare import Missing, Ratio


def test_a_table_is_markdown_whose_columns_line_up():
    lines = run.table(["work", "ms"], [["forward", "1.5"], ["all", "12.25"]])
    assert lines == ["| work    | ms    |", "|---------|-------|", "| forward | 1.5   |", "| all     | 12.25 |"]


@pytest.mark.parametrize(("value", "words"), [(0.9, "reached"), (1.0, "reached"), (1.001, "not reached")])
def test_a_row_says_whether_the_goal_is_reached(value, words):
    row = run.speed_row("step", "peer", Ratio(0.1, 0.11, value, 0.8, 1.2), 1.0)
    assert row == ["step", "peer", "100.00", "110.00", f"{value:.2f}", "0.80 to 1.20", "1.0", words]


def test_the_row_of_a_missing_peer_says_so_and_claims_nothing():
    row = run.speed_row("step", "PyTorch", Missing("torch is not installed"), 1.0)
    assert "torch is not installed" in row
    assert row[-1] == ""


class Fixed:
    """Stands for a worker: answers from a table."""

    missing = None

    def __init__(self, loss, weight):
        self.answers = {"step": loss, "parameters": {"a": weight}}

    def call(self, name):
        return self.answers[name]


@pytest.mark.parametrize(
    ("loss", "weight", "ok"), [(2.0, 1.0, True), (2.00001, 1.0, False), (2.0, 1.01, False), (float("nan"), 1.0, False)]
)
def test_nothing_is_timed_unless_the_peers_agree(loss, weight, ok, monkeypatch):
    monkeypatch.setattr(run.peers, "initial_weights", lambda config: {"a": 0.0})
    workers = {run.STEP: Fixed(2.0, 1.0), run.FUSED: Fixed(loss, weight)}
    if ok:
        assert "PyTorch, fused Adam: loss within" in run.check_same_work(None, workers)
    else:
        with pytest.raises(SystemExit, match="PyTorch, fused Adam computes something else.*Nothing was timed"):
            run.check_same_work(None, workers)


def test_the_page_names_conditions_and_no_place():
    text = run.page([run.describe_machine(), "quiet"], ["## A section"])
    assert text.startswith("# Results of make bench\n\nWritten by `make bench`. 128 tokens")
    assert "NumPy" in text
    assert text.endswith("quiet\n\n## A section\n")
    assert str(run.RESULTS.parent) not in text
    assert "://" not in text


def test_the_page_says_what_the_matrix_library_has_been_told():
    assert run.describe_settings({"OPENBLAS_NUM_THREADS": "2", "HOME": "x"}) == "OpenBLAS has been told OPENBLAS_NUM_THREADS=2."
    assert run.describe_settings({}) == "OpenBLAS has been told nothing."


def test_every_pair_can_be_built():
    assert {name for pairs in run.PAIRS.values() for work, peer, _ in pairs for name in (work, peer)} == run.BUILDERS.keys()
