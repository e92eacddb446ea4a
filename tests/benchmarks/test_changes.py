import re

import pytest

from benchmarks import changes
from cllm_lib import claims
from cllm_lib.claims import changed, changed_layers, registry

STORED = registry.evidence_file(changes.PAGE)


def test_the_stored_page_is_what_the_stored_runs_say(tmp_path):
    changes.write(tmp_path)
    assert (tmp_path / changes.PAGE).read_bytes() == STORED.read_bytes()
    assert (tmp_path / changed.FILE).read_bytes() == registry.evidence_file(changed.FILE).read_bytes()


def test_the_page_has_every_comparison_with_its_verdict():
    page = STORED.read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("|")]
    for one in claims.changes():
        told = [line for line in lines if line.startswith(f"| {one.name} ") and f"{one.effect:+.3f}" in line and one.verdict in line]
        assert told, one.line
    assert f"all {len(changed.comparisons())} comparisons" in page
    assert str(STORED.parent) not in page


def test_the_page_says_at_which_rate_and_size_each_was_run():
    page = STORED.read_text(encoding="utf-8")
    for text in changed_layers.TEXTS:
        table = page.split(f"| {text} ")[1].split("\n\n")[0]
        for variant in changed_layers.VARIANTS:
            cells = [cell.strip() for cell in re.search(rf"^\| {re.escape(variant)} .*$", table, re.MULTILINE)[0].split("|")[2:5]]
            kept = [claims.values("changed_layers", variant, measure, text)[0] for measure in ("rate", "d_ff", "parameters")]
            assert [float(cell.replace(",", "")) for cell in cells] == pytest.approx(kept)


def test_a_change_that_is_not_compared_leaves_its_cells_empty():
    assert changes.cells("GELU", changed_layers.SINES, "prose", claims.changes("layer")) == ["", ""]
