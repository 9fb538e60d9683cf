"""The ledger of a relevance program: what each node gets, hands on and books, sample by sample."""

from typing import Any, Final

#: what a sink is for, by the end of its name; other sinks are constants
KINDS: Final = ("bias", "constant", "padding", "expansion", "condition",
                "stabilizer", "undistributed")  # fmt: skip
RELEVANCE_IN: Final = "relevance_in"
RELEVANCE_OUT: Final = "relevance_out"


def kind_of(sink: str) -> str:
    """Return which of `KINDS` a sink is."""
    end = sink.rpartition(".")[2]
    return end if end in KINDS else "constant"


class Ledger:
    """Totals by node and column: `RELEVANCE_IN`, `RELEVANCE_OUT` and `KINDS`.

    A check of the books, computed beside them; nothing is booked by it.
    """

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.open = ""

    def add(self, path: str, column: str, total: Any) -> None:
        """Add a total, shape (batch,), to a column of a node."""
        row = self.entries.setdefault(path, {})
        row[column] = row[column] + total if column in row else total

    def book(self, sink: str, total: Any) -> None:
        """Add what the open node books."""
        self.add(self.open, kind_of(sink), total)
