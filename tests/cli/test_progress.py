"""The bar of every command: on a terminal only, one piece of work after the other."""

import io
import sys

from carezoo.cli.progress import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_where_no_person_looks(capsys):
    with Bar() as bar:
        bar(1, 2, "a.tif")
    assert capsys.readouterr().err == ""


def test_each_piece_of_work_begins_anew(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar("step") as bar:
        bar(1, 2, "first step")
        begun = bar._bar
        bar(2, 2, "last step")
        assert bar._bar is begun
        bar(1, 2, "another file")  # as large as the first
        assert bar._bar is not begun
        assert bar._bar.n == 1
        begun = bar._bar
        bar(2, 3, "a larger file")
        assert bar._bar is not begun
        assert (bar._bar.n, bar._bar.total, bar._bar.postfix) == (2, 3, "a larger file")
    assert bar._bar is None
    assert "1/2" in sys.stderr.getvalue()


def test_what_was_done_before_is_not_fast_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar("B") as bar:
        bar(900, 1000, "the rest of a download")
        assert bar._bar.initial == 900
