"""Images for an encoder: decoded, resized, cropped and normalised as the model's own files say, with PIL and numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import transformers
from PIL import Image

from acclimate.digests import code_digest
from acclimate.errors import DataError, ModelError
from acclimate.examples import Inputs
from acclimate.nn.images import ImageError, decode
from acclimate.nn.loading import loading
from acclimate.nn.preflight import read_json
from acclimate.nn.readers import Batch, only

FILE = "preprocessor_config.json"
# as the patches of common vision transformers, so that a batch of images costs about what one of texts does
PIXELS_PER_TOKEN = 14 * 14
# ConvNeXt was evaluated on whole images from this size on, and on the middle of larger ones below
WHOLE_FROM = 384
MAX_SIDE = 4096
MAX_RESIZED = MAX_SIDE**2


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes pixels, as transformers' image processors do it.

    Args:
        size: height and width to resize to; None where only the shorter edge is given.
        shortest_edge: length the shorter edge is resized to, the ratio kept; None where ``size`` is given.
        crop: height and width of the middle that is cut out; None for no crop.
        resample: PIL's number of the filter.
        factor: multiplies the values 0..255.
        mean: subtracted, by channel.
        std: divided by, by channel.
    """

    size: tuple[int, int] | None
    shortest_edge: int | None
    crop: tuple[int, int] | None
    resample: int
    factor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """From a model folder's ``preprocessor_config.json``.

        Raises:
            ModelError: E-MODEL-017, it is absent or not understood.
        """
        path = folder / FILE
        if not path.is_file():
            raise _refused(path, "the model has no preprocessing", "add the file: without it pixels can't be scaled")
        config = read_json(path)
        kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
        if kind:
            # older files leave to the processor's class what an integer size means, and its defaults
            with loading(folder):
                config = transformers.AutoImageProcessor.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                ).to_dict()
        try:
            return cls._from(config)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused(path, f"not understood: {error!r}", "give size, image_mean and image_std") from error

    @classmethod
    def _from(cls, config: Mapping[str, Any]) -> Preprocessing:
        if not config.get("do_resize", True):
            raise ValueError("images of any size can't be read: do_resize must be true")
        size, edge = _edges(config["size"])
        crop = None
        if config.get("do_center_crop"):
            crop, edge_of_crop = _edges(config["crop_size"])
            crop = crop or (int(edge_of_crop or 0), int(edge_of_crop or 0))
        if edge and config.get("crop_pct"):
            crop, size = (edge, edge), None
            if edge >= WHOLE_FROM:
                crop, size, edge = None, (edge, edge), None
            else:
                edge = int(edge / float(config["crop_pct"]))
        if edge is not None and crop is None:
            raise ValueError("size.shortest_edge without a crop leaves images of different shapes")
        normalised = config.get("do_normalize", True)
        factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
        found = cls(
            size=size,
            shortest_edge=edge,
            crop=crop,
            resample=int(Image.Resampling(config.get("resample", Image.Resampling.BILINEAR))),
            factor=factor,
            mean=_channels(config["image_mean"]) if normalised else (0.0, 0.0, 0.0),
            std=_channels(config["image_std"]) if normalised else (1.0, 1.0, 1.0),
        )
        sides = [*found.output, *(size or ()), *(() if edge is None else (edge,))]
        if not all(1 <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"sides must have 1 to {MAX_SIDE} pixels")
        if not all(map(math.isfinite, (found.factor, *found.mean, *found.std))) or min(found.std) <= 0:
            raise ValueError("factor and means must be finite, deviations positive")
        return found

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        assert self.crop or self.size, "one of them is set"
        return self.crop or self.size or (0, 0)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Pixels of an RGB image, float32 [3, H, W]."""
        return np.ascontiguousarray(self.scaled(self.resized(image)[None])[0].transpose(2, 0, 1))

    def resized(self, image: Image.Image) -> np.ndarray:
        """The part of an RGB image that is seen, at the size it is seen in, uint8 [H, W, 3]."""
        return np.asarray(self._resized(image))

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Values as the model takes them, float32 [B, H, W, 3], of uint8 pixels [B, H, W, 3]."""
        # whole lines at once: numpy is several times slower over an axis of three
        lines = pixels.reshape(*pixels.shape[:2], -1)  # [B, H, W * 3]
        mean, std = (np.tile(np.array(of, dtype=np.float32), pixels.shape[2]) for of in (self.mean, self.std))
        values = lines * np.float32(self.factor)
        values -= mean
        values /= std
        return values.reshape(pixels.shape)

    def _resized(self, image: Image.Image) -> Image.Image:
        """Resized, and cropped where that is asked for."""
        width, height = (self.size[1], self.size[0]) if self.size else _scaled(image.size, self.shortest_edge or 1)
        crop_height, crop_width = self.crop or (height, width)
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
        # the part that is seen, in pixels of the resized image
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + crop_width, width), min(top + crop_height, height)
        resample = Image.Resampling(self.resample)
        if width * height <= MAX_RESIZED:
            seen = image.resize((width, height), resample).crop((x0, y0, x1, y1))
        else:
            # a thin image resized as a whole would fill the memory; values of the part may differ by rounding
            across, down = image.width / width, image.height / height
            part = (x0 * across, y0 * down, min(x1 * across, image.width), min(y1 * down, image.height))
            seen = image.resize((x1 - x0, y1 - y0), resample, box=part)
        if seen.size == (crop_width, crop_height):
            return seen
        # what lies outside of the image is black
        ground = Image.new("RGB", (crop_width, crop_height))
        ground.paste(seen, (x0 - left, y0 - top))
        return ground

    def write(self, folder: Path) -> None:
        """Write the file that :meth:`read` reads to the same."""
        sizes: dict[str, Any] = {"size": _written(self.size)} if self.size else {}
        sizes |= {"size": {"shortest_edge": self.shortest_edge}} if self.shortest_edge else {}
        sizes |= {"crop_size": _written(self.crop)} if self.crop else {}
        config = {
            **sizes,
            "do_resize": True,
            "do_center_crop": self.crop is not None,
            "do_rescale": True,
            "do_normalize": True,
            "do_convert_rgb": True,
            "resample": self.resample,
            "rescale_factor": self.factor,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        (folder / FILE).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _edges(size: Any) -> tuple[tuple[int, int] | None, int | None]:
    """Height and width, or the shorter edge."""
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            return None, int(size["shortest_edge"])
        return (int(size["height"]), int(size["width"])), None
    return (int(size), int(size)), None


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _scaled(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Width and height whose shorter one is ``edge``."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def _written(size: tuple[int, int] | None) -> dict[str, int]:
    height, width = size or (0, 0)
    return {"height": height, "width": width}


def _refused(path: Path, why: str, hint: str) -> ModelError:
    return ModelError("E-MODEL-017", why, where=str(path), hint=hint)


class ImageRows:
    """Encoded images, decoded batch by batch: pixels of many images would not fit into memory.

    Args:
        images: their bytes.
        preprocessing: how they become pixels.
        kept_bytes: memory for pixels that are kept, as they are before they are scaled: of the rows first asked for, as
            many as fit. The others are decoded each time, for whoever goes through all rows again and again would
            ask for a replaced one before it had been of use.
    """

    def __init__(self, images: Sequence[bytes], preprocessing: Preprocessing, *, kept_bytes: int = 0) -> None:
        self._images = images
        self._preprocessing = preprocessing
        self._kept: dict[int, np.ndarray] = {}
        self._most_kept = kept_bytes // (3 * math.prod(preprocessing.output))

    @property
    def sizes(self) -> list[int]:
        """Every image costs the same."""
        height, width = self._preprocessing.output
        return [max(1, height * width // PIXELS_PER_TOKEN)] * len(self._images)

    def batch(self, rows: Sequence[int]) -> Batch:
        """``pixel_values`` of some rows, float32 [B, 3, H, W], channels last in memory, as convolutions take them.

        Raises:
            DataError: E-DATA-060, an image can't be decoded.
        """
        pixels = np.stack([self._pixels(row) for row in rows])  # uint8 [B, H, W, 3]
        return {"pixel_values": torch.from_numpy(self._preprocessing.scaled(pixels)).permute(0, 3, 1, 2)}

    def _pixels(self, row: int) -> np.ndarray:
        """uint8 [H, W, 3]."""
        if row in self._kept:
            return self._kept[row]
        pixels = self._preprocessing.resized(self._decoded(row))
        if len(self._kept) < self._most_kept:
            self._kept[row] = pixels
        return pixels

    def _decoded(self, row: int) -> Image.Image:
        try:
            return decode(self._images[row])
        except ImageError as error:
            where = f"row {row}, counted from 0"
            raise DataError("E-DATA-060", str(error), where=where, hint=error.hint) from error


class ImageReader:
    """Reads encoded images for a model.

    Args:
        preprocessing: of the model.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    @classmethod
    def load(cls, folder: Path, limit: int | None) -> ImageReader:
        """As the model's own files say; ``limit`` may only repeat it.

        Raises:
            ModelError: E-MODEL-013, another size is asked for; E-MODEL-017, the preprocessing isn't understood.
        """
        reader = cls(Preprocessing.read(folder))
        if limit not in (None, reader.limit):
            raise ModelError(
                "E-MODEL-013",
                f"the model reads images of {reader.limit} pixels, not {limit}",
                where=str(folder),
                hint="leave baseline.max_length out for images",
            )
        return reader

    @property
    def limit(self) -> int:
        """Pixels of the longer side of what the model sees."""
        return max(self.preprocessing.output)

    @property
    def key(self) -> str:
        """The preprocessing, and the code that does it."""
        return f"{self.preprocessing} {code_digest('acclimate.nn.image_reader')} pillow {PIL.__version__}"

    def prepare(self, inputs: Inputs, *, kept_bytes: int = 0) -> ImageRows:
        """Take images as they are; they are decoded when a batch is asked for.

        Raises:
            DataError: E-PREDICT-003, a row is no image.
        """
        return ImageRows(only(bytes, inputs), self.preprocessing, kept_bytes=kept_bytes)

    def save(self, folder: Path) -> None:
        """Write the preprocessing's file."""
        self.preprocessing.write(folder)
