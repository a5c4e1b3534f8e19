"""What is said differently of each task: names of models and controls, and how the baseline was scored."""

from __future__ import annotations

from collections.abc import Mapping

from acclimate.core.control_names import SEED
from acclimate.records import GENERATION_TASK, BaselineReport
from acclimate.report.wording import CONTROLS_EXPLAINED, MODELS, MODELS_EXPLAINED

_MODELS_THAT_WRITE = {
    "frozen": "prompted source model",
    "majority": "always the commonest answer",
    "source_as_is": "zero-shot source model",
}

_MODELS_THAT_WRITE_EXPLAINED = {
    "frozen": "The pretrained model stays as it is and is prompted, with examples where they helped.",
    "lora": MODELS_EXPLAINED["lora"],
    "ia3": MODELS_EXPLAINED["ia3"],
    "bitfit": "Only biases and normalisation are trained.",
    "partial": "Only the top layers are trained.",
    "gradual": MODELS_EXPLAINED["gradual"],
    "full": "All weights are trained further.",
    "scratch": MODELS_EXPLAINED["scratch"],
}

_CONTROLS_OF_WRITING = {
    "nearest": "The answer to the training prompt that is most similar by its words: no network at all.",
    "majority": "Always gives the commonest answer; where single tokens are scored, always the commonest token.",
    "source_as_is": "The source model, prompted without any example.",
}


def model_name(key: str, task: str) -> str:
    """A strategy, control or compared model as people would call it; unknown ones keep their own name."""
    if key.startswith(SEED):
        return f"seed {key.removeprefix(SEED)}"
    own = _MODELS_THAT_WRITE if task == GENERATION_TASK else {}
    return own.get(key, MODELS.get(key, key))


def models_explained(task: str) -> Mapping[str, str]:
    """The strategies of a task, each in a sentence."""
    return _MODELS_THAT_WRITE_EXPLAINED if task == GENERATION_TASK else MODELS_EXPLAINED


def controls_explained(task: str) -> Mapping[str, str]:
    """The controls of a task, each in a sentence."""
    return _CONTROLS_OF_WRITING if task == GENERATION_TASK else CONTROLS_EXPLAINED


def baseline_words(task: str) -> str:
    """What the baseline is and how it was scored."""
    return "prompted source model" if task == GENERATION_TASK else "frozen model, cross-validated"


def epoch_metric(metric: str, task: str) -> str:
    """What epochs are compared by: the goal's metric; of text generation token accuracy, which moves earlier."""
    return "token_accuracy" if task == GENERATION_TASK else metric


def source_score_words(task: str) -> str:
    """How it is measured what an arm has kept of the source."""
    if task == GENERATION_TASK:
        return "of the tokens of the source's own texts foretold"
    return "for a probe on its features on the source's own task"


def scored_by(baseline: BaselineReport) -> str:
    """How a baseline was scored: ``cross-validated``, or prompted with so many examples."""
    if baseline.prompted is None:
        return "cross-validated"
    shots = baseline.prompted.shots
    examples = "without examples" if shots == 0 else f"with {shots} example{'s' if shots > 1 else ''}"
    return f"prompted {examples}"
