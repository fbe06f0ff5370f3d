"""The notebooks run from top to bottom, and are kept with what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat", reason="SKIPPED: nbclient is not installed")
nbclient: Any = pytest.importorskip("nbclient", reason="SKIPPED: nbclient is not installed")
pytest.importorskip("ipykernel", reason="SKIPPED: ipykernel is not installed")

BOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_four() -> None:
    assert len(BOOKS) == 4


def printed(book: Any) -> list[str]:
    """What each cell prints."""
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    return ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in cells]


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_kept(path: Path) -> None:
    for module in ("altair", "vl_convert", "polars", "pyarrow"):
        pytest.importorskip(module)
    book = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 200_000, "notebooks are kept small"
    kept = printed(book)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    assert any(kept)
    assert printed(book) == kept
