"""Controls that need no pretrained model: what a classifier makes of words, pixels or colours alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acclimate.core.metrics import FloatArray, IntArray

TFIDF_C = 10.0
# long texts have hundreds of thousands of word pairs; beyond the commonest they cost minutes and change little
MAX_TERMS = 50_000
_ITERATIONS = 1000
# standardised pixels: weights of one size for each, held small, for there are more of them than rows
PIXELS_C = 0.01
HISTOGRAM_C = 1.0
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


def linear_predict(train_features: FloatArray, train_labels: IntArray, features: FloatArray, *, c: float) -> IntArray:
    """Logistic regression on standardised features.

    Args:
        train_features: ``[n, d]``.
        train_labels: class indices, ``[n]``.
        features: rows to predict, ``[m, d]``.
        c: inverse penalty.

    Returns:
        Class indices, int64 ``[m]``.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=_ITERATIONS))
    model.fit(train_features, train_labels)
    return np.asarray(model.predict(features), dtype=np.int64)


def nearest_answers(train_prompts: Sequence[str], train_answers: Sequence[str], prompts: Sequence[str]) -> list[str]:
    """The answer to the training prompt that is most like each prompt, by the cosine of TF-IDF of words and word pairs.

    Args:
        train_prompts: n prompts.
        train_answers: their answers.
        prompts: m prompts to answer.

    Returns:
        m answers; the first of equally near ones.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORDS, max_features=MAX_TERMS)
    known = vectorizer.fit_transform(train_prompts)
    nearest = [int(row.argmax()) for row in (vectorizer.transform(prompts) @ known.T).tocsr()]
    return [train_answers[i] for i in nearest]


def commonest(answers: Sequence[str]) -> str:
    """The commonest answer; of equals the first in the order of the alphabet."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
