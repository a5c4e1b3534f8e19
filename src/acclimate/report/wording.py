"""What the words of a report mean, for people who don't read code."""

from __future__ import annotations

from dataclasses import dataclass

METRICS = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "token_accuracy": "token accuracy",
}

METRICS_EXPLAINED = {
    "macro_f1": "the F1 score averaged over the labels, each label counting the same; 1 is perfect",
    "accuracy": "the share of rows labelled correctly; 1 is perfect",
    "balanced_accuracy": "the share of correct rows averaged over the labels; 1 is perfect",
    "exact_match": "the share of rows whose written text is the wanted answer, but for blanks; 1 is perfect",
    "rouge_l": "how far the words of the written text are those of the wanted answer in its order, averaged over the "
    "rows; 1 is perfect",
    "token_accuracy": "the share of the wanted tokens that the model finds most probable after the right ones before "
    "them, averaged over the rows; 1 is perfect",
}

MODELS = {
    "frozen": "frozen model, small head",
    "lora": "LoRA",
    "adapter": "bottleneck adapters",
    "prefix": "prefix tuning",
    "ia3": "(IA)³",
    "bitfit": "BitFit",
    "partial": "top layers only",
    "gradual": "gradual unfreezing",
    "full": "full fine-tuning",
    "tapt": "in-domain pretraining, then full fine-tuning",
    "scratch": "trained from scratch",
    "baseline": "baseline",
    "champion": "champion",
    "random_features": "untrained network",
    "tfidf": "word counts (TF-IDF)",
    "pixels": "raw pixels",
    "histogram": "colours",
    "nearest": "most similar prompt's answer",
    "majority": "always the commonest label",
    "source_as_is": "source model as it is",
}

MODELS_EXPLAINED = {
    "frozen": "The pretrained model stays as it is; only a small classifier on top is fitted.",
    "lora": "The pretrained model is changed by small added matrices (low-rank adapters), merged in at the end.",
    "adapter": "Small layers are added behind each block of the pretrained model, which stays as it is.",
    "prefix": "Each layer attends to a few learned keys and values; the pretrained model stays as it is.",
    "ia3": "Keys, values and feed-forward activations are scaled by learned factors, merged in at the end.",
    "bitfit": "Only biases and normalisation are trained, and the small head.",
    "partial": "Only the top layers are trained, and the small head.",
    "gradual": "Layers are opened from the top, the next one when validation stalls.",
    "full": "All weights are trained further; unless layers start anew, from the fitted small head.",
    "tapt": "The pretrained model first learns to tell hidden words of your own texts, without labels; then as full.",
    "scratch": "The same network from random weights: shows whether pretraining helped at all.",
}

CONTROLS_EXPLAINED = {
    "random_features": "The same network before any pretraining, with the same small head.",
    "tfidf": "Which words occur how often, and a linear classifier: no network at all.",
    "pixels": "The image at 16 x 16 pixels, and a linear classifier: no network at all.",
    "histogram": "How much of which colour, and a linear classifier: no network at all.",
    "majority": "Always answers with the commonest label.",
    "source_as_is": "The source model's own head, untouched.",
}

GAPS = {
    "NONE": "no gap",
    "SMALL": "small gap",
    "LARGE": "large gap",
    "UNDERPOWERED": "too few rows to tell",
    "INCOMPARABLE": "not comparable",
    "NO_REFERENCE": "not measured",
}

GAPS_EXPLAINED = {
    "NONE": "The data differ from the source's no more than two samples of the source differ from each other.",
    "SMALL": "The data differ from the source's, by little.",
    "LARGE": "The data differ clearly from what the source model was made for.",
    "UNDERPOWERED": "There are too few rows to see a gap that matters, so none is ruled out.",
    "INCOMPARABLE": "Source and target have different kinds of input, so no direct distance exists.",
    "NO_REFERENCE": "No data of the source domain were given, so the distance has no scale to be read on.",
}

VERDICTS = {
    "PROMOTE": "Fit for production: better than what it is compared with, and every required check passed.",
    "SHADOW": "Not worse by more than the margin, but not shown to be better: run it beside the one in production.",
    "HOLD": "The test rows can't tell whether it is better or worse, or an approval is missing.",
    "REJECT": "A required check failed or could not be computed, or it is worse. Nothing was registered.",
}

TONES = {"PROMOTE": "good", "SHADOW": "fair", "HOLD": "fair", "REJECT": "bad", "PLANNED": "calm", "STOPPED": "bad"}


INPUT_SIDE = {
    "tokens_per_word": "tokens a word",
    "unknown_rate": "share of tokens the model does not know",
    "words_mean": "words a text, mean",
    "tokens_median": "tokens a text, median",
    "tokens_p95": "tokens a text, 95 % have no more",
    "cut_rate": "share of texts that are cut off",
    "vocabulary_js": "distance of vocabularies (Jensen-Shannon)",
    "vocabulary_js_within_reference": "the same between two halves of the reference",
    "width_median": "width, median, pixels",
    "height_median": "height, median, pixels",
    "enlarged_rate": "share of images smaller than what the model sees",
    "grey_rate": "share of images without colour",
    "brightness_mean": "brightness, mean, 0 to 1",
    "contrast_mean": "contrast, mean, 0 to 0.5",
    "saturation_mean": "colourfulness, mean, 0 to 1",
    "colour_js": "distance of colours (Jensen-Shannon)",
    "colour_js_within_reference": "the same between two halves of the reference",
}


@dataclass(frozen=True)
class Mark:
    """How the outcome of a check is shown, by sign and word, so that colour is never needed."""

    sign: str
    word: str
    tone: str


MARKS = {
    "passed": Mark("✓", "passed", "good"),
    "failed": Mark("✕", "failed", "bad"),
    "missing": Mark("?", "not computed", "bad"),
    "warned": Mark("!", "warning", "fair"),
    "not_applicable": Mark("–", "does not apply", "calm"),
}

STAGES = {
    "ingest": "reading the data",
    "gap": "measuring the gap",
    "baseline": "fitting the baseline",
    "decide": "deciding",
    "finetune": "fine-tuning",
    "evaluate": "evaluating",
    "register": "registering",
}


def metric_name(metric: str) -> str:
    """A metric as people write it."""
    return METRICS.get(metric, metric)


def spaced(key: str) -> str:
    """A key of a record as words."""
    return key.replace("_", " ")
