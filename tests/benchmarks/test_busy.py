from benchmarks import busy
from benchmarks.compare import Ratio
from cllm_lib.model import threads


def test_the_whole_way_in_small(capsys):
    before = busy.PAGE.read_bytes()
    busy.main(["--tiny"])
    assert "| small | as the library chooses |" in capsys.readouterr().out
    assert busy.PAGE.read_bytes() == before


def test_a_goal_is_reached_or_not():
    result = Ratio(ours=0.003, peer=0.002, value=1.5, low=1.4, high=1.6)
    assert busy.row("small", busy.CHOSEN, result, 2.0)[2:] == ["2.0", "3.0", "1.50", "1.40 to 1.60", "2", "reached"]
    assert busy.row("small", busy.CHOSEN, result, 1.4)[-1] == "not reached"
    assert busy.row("small", busy.TWO, result, None)[-2:] == ["", ""]


def test_the_stored_page_says_what_the_library_does():
    page = busy.PAGE.read_text(encoding="utf-8")
    assert f"Below {threads.MANY:,} parameters" in page
    for (size, how), (_, goal) in busy.CASES.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {size}") and f" {how} " in line]
        assert goal is None or line.rstrip("| ").endswith(" reached")


def test_the_two_sizes_lie_on_either_side_of_the_threshold():
    small, large = (busy.Training(size, busy.CHOSEN).trainer.model.flat_parameters.size for size in ("small", "large"))
    assert small < threads.MANY < large
