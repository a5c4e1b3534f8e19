"""Controls without a pretrained model, for texts and for images, in one form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acclimate.core.controls import HISTOGRAM_C, PIXELS_C, linear_predict, tfidf_predict
from acclimate.core.metrics import IntArray
from acclimate.examples import Inputs
from acclimate.nn.image_features import colour_histogram, raw_pixels
from acclimate.nn.images import decode
from acclimate.nn.readers import only

#: ``predict(train, labels, rows)``: fitted on the inputs numbered ``train`` with their classes, the classes of those
#: numbered ``rows``.
Predict = Callable[[IntArray, IntArray, IntArray], IntArray]


def model_free(inputs: Inputs) -> dict[str, Predict]:
    """The controls that suit some inputs, by name: ``tfidf`` for texts, ``pixels`` and ``histogram`` for images.

    Args:
        inputs: all that is fitted on or predicted.
    """
    if not isinstance(next(iter(inputs), ""), bytes):
        texts = [text for text in inputs if isinstance(text, str)]

        def words(train: IntArray, labels: IntArray, rows: IntArray) -> IntArray:
            return tfidf_predict([texts[i] for i in train], labels, [texts[i] for i in rows])

        return {"tfidf": words}
    pixels, colours = [], []
    for raw in only(bytes, inputs):
        image = decode(raw)  # one at a time: decoded images are large
        pixels.append(raw_pixels(image))
        colours.append(colour_histogram(image))
    return {"pixels": _linear(np.stack(pixels), PIXELS_C), "histogram": _linear(np.stack(colours), HISTOGRAM_C)}


def _linear(features: np.ndarray, c: float) -> Predict:
    def predict(train: IntArray, labels: IntArray, rows: IntArray) -> IntArray:
        return linear_predict(features[train], labels, features[rows], c=c)

    return predict
