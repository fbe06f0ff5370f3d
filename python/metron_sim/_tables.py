"""Tables of runs, for data frames of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    import pandas
    import polars

__all__ = ["Table"]


class Table:
    """A table in memory, which data frames take without a copy by Arrow's PyCapsule interface:
    `polars.DataFrame(table)`, `pyarrow.table(table)`, `duckdb.from_arrow(pyarrow.table(table))`.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Table) -> None:
        self._native = native

    def __len__(self) -> int:
        return len(self._native)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._native.column_names

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self._native.nbytes

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        return self._native.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self._native.__arrow_c_schema__()

    # PyArrow has no types: `Any` says so, where its own name would be an error to a strict checker.
    def to_pyarrow(self) -> Any:
        """As a `pyarrow.Table`, which shares its memory."""
        import pyarrow

        arrow: Any = pyarrow
        return arrow.table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """As a data frame of pandas (needs PyArrow)."""
        return self.to_pyarrow().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """As a data frame of Polars, which shares its memory."""
        import polars

        return polars.DataFrame(self)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self.columns)})"
