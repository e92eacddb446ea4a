"""The checklist as it is printed."""

import re

from browser.labs import needs_a_browser
from notebooks.books import load_tool

from cllm_lib.instruments.torch import CAUSES

printing = load_tool("print_checklist")


def test_what_is_printed_is_the_table_and_nothing_of_the_page_around_it():
    html = printing.page(printing.checklist())
    assert html.count("<table>") == 1
    assert re.findall(r"<tr>\s*<td><code>(\w+)</code>", html) == list(CAUSES)
    assert "print_checklist" not in html
    assert "<pre>" not in html


def test_a_page_with_more_on_it_than_fits_is_seen():
    assert printing.pages(b"/Type /Page\n/Type /Pages /Type/Page") == 2


def test_without_the_name_of_a_file_it_says_how_it_is_called(capsys):
    assert printing.main([]) == 2
    assert "print_checklist.py checklist.pdf" in capsys.readouterr().err


class TestInABrowser:
    pytestmark = needs_a_browser

    def test_the_checklist_fits_on_one_page(self, tmp_path, capsys):
        assert printing.main([str(tmp_path / "checklist.pdf")]) == 0
        assert capsys.readouterr().out.endswith("checklist.pdf: 1 page\n")
        assert (tmp_path / "checklist.pdf").read_bytes().startswith(b"%PDF")

    def test_three_of_them_do_not(self):
        assert printing.pages(printing.pdf(printing.page(3 * printing.checklist()))) == 3
