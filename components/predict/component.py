"""Prediction as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def predict(request: str, run_id: str, model: str, data: str, out: str) -> str:
    """Write a registered model's predictions for rows of a table.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or the reference of a run's model.
        data: address of the rows.
        out: address to write the predictions to.

    Returns:
        The predictions' address.
    """
    from acclimate.steps import run_predict

    return run_predict(request, run_id, model, data, out)
