"""Images of a table: each decoded once, which is its check, and kept encoded."""

from __future__ import annotations

from acclimate.adapters.tables.source_files import Limits, TableFile
from acclimate.nn.images import ImageError, decode, near_key, pixel_key


class Images:
    """Takes the images of a table: an :class:`acclimate.adapters.tables.columns.Content`.

    ``images`` and ``near`` grow with every value taken, missing ones too. The same bytes are kept and decoded once.
    """

    unit = "bytes of images"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size = 0
        self.images: list[bytes] = []
        self.near: list[str] = []
        self._keys: list[str | None] = []
        self._row_of: dict[bytes, int] = {}

    def take(self, file: TableFile, value: object, line: int | None) -> str | None:
        """What identifies the image's content.

        Raises:
            DataError: E-DATA-016 it is too large, -060 it can't be used as an image.
        """
        if value is None:
            return self._keep(b"", None, "")
        if not isinstance(value, bytes):
            raise TypeError(type(value).__name__)
        if len(value) > self.limits.field_chars:
            message = f"the image has {len(value):,} bytes, over {self.limits.field_chars:,}"
            raise file.error("E-DATA-016", message, "make it smaller", line)
        self.size += len(value)
        row = self._row_of.setdefault(value, len(self.images))
        if row < len(self.images):
            return self._keep(self.images[row], self._keys[row], self.near[row])
        try:
            image = decode(value)
        except ImageError as error:
            raise file.error("E-DATA-060", str(error), error.hint, line) from error
        return self._keep(value, pixel_key(image), near_key(image))

    def _keep(self, raw: bytes, key: str | None, near: str) -> str | None:
        self.images.append(raw)
        self._keys.append(key)
        self.near.append(near)
        return key
