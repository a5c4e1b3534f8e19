"""Reads tables of examples from CSV, TSV, JSON lines and Parquet: one module a format."""

from acclimate.adapters.tables.reading import read_table
from acclimate.adapters.tables.source_files import Limits

__all__ = ["Limits", "read_table"]
