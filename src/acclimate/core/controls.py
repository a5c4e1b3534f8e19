"""Controls that need no pretrained model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from acclimate.core.metrics import IntArray

TFIDF_C = 10.0
# long texts have hundreds of thousands of word pairs; beyond the commonest they cost minutes and change little
MAX_TERMS = 50_000
_ITERATIONS = 1000
# one character words and punctuation count too: "!" and "5" tell classes apart, and no text is left empty
_WORDS = r"(?u)\w+|[^\w\s]"


def majority_predict(train_labels: IntArray, rows: int) -> IntArray:
    """The commonest training class for every row; the lowest index of equals.

    Args:
        train_labels: class indices, ``[n]``.
        rows: number of rows to predict.

    Returns:
        Class indices, int64 ``[rows]``.
    """
    return np.full(rows, int(np.bincount(train_labels).argmax()), dtype=np.int64)


def tfidf_predict(train_texts: Sequence[str], train_labels: IntArray, texts: Sequence[str]) -> IntArray:
    """Logistic regression on TF-IDF of words and word pairs.

    Args:
        train_texts: n texts.
        train_labels: class indices, ``[n]``.
        texts: texts to predict.

    Returns:
        Class indices, int64. Where the training texts have no word at all, the majority class.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORDS, max_features=MAX_TERMS)
    if not any(text.strip() for text in train_texts):
        return majority_predict(train_labels, len(texts))
    features = vectorizer.fit_transform(train_texts)
    model = LogisticRegression(C=TFIDF_C, max_iter=_ITERATIONS).fit(features, train_labels)
    return np.asarray(model.predict(vectorizer.transform(texts)), dtype=np.int64)
