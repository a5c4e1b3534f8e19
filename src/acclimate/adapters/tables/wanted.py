"""The columns that are wanted of a table, and what to say when one is missing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from acclimate.adapters.tables.source_files import TableFile

_SHOWN = 20


@dataclass(frozen=True)
class Wanted:
    """Columns to read, the one with the text or the images first.

    Args:
        content: the column of the texts or images.
        required: further columns that must be there.
        optional: columns that may be absent.
        kind: what ``content`` holds, and the field of the configuration that names it.
        answer: a column of further texts, which must be there.
    """

    content: str
    required: Sequence[str]
    optional: Sequence[str]
    kind: Literal["text", "image"] = "text"
    answer: str | None = None

    @property
    def names(self) -> list[str]:
        """All names, each once, the content first."""
        return list(dict.fromkeys([*self.needed, *self.optional]))

    @property
    def needed(self) -> list[str]:
        """Names of the columns that must be there, the content first."""
        return [self.content, *([self.answer] if self.answer else []), *self.required]

    def is_text(self, name: str) -> bool:
        """Whether a column holds texts, which are kept exactly as read."""
        return name == self.answer or (self.kind == "text" and name == self.content)

    def check_header(self, header: Sequence[str], file: TableFile, line: int | None = 1) -> None:
        """Refuse a header in which a column is missing or doubled.

        Args:
            header: all column names.
            file: where they are, for errors.
            line: the header's; None where there is no such line.

        Raises:
            DataError: E-DATA-017 doubled, E-DATA-018 missing.
        """
        seen: set[str] = set()
        for name in header:
            if name and name in seen:
                message = f"the column {name[:60]!r} is there twice"
                raise file.error("E-DATA-017", message, "rename or delete one of them", line)
            seen.add(name)
        for name in dict.fromkeys(self.needed):
            if name not in seen:
                meant = difflib.get_close_matches(name, [known for known in seen if known], n=1, cutoff=0.5)
                shown = ", ".join(known[:60] for known in header[:_SHOWN]) + (", ..." if len(header) > _SHOWN else "")
                other = "answer" if self.answer else "label"
                hint = f"did you mean {meant[0][:60]}? " if meant else f"set {file.section}.{self.kind} or .{other}. "
                message = f"there is no column {name[:60]!r}"
                raise file.error("E-DATA-018", message, f"{hint}the columns are: {shown}", line)
