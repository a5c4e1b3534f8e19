"""A served model of images takes bytes, and no path of the server's disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from acclimate.errors import DataError
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_card import source_card
from acclimate.serving import ServedModel
from tests.toy_images import toy_images, write_image_source


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = write_image_source(tmp_path_factory.mktemp("served"), "vit")
    encoder = Encoder.load(folder, precision="fp32")
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, encoder.dim)).astype(np.float32)
    card = source_card(folder, name="toy", revision=None, licence=None)
    model = AdaptedModel.build(
        encoder, weight, np.zeros(2, dtype=np.float32), ["a", "b"], strategy="frozen", source=card
    )
    return ServedModel(model)


def test_bytes_are_predicted_in_order(served: ServedModel) -> None:
    images, _ = toy_images(5, 1)
    frame = served.predict(pd.DataFrame({"image": images}))
    assert list(frame["label"]) == served.model.predict(images)
    np.testing.assert_allclose(frame[["probability_a", "probability_b"]].sum(axis=1), 1)


@pytest.mark.parametrize("wrong", ["/etc/hostname", None, 3])
def test_anything_else_is_refused(served: ServedModel, wrong: object, tmp_path: Path) -> None:
    images, _ = toy_images(2, 1)
    (tmp_path / "one.png").write_bytes(images[0])
    for row in (wrong, str(tmp_path / "one.png")):
        with pytest.raises(DataError) as caught:
            served.predict(pd.DataFrame({"image": [images[0], row]}))
        assert caught.value.code == "E-PREDICT-003"


def test_a_path_is_for_who_loads_the_model_and_must_be_an_images(served: ServedModel, tmp_path: Path) -> None:
    images, _ = toy_images(1, 1)
    (tmp_path / "one.png").write_bytes(images[0])
    (tmp_path / "other.png").write_bytes(b"no image")
    assert served.model.predict([str(tmp_path / "one.png")]) == served.model.predict(images)
    for name, code in (("other.png", "E-DATA-060"), ("absent.png", "E-DATA-001"), ("", "E-DATA-002")):
        with pytest.raises(DataError) as caught:
            served.model.predict([str(tmp_path / name)])
        assert caught.value.code == code


def test_texts_with_a_gap_are_refused_not_shifted(tiny_source: Path) -> None:
    encoder = Encoder.load(tiny_source, precision="fp32")
    with pytest.raises(DataError) as caught:
        encoder.embed(["cat", None, "dog"])  # type: ignore[list-item]
    assert (caught.value.code, "row 1" in str(caught.value.where)) == ("E-PREDICT-003", True)
