import re

import pytest
from notebooks.books import read

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


def test_the_page_says_which_rates_lie_at_the_edge_of_those_that_were_tried():
    page = STORED.read_text(encoding="utf-8")
    told = re.search(r"The largest of these rates, 0\.01, was best for (.*)\. There one beyond", page)[1]
    by_text = dict(re.findall(r"([^;]+?) \(([\w-]+)\)", told))
    by_text = {text: variants.strip().split(", ") for variants, text in by_text.items()}
    for text in changed_layers.TEXTS:
        chosen = {variant: claims.values("changed_layers", variant, "rate", text)[0] for variant in changed_layers.VARIANTS}
        assert by_text.get(text, []) == [variant for variant, rate in chosen.items() if rate == 0.01]
    assert changes.at_the_edge("changed_layers", ["as in 2017"], (0.001, 0.003, 0.01), ["prose"]).startswith("None of those")
    assert "smallest of these rates, 0.003, was best for as in 2017 (prose)" in (
        changes.at_the_edge("changed_layers", ["as in 2017"], (0.003, 0.01), ["prose"])
    )


def test_chapter_22_counts_the_cases_at_the_edge():
    new = [variant for variant in changed_layers.VARIANTS if variant not in (changed_layers.OLD, changed_layers.SINES)]
    rates = [claims.values("changed_layers", variant, "rate", text)[0] for variant in new for text in changed_layers.TEXTS]
    old = {claims.values("changed_layers", changed_layers.OLD, "rate", text)[0] for text in changed_layers.TEXTS}
    said = "".join(cell.source for cell in read("22_what_changed_since_2017").cells)
    assert f"in {rates.count(max(changed_layers.RATES))} of the {len(rates)} cases" in said
    assert old == {sorted(changed_layers.RATES)[1]}


def test_a_change_that_is_not_compared_leaves_its_cells_empty():
    assert changes.cells("GELU", changed_layers.SINES, "prose", claims.changes("layer")) == ["", ""]
