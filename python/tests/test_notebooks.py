"""The notebooks run from top to bottom, and are kept with what they show.

`python tests/test_notebooks.py` in `python/` runs them and keeps what they show now.
"""

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


def run(book: Any) -> None:
    """Runs all cells; when that was is not noted."""
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", record_timing=False, coalesce_streams=True
    ).execute()


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_kept(path: Path) -> None:
    for module in ("altair", "vl_convert", "polars", "pyarrow"):
        pytest.importorskip(module)
    book = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 200_000, "notebooks are kept small"
    kept = printed(book)
    run(book)
    assert any(kept)
    assert printed(book) == kept, "run `python tests/test_notebooks.py` and read the difference"


def kept_of(out: Any) -> Any:
    """What is kept of an output: no warnings, whose paths are of one machine, and one form of the others."""
    data = out.get("data")
    if out.get("name") == "stderr" or data == {"text/plain": ""}:
        return None
    for form in ("image/png", "text/plain"):
        if data and form in data:
            out["data"] = {form: data[form]}
            break
    return out


if __name__ == "__main__":
    for one in BOOKS:
        shown = nbformat.read(one, as_version=4)
        metadata = shown.metadata
        run(shown)
        shown.metadata = metadata
        for cell in shown.cells:
            if cell.cell_type == "code":
                cell.outputs = [out for out in map(kept_of, cell.outputs) if out]
        nbformat.write(shown, one)
