"""What the predict pipeline is sent: a model the cluster can fetch, rows it can read, a place it can write to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acclimate.adapters.data_uris import absolute_data
from acclimate.adapters.s3 import S3Uri
from acclimate.cluster.preparing import Pipeline, published_data, require_shared
from acclimate.config import SourceSpec
from acclimate.config_retrain import RetrainSpec
from acclimate.errors import ConfigError
from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.ports import Progress, silent

_REGISTERED = ("models:/", "runs:/")


@dataclass(frozen=True)
class Prediction:
    """A table to be predicted on a cluster.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``runs:/ID/PATH``, or the address of a finished stage
            ``baseline`` or ``finetune`` in the workspace.
        data: the rows, read as the target's are (text column, encoding, format): ``s3://BUCKET/KEY``, ``dvc://PATH``,
            or a path relative to the working directory, which is uploaded.
        out: ``s3://BUCKET/KEY`` of the CSV file to write.
    """

    model: str
    data: str
    out: str

    @classmethod
    def of(cls, pipeline: Pipeline, model: str | None, data: str | None, out: str | None) -> Prediction | None:
        """The prediction that is asked for; None where another pipeline is.

        Raises:
            ConfigError: E-KFP-026, predict lacks one of the three; E-KFP-027, another pipeline was given one;
                E-PREDICT-001, ``out`` is no object on S3.
        """
        given = {"--model": model, "--data": data, "--out": out}
        if pipeline != "predict":
            named = [name for name, value in given.items() if value]
            if named:
                raise ConfigError(
                    "E-KFP-027",
                    f"the pipeline {pipeline} takes no {', '.join(named)}",
                    hint="add --pipeline predict; what is adapted stands in the adaptation.yaml",
                )
            return None
        if not (model and data and out):
            lacking = [name for name, value in given.items() if not value]
            raise ConfigError(
                "E-KFP-026",
                f"the pipeline predict needs {', '.join(lacking)}",
                hint="for example --model models:/NAME@champion --data new.csv --out s3://BUCKET/predicted.csv",
            )
        _require_object(out)
        return cls(model, data, out)


def _require_object(out: str) -> None:
    if not out.startswith("s3://"):
        says = "the predictions would be lost with the pod's disk"
    elif out.endswith("/") or not S3Uri.parse(out).key:
        says = "the predictions are one CSV file, and this is no file's address"
    else:
        return
    raise ConfigError("E-PREDICT-001", says, where=f"--out {out[:200]}", hint="write s3://BUCKET/KEY")


def prediction_request(
    path: Path,
    overrides: Sequence[str],
    prediction: Prediction,
    *,
    allow_outside: bool,
    progress: Progress = silent,
) -> tuple[Request, Prediction]:
    """Read an adaptation.yaml for what a prediction needs of it, and upload the rows if they lie on this machine.

    Args:
        path: the adaptation.yaml: its workspace, registry, text column, encoding and format count, its source model
            and data don't and are not sent.
        overrides: ``section.key=value`` settings.
        prediction: as asked for.
        allow_outside: the rows may lie outside the project root.
        progress: told of an upload.

    Returns:
        A request that means the same on every machine, and the prediction with the address of the rows.

    Raises:
        ConfigError: E-KFP-017, the workspace is a local folder; E-KFP-028, the cluster can't fetch the model.
        AcclimateError: whatever is wrong with the file or the rows.
    """
    request = load_request(path, overrides, allow_outside=allow_outside, pin=False)
    require_shared(request, path)
    stages = f"{request.workspace.rstrip('/')}/stages/"
    if not prediction.model.startswith((*_REGISTERED, stages)):
        raise ConfigError(
            "E-KFP-028",
            "the cluster can't fetch this model",
            where=f"--model {prediction.model[:200]}",
            hint=f"give models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID/PATH, or what lies below {stages}",
        )
    data = absolute_data(prediction.data, Path.cwd(), request.root, allow_outside=allow_outside, name="--data")
    settled = replace(prediction, data=published_data(data, "--data", request, progress))
    config = request.adaptation
    target = config.target.model_copy(update={"data": settled.data, "split": None, "slices": []})
    changed = {"target": target, "source": SourceSpec(model=settled.model), "retrain": RetrainSpec()}
    return replace(request, adaptation=config.model_copy(update=changed), root=Path("/")), settled
