"""The pipeline that applies a registered model to a table of rows."""

from kfp import dsl

from components.predict.component import predict as predict_step
from pipelines.settings import CONFIG, placed


@dsl.pipeline(
    name="acclimate-predict",
    description="Write a registered model's predictions for rows of a table.",
    pipeline_config=CONFIG,
)
def predict(request: str, model: str, data: str, out: str, run_id: str = "") -> None:
    """One step: read the rows, predict, write.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or the reference of a run's model.
        data: address of the rows.
        out: address to write the predictions to.
        run_id: names this run's folder in the workspace; empty: KFP's own run id.
    """
    placed(predict_step(request=request, run_id=run_id, model=model, data=data, out=out))
