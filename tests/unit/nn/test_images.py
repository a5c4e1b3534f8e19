from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from acclimate.nn.images import MAX_PIXELS, ImageError, decode, near_key, pixel_key, thumbnail

SIDE = st.integers(1, 12)
RGB = st.tuples(SIDE, SIDE).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
RGBA = st.tuples(SIDE, SIDE).flatmap(lambda size: arrays(np.uint8, (*size, 4)))
SOME = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
LOSSLESS = ("PNG", "BMP", "TIFF", "WEBP")


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **how: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    out = io.BytesIO()
    image.save(out, form, **({"lossless": True} if form == "WEBP" and "save_all" not in how else {}), **how)
    return out.getvalue()


def pixels(raw: bytes) -> np.ndarray:
    image = decode(raw)
    assert image.mode == "RGB"
    return np.asarray(image)


def refusal(raw: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(raw)
    assert caught.value.hint
    return caught.value


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG from its parts, so that it may lie."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def patched(raw: bytes, at: int, form: str, *values: int) -> bytes:
    changed = bytearray(raw)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def bomb(form: str, side: int = 50_000) -> bytes:
    """A small file whose header claims ``side`` x ``side`` pixels."""
    if form == "PNG":
        return png(side, side, 8, 2, bytes(100_000))
    raw = encoded(SOME, form)
    at, how = {
        "JPEG": (raw.find(b"\xff\xc0") + 5, ">HH"),
        "GIF": (6, "<HH"),
        "BMP": (18, "<ii"),
        "WEBP": (0, ""),
        "TIFF": (0, ""),
    }[form]
    if form == "WEBP":
        raw = encoded(SOME, "WEBP", save_all=False)
        assert raw[12:16] == b"VP8 "
        return patched(raw, 26, "<HH", 12_000, 12_000)
    if form == "TIFF":
        for tag in (256, 257):
            raw = patched(raw, raw.find(struct.pack("<HH", tag, 4)) + 8, "<I", side)
        return raw
    return patched(raw, at, how, side, side)


class TestFormats:
    @given(RGB)
    def test_lossless_files_of_one_image_have_one_key(self, values: np.ndarray) -> None:
        files = [encoded(values, form) for form in LOSSLESS]
        assert all((pixels(raw) == values).all() for raw in files)
        assert len({pixel_key(decode(raw)) for raw in files}) == 1

    @pytest.mark.parametrize("form", ["JPEG", "GIF"])
    def test_lossy_files_decode(self, form: str) -> None:
        assert pixels(encoded(SOME, form)).shape == SOME.shape

    def test_the_ending_is_no_part_of_it_and_neither_are_metadata(self) -> None:
        exif = Image.Exif()
        exif[0x010E] = "a description"
        image = decode(encoded(SOME, "PNG", exif=exif, icc_profile=b"not a profile", dpi=(72, 72)))
        assert image.info == {}
        assert pixel_key(image) == pixel_key(decode(encoded(SOME)))

    def test_a_jpeg_with_a_preview_is_its_first_image(self) -> None:
        first = Image.fromarray(SOME)
        raw = encoded(first, "MPO", save_all=True, append_images=[first.resize((4, 4))], quality=95)
        assert decode(raw).size == first.size

    def test_markup_behind_a_jpeg_is_never_looked_at(self) -> None:
        plain = encoded(SOME, "JPEG")
        raw = plain + b"<html><script>alert(1)</script></html>"
        assert pixel_key(decode(raw)) == pixel_key(decode(plain))
        assert b"script" not in base64.b64decode(thumbnail(raw).partition(",")[2])


class TestConversion:
    @given(RGBA)
    def test_transparency_is_laid_on_white(self, values: np.ndarray) -> None:
        colour, alpha = values[..., :3].astype(float), values[..., 3:].astype(float)
        expected = np.rint((colour * alpha + 255 * (255 - alpha)) / 255)
        for form in ("PNG", "TIFF"):
            assert (pixels(encoded(values, form)) == expected).all()

    def test_a_transparent_palette_colour_is_white(self) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 200, 100, 50])
        image.putpixel((1, 0), 1)
        for how in ({"transparency": 0}, {"transparency": bytes([0, 255])}):
            assert pixels(encoded(image, "PNG", **how)).tolist() == [[[255] * 3, [200, 100, 50]]]
        assert pixels(encoded(image, "GIF", transparency=0)).tolist() == [[[255] * 3, [200, 100, 50]]]

    @given(st.integers(1, 5).flatmap(lambda n: arrays(np.uint16, (n, 3))))
    def test_grey_of_16_bits_keeps_its_upper_8(self, values: np.ndarray) -> None:
        expected = np.repeat((values >> 8)[..., None], 3, axis=2)
        for form in ("PNG", "TIFF"):
            assert (pixels(encoded(values, form)) == expected).all()
        assert (pixels(encoded(values.astype(np.int32), "TIFF")) == expected).all()

    @given(st.lists(st.integers(0, 65_535), min_size=3, max_size=3))
    def test_colours_of_16_bits_keep_their_upper_8(self, colour: list[int]) -> None:
        raw = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", *colour))
        assert pixels(raw).tolist() == [[[value >> 8 for value in colour]]]

    @pytest.mark.parametrize(("colour", "values"), [(0, (1000,)), (2, (300, 2000, 65_535))])
    def test_a_transparent_value_of_16_bits_is_white(self, colour: int, values: tuple[int, ...]) -> None:
        data = struct.pack(f">{len(values)}H", *values)
        other = struct.pack(f">{len(values)}H", *[512] * len(values))
        raw = png(2, 1, 16, colour, b"\0" + data + other, chunk(b"tRNS", data))
        assert pixels(raw).tolist() == [[[255] * 3, [2] * 3]]

    def test_floats_of_0_to_1_are_scaled_and_others_refused(self) -> None:
        assert pixels(encoded(np.array([[0, 0.5, 1]], np.float32), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
        for value in (-0.1, 200.0, np.nan, np.inf):
            assert "32-bit" in str(refusal(encoded(np.array([[value]], np.float32), "TIFF")))
        assert "32-bit" in str(refusal(encoded(np.array([[70_000]], np.int32), "TIFF")))

    def test_cmyk_grey_and_black_and_white(self) -> None:
        cyan = Image.new("CMYK", (3, 2), (255, 0, 0, 0))
        assert pixels(encoded(cyan, "TIFF"))[0, 0].tolist() == [0, 255, 255]
        assert np.abs(pixels(encoded(cyan, "JPEG"))[0, 0].astype(int) - [0, 255, 255]).max() <= 2
        assert pixels(encoded(Image.new("L", (3, 2), 77)))[0, 0].tolist() == [77] * 3
        assert pixels(encoded(Image.new("1", (3, 2), 1)))[0, 0].tolist() == [255] * 3
        assert pixels(encoded(Image.new("LA", (3, 2), (0, 51))))[0, 0].tolist() == [204] * 3


# How the stored rows come from the upright image, by Exif 2.32, 4.6.4.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", STORED)
    @pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
    def test_a_image_stands_upright(self, form: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        raw = encoded(np.ascontiguousarray(STORED[orientation](SOME)), form, exif=exif)
        assert (pixels(raw) == SOME).all()

    def test_a_jpeg_stands_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        assert decode(encoded(SOME, "JPEG", exif=exif)).size == (20, 30)

    @pytest.mark.parametrize("value", [0, 9, 65_535])
    def test_an_unknown_orientation_turns_nothing(self, value: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = value
        assert (pixels(encoded(SOME, "PNG", exif=exif)) == SOME).all()


class TestRefusals:
    def test_no_bytes(self) -> None:
        assert "0 bytes" in str(refusal(b""))

    @pytest.mark.parametrize(
        ("raw", "says"),
        [
            (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
            (b"\n <!DOCTYPE html><html></html>", "HTML"),
            (b"%PDF-1.7\n", "PDF"),
            (b"\0\0\0\x20ftypheic" + bytes(40), "HEIC"),
            (b"P6 1 1 255\n\0\0\0", "no known"),
            (b"hello", "no known"),
            (encoded(Image.new("RGB", (16, 16)), "ICO"), "no known"),
            (encoded(Image.new("RGB", (16, 16)), "PPM"), "no known"),
        ],
    )
    def test_other_formats(self, raw: bytes, says: str) -> None:
        assert says in str(refusal(raw))

    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
    def test_a_image_cut_short_is_refused_unless_all_of_it_is_there(self, form: str) -> None:
        raw = encoded(SOME, form)
        whole = pixel_key(decode(raw))
        for length in range(len(raw)):
            try:
                key = pixel_key(decode(raw[:length]))
            except ImageError:
                continue
            # An end mark or padding is missing, no pixel.
            assert key == whole
        assert "damaged" in str(refusal(raw[: len(raw) // 2]))
        assert "damaged" in str(refusal(raw[:9]))

    @given(form=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF"]), data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_changed_bytes_decode_or_are_refused(self, form: str, data: st.DataObject) -> None:
        raw = bytearray(encoded(SOME[:6, :6], form))
        for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=8)):
            raw[at] = data.draw(st.integers(0, 255))
        try:
            image = decode(bytes(raw))
        except ImageError:
            return
        assert image.mode == "RGB"

    @pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_several_frames(self, form: str) -> None:
        first, second = (Image.fromarray(values) for values in (SOME, 255 - SOME))
        raw = encoded(first, form, save_all=True, append_images=[second])
        assert "several frames" in str(refusal(raw))

    @pytest.mark.parametrize("form", ["BMP", "PNG", "JPEG", "TIFF"])
    def test_a_side_of_0(self, form: str) -> None:
        assert refusal(bomb(form, side=0))

    def test_a_long_strip(self) -> None:
        assert "too large" in str(refusal(png(100_000, 1, 8, 0, bytes(100_001))))

    def test_the_limit_itself_is_let_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert MAX_PIXELS == 50_000_000
        monkeypatch.setattr("acclimate.nn.images.MAX_PIXELS", SOME.shape[0] * SOME.shape[1])
        assert pixels(encoded(SOME)).shape == SOME.shape
        assert "too large" in str(refusal(encoded(np.zeros((21, 30, 3), np.uint8))))

    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
    def test_a_bomb_takes_neither_memory_nor_time(self, form: str) -> None:
        script = (
            "import resource, sys, time\n"
            "from acclimate.nn.images import ImageError, decode\n"
            "import PIL.TiffImagePlugin, PIL.WebPImagePlugin\n"
            "raw = sys.stdin.buffer.read()\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before, start = peak(), time.process_time()\n"
            "try:\n    decode(raw)\n"
            "except ImageError as error:\n    print(error)\n"
            "assert peak() - before < 100_000, peak() - before\n"
            "assert time.process_time() - start < 1\n"
        )
        done = subprocess.run([sys.executable, "-c", script], input=bomb(form), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert b"too large" in done.stdout


class TestWarnings:
    def test_a_suspicious_size_or_a_broken_exif_warns_nobody(self) -> None:
        exif = Image.Exif()
        exif[0x010E] = "a description of some length"
        raw = encoded(SOME, "JPEG", exif=exif)
        broken = patched(raw, raw.find(struct.pack(">HH", 0x010E, 2)) + 4, ">I", 10_000)
        with pytest.warns(UserWarning, match="(?i)tag|exif"):
            Image.open(io.BytesIO(broken)).getexif()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (pixels(broken) == pixels(raw)).all()
            assert "too large" in str(refusal(bomb("PNG", side=10_000)))

    def test_filters_are_restored_when_threads_decode_at_once(self) -> None:
        raw = encoded(SOME)
        before = list(warnings.filters)
        threads = [threading.Thread(target=lambda: [decode(raw) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before


class TestKeys:
    @given(RGB, st.data())
    def test_one_changed_value_changes_the_key(self, values: np.ndarray, data: st.DataObject) -> None:
        changed = values.copy()
        at = tuple(data.draw(st.integers(0, size - 1)) for size in values.shape)
        changed[at] ^= data.draw(st.integers(1, 255))
        assert pixel_key(decode(encoded(values))) != pixel_key(decode(encoded(changed)))

    def test_the_shape_is_part_of_the_key(self) -> None:
        wide, high = (Image.new("RGB", size) for size in ((6, 2), (2, 6)))
        assert pixel_key(wide) != pixel_key(high)

    @given(st.integers(1, 5), st.integers(0, 2**32 - 1))
    def test_a_near_key_is_that_of_the_block_means(self, scale: int, seed: int) -> None:
        grey = np.random.default_rng(seed).integers(0, 256, (72 * scale, 72 * scale), dtype=np.uint8)
        across = np.diff(grey.reshape(8, 9 * scale, 9, 8 * scale).mean(axis=(1, 3)), axis=1)
        down = np.diff(grey.reshape(9, 8 * scale, 8, 9 * scale).mean(axis=(1, 3)), axis=0)
        steps = np.concatenate([across.ravel(), down.ravel()])
        key = near_key(Image.fromarray(np.repeat(grey[..., None], 3, axis=2)))
        bits = np.array([bit == "1" for bit in f"{int(key[:32], 16):0128b}"])
        # The resampler rounds after each of its two passes.
        clear = np.abs(steps) > 2
        assert clear.any()
        assert (bits[clear] == (steps[clear] > 0)).all()
        assert key[32:] == str(int(grey.mean()) // 32) * 3

    def test_scaled_and_saved_again_a_image_keeps_its_near_key(self) -> None:
        ramp = np.add.outer(np.sin(np.linspace(0, 3, 160)), np.cos(np.linspace(0, 5, 180)))
        image = Image.fromarray((60 * ramp + 120).astype(np.uint8)).convert("RGB")
        key = near_key(image)
        assert near_key(image.resize((90, 80))) == key
        assert near_key(decode(encoded(image, "JPEG", quality=80))) == key
        assert near_key(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) != key

    def test_flat_images_of_other_colours_differ(self) -> None:
        keys = {near_key(Image.new("RGB", (50, 40), colour)) for colour in ("red", "green", "blue", "white", "black")}
        assert len(keys) == 5
        assert all(len(key) == 35 and int(key, 16) >= 0 for key in keys)


@given(RGB, st.integers(1, 9))
def test_a_thumbnail_is_a_small_png(values: np.ndarray, side: int) -> None:
    uri = thumbnail(encoded(values, "BMP"), side)
    assert uri.startswith("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.format == "PNG"
    assert max(image.size) == min(side, max(values.shape[:2]))
