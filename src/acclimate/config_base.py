"""What all sections of an adaptation.yaml are made of, and the table of examples that several of them name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Encoding = Literal["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]


class Section(BaseModel):
    """Base of every section: frozen, closed, no silent coercion of strings to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataSpec(Section):
    """A table of examples and which of its columns mean what."""

    data: str = Field(
        description="CSV, TSV, JSONL or Parquet file, or a folder of such files: a path, s3://BUCKET/KEY or "
        "dvc://PATH@REV; for images a folder with a folder of images for each label, or Parquet with their bytes",
        min_length=1,
    )
    text: str = Field("text", description="column that holds the text; of instruction pairs the prompt", min_length=1)
    image: str = Field("image", description="column of a Parquet file that holds encoded images", min_length=1)
    label: str | None = Field(
        "label", description="column that holds the label; null if there is none, as for text-generation"
    )
    answer: str | None = Field(
        None, description="column that holds the answer; for text-generation; null: plain text", min_length=1
    )
    group: str | None = Field(None, description="column of groups that must never be split, e.g. the author")
    split: str | None = Field(
        None,
        description="column with train, validation or test, where splits are given; a quarter of train becomes "
        "validation where none is",
    )
    slices: list[str] = Field(default_factory=list, description="columns whose values are reported apart")
    encoding: Encoding = Field("utf-8", description="encoding of text files; a UTF-8 BOM is always accepted")
    format: Literal["csv", "tsv", "jsonl", "parquet", "image-folder"] | None = Field(
        None, description="file format; by default from the file's ending"
    )
    licence: str | None = Field(None, description="SPDX name; without it target data count as your own")


class PoolSpec(Section):
    """Unlabelled texts of the target's domain, to pretrain on before fine-tuning. For text-classification only."""

    data: str = Field(
        description="CSV, TSV, JSONL or Parquet file, or a folder of such files: a path, s3://BUCKET/KEY or "
        "dvc://PATH@REV",
        min_length=1,
    )
    text: str = Field("text", description="column that holds the text", min_length=1)
    group: str | None = Field(
        None, description="column of groups, named as in the target: those of its validation and test rows are left out"
    )
    encoding: Encoding = Field("utf-8", description="encoding of text files; a UTF-8 BOM is always accepted")
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = Field(
        None, description="file format; by default from the file's ending"
    )
    licence: str | None = Field(None, description="SPDX name; without it a run with a pool is refused")

    @property
    def table(self) -> DataSpec:
        """The pool as a table without labels."""
        return DataSpec.model_validate({**self.model_dump(), "label": None})
