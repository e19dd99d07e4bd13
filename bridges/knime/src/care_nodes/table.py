"""Tables and errors, between KNIME's API and plain Python."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import knime.extension as knext
import pandas as pd

from carezoo.errors import CarezooError
from carezoo.progress import Progress
from carezoo_knime.cells import fresh_names

Columns = Mapping[str, type]
"""Name and Python type of new columns: str, float, int, or PICTURE."""

PICTURE = bytes
"""Stands for a cell with a picture; the values are arrays of uint8 with axes YX."""


def is_path(column: knext.Column) -> bool:
    """Return whether a column can hold paths: text, or KNIME's own type Path."""
    return column.ktype == knext.string() or "FSLocation" in str(getattr(column.ktype, "logical_type", ""))


@functools.cache
def _picture_type() -> Any:
    import PIL.Image

    return knext.logical(PIL.Image.Image)


def ktype(kind: type) -> Any:
    """Return KNIME's type for a Python type of `Columns`."""
    plain = {str: knext.string, float: knext.double, int: knext.int64}
    return plain[kind]() if kind in plain else _picture_type()


def extend_schema(schema: knext.Schema, columns: Columns) -> knext.Schema:
    """Return `schema` with `columns` after it, under names that are free."""
    for wanted, name in fresh_names(columns, schema.column_names).items():
        schema = schema.append(knext.Column(ktype(columns[wanted]), name))
    return schema


def schema_of(columns: Columns) -> knext.Schema:
    """Return the schema of a table with these columns and no others."""
    return knext.Schema.from_columns([knext.Column(ktype(kind), name) for name, kind in columns.items()])


def with_columns(frame: pd.DataFrame, columns: Columns, rows: Sequence[Sequence[Any]]) -> knext.Table:
    """Return the table `frame` with the values of `rows` as new columns, one row each; None is a missing cell."""
    frame = frame.copy()
    for i, (wanted, name) in enumerate(fresh_names(columns, frame.columns).items()):
        frame[name] = _series([row[i] for row in rows], columns[wanted], frame.index)
    return knext.Table.from_pandas(frame)


def _series(values: list[Any], kind: type, index: pd.Index) -> pd.Series:
    """Return a column of one type, also where the first or every cell is missing."""
    if kind is PICTURE:
        import PIL.Image

        pictures = [None if value is None else PIL.Image.fromarray(value) for value in values]
        return pd.Series(pictures, index=index, dtype=ktype(PICTURE).to_pandas())
    dtypes = {str: "string", float: "Float64", int: "Int64"}
    return pd.Series(values, index=index, dtype=dtypes[kind])


@contextmanager
def translate_errors(kind: type[Exception] = RuntimeError) -> Iterator[None]:
    """Turn carezoo's errors into `kind`, whose message is all that KNIME shows; for a dialog InvalidParametersError."""
    try:
        yield
    except CarezooError as error:
        raise kind(str(error)) from error


def progress_of(context: knext.ExecutionContext) -> Progress:
    """Return the function that shows KNIME how far the work is."""
    return lambda done, total, what: context.set_progress(min(done / max(total, 1), 1.0), what)
