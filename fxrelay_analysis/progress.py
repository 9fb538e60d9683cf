"""A progress bar over the steps of all categories."""

from tqdm.auto import tqdm


class Progress:
    """Counts steps where they run in this process, and categories wherever they run.

    Parameters
    ----------
    n_categories, n_steps : int
        Categories, and steps of each.
    shown : bool
        Whether to draw the bar. In another process it is never drawn.
    """

    def __init__(self, n_categories: int, n_steps: int, shown: bool) -> None:
        self._n_steps, self._done = n_steps, 0
        total = n_categories * n_steps
        self._bar = tqdm(desc="spray", total=total, unit="step", disable=not shown)

    def __reduce__(self) -> tuple[type["Progress"], tuple[int, int, bool]]:
        return Progress, (0, 0, False)

    def step(self) -> None:
        """Count a step that was done here."""
        self._bar.update(1)

    def category(self, name: str) -> None:
        """Count a category: all its steps are done."""
        self._done += 1
        self._bar.set_postfix_str(name, refresh=False)
        self._bar.update(self._done * self._n_steps - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
