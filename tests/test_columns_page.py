"""docs/columns.md is what the probes declare."""

from tests.columns_page import PAGE, page


def test_the_page_is_what_the_declarations_say():
    assert PAGE.read_text("utf-8") == page(), "write it anew with: python -m tests.columns_page"
