import csv
import math

from cllm_lib.training.history import History


def some():
    return History(
        losses=[2.0, 1.5, 0.1],
        learning_rates=[0.1, 0.1, 0.05],
        gradient_norms=[3.0, 2.0, 1e-300],
        epochs=[1, 1, 2],
        epoch_losses=[1.75],
        validation_losses={2: 1.25},
    )


def test_columns_have_one_entry_a_step():
    columns = some().columns()
    assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(
        ["step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm"], 3
    )
    assert columns["step"] == [1, 2, 3]
    assert math.isnan(columns["validation_loss"][0])
    assert columns["validation_loss"][1] == 1.25


def test_a_csv_file_gives_every_digit_back(tmp_path):
    some().to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == some().losses
    assert [float(row["gradient_norm"]) for row in rows] == some().gradient_norms
    assert [row["validation_loss"] for row in rows] == ["", "1.25", ""]


def test_an_empty_history_is_a_file_with_a_head_only(tmp_path):
    History().to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == "step,epoch,loss,validation_loss,learning_rate,gradient_norm\n"
