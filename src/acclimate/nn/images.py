"""One encoded image: decoded safely to 8-bit RGB, and what tells whether two are the same."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image, ImageStat, UnidentifiedImageError

from acclimate.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 50_000_000
MAX_BYTES = 64_000_000
# The most a JPEG can have. Resizing takes memory by the length of a side, whatever the other is.
MAX_SIDE = 65_535

_SAVE = "save it as PNG, JPEG, WebP, BMP, GIF or TIFF"
_AGAIN = "fetch or export it again: it may be cut short"
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*")
# What decoders raise when bytes lie to them: nearly anything.
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 0x0102
# What to do with an image of each EXIF orientation (Exif 2.32, 4.6.4) so that it stands upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """These bytes can't be used as an image.

    Args:
        message: what is wrong, in one clause.
        hint: what to do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Silence:
    """Ignores warnings while any thread is inside; the last one out restores the filters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(kind, error, trace)


_silence = _Silence()


def decode(raw: bytes) -> Image.Image:
    """The image that encoded bytes hold, upright and on white.

    Its format is told by its content: PNG, JPEG, WebP, BMP, GIF or TIFF. Of a JPEG that carries further images
    (MPO: previews, depth) the first is taken; what follows an image's end is never looked at.

    16-bit values keep their upper 8 bits, also where the format's reader gives them as 32-bit ones of 0 to 65,535;
    float values of 0 to 1 are scaled by 255. Transparency is laid on white. Colour profiles are not applied.

    Args:
        raw: one encoded image.

    Returns:
        8-bit RGB with no metadata, at least 1 x 1, at most ``MAX_PIXELS`` in all and ``MAX_SIDE`` a side.

    Raises:
        ImageError: there are no bytes; they are none of these formats, damaged or cut short; the image is too
            large (told from its header, before anything is decoded), has a side of 0, several frames, or 32-bit values
            without a known range.
    """
    if not raw:
        raise ImageError("the image is empty (0 bytes)", _AGAIN)
    with _silence:
        try:
            image = _open(raw)
            image.load()
            upright = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
            rgb = _on_white(image if upright is None else image.transpose(upright))
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise _too_large(f"over {MAX_PIXELS:,} pixels") from error
        except UnidentifiedImageError as error:
            raise _unknown(raw) from error
        except _DECODER_ERRORS as error:
            says = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise ImageError(f"the image is damaged: {says}", _AGAIN) from error
    rgb.info = {}
    return rgb


def _open(raw: bytes) -> Image.Image:
    """Read the header and refuse what shouldn't be decoded."""
    image = Image.open(io.BytesIO(raw), formats=FORMATS)
    width, height = image.size
    if not width or not height:
        raise ImageError(f"the image has {width} x {height} pixels", _AGAIN)
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise _too_large(f"{width:,} x {height:,} pixels, over {MAX_PIXELS:,} in all or {MAX_SIDE:,} a side")
    # Every camera's preview makes its JPEG an MPO; its first image is the one that all programs show.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise ImageError("the image has several frames or pages", "save one of them as an image of its own")
    return image


def _too_large(says: str) -> ImageError:
    return ImageError(f"the image is too large: {says}", "scale it down, or cut it into several")


def _unknown(raw: bytes) -> ImageError:
    if raw.startswith(_SIGNATURES):
        return ImageError("the image is damaged: its header can't be read", _AGAIN)
    head = raw[:16].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = "no known image format"
    if head.startswith(b"<"):
        kind = "SVG, HTML or other markup, not an image of pixels"
    elif head.startswith(b"%PDF"):
        kind = "a PDF, not an image"
    elif raw[4:8] == b"ftyp":
        kind = "HEIC, AVIF or a video"
    return ImageError(f"this is {kind}", _SAVE)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A transparent colour of 16 bits, where the pixels have been brought to 8.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits, 32 bits or floats, [h, w], as 8-bit grey (with alpha where a value is transparent)."""
    values = np.asarray(image)
    if image.mode == "F":
        scaled = np.rint(_within(values, 1.0) * 255).astype(np.uint8)
    else:
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0] if image.mode.startswith("I;") else 16
        scaled = (_within(values, 65_535) >> (bits - 8)).astype(np.uint8)
    grey = Image.fromarray(scaled)
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _within(values: np.ndarray, top: float) -> np.ndarray:
    # Written so that NaN fails too.
    if not (values.min() >= 0 and values.max() <= top):
        raise ImageError(f"the image has 32-bit values outside 0 to {top:,.0f}", "save it with 8 or 16 bits a channel")
    return values


def read_file(path: Path) -> bytes:
    """The bytes of an image's file.

    Raises:
        DataError: E-DATA-001 nothing is there; E-DATA-002 it is no regular file; E-DATA-016 it is over 64 MB.
    """
    if not path.exists():
        raise DataError("E-DATA-001", "nothing is there", where=str(path), hint="check the path")
    if not path.is_file():
        raise DataError("E-DATA-002", "this is not a regular file", where=str(path), hint="name the file of an image")
    if path.stat().st_size > MAX_BYTES:
        says = f"the image has over {MAX_BYTES:,} bytes"
        raise DataError("E-DATA-016", says, where=str(path), hint="make it smaller")
    return path.read_bytes()


def pixel_key(image: Image.Image) -> str:
    """What identifies an image's content: the same for every lossless file of the same pixels.

    Args:
        image: 8-bit RGB, as :func:`decode` returns it.

    Returns:
        ``px:`` and the sha256 over width, height and RGB bytes, hexadecimal.
    """
    digest = hashlib.sha256(b"%d %d " % image.size)
    digest.update(image.tobytes())
    return f"px:{digest.hexdigest()}"


def near_key(image: Image.Image) -> str:
    """A key that images share which look alike: scaled, saved again, or little changed in brightness or contrast.

    The image in 9 x 8 greys gives a bit for each pair of neighbours in a row, 1 where the right one is brighter; in
    8 x 9 greys one for each pair in a column, 1 where the lower one is: 128 bits. The mean of each colour in 8 levels
    follows, so that flat images of different colours differ.

    Keys are compared for equality. It is meant for counting and for keeping copies together: a bit or a level that
    lies at its edge makes two copies differ, so copies are missed; flat or coarse images (scans of pages, night skies)
    may share one without being copies. Crops, turns and mirror images are not found.

    Args:
        image: 8-bit RGB, as :func:`decode` returns it.

    Returns:
        35 hexadecimal digits: 16 of each direction, then one each (0 to 7) of red, green and blue.

    Source: N. Krawetz, "Kind of Like That" (2013), dHash; greys by ITU-R 601, scaled by the mean of each cell. Checked
    against block means computed with numpy.
    """
    grey = image.convert("L")
    across = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))  # [8, 9]
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX))  # [9, 8]
    bits = np.packbits(np.stack([across[:, 1:] > across[:, :-1], down[1:] > down[:-1]])).tobytes()
    return bits.hex() + "".join(f"{int(mean) // 32}" for mean in ImageStat.Stat(image).mean)


def thumbnail(raw: bytes, side: int = 96) -> str:
    """A small copy of an image for a report: new PNG bytes, nothing of the old file in them.

    Args:
        raw: one encoded image.
        side: the longer side at most, in pixels, at least 1.

    Returns:
        A ``data:`` URI.

    Raises:
        ImageError: as :func:`decode`.
    """
    image = decode(raw)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
