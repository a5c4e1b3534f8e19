"""The ``evaluate`` stage as a KFP component: one import, one call."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    request: str,
    run_id: str,
    data: str,
    baseline: str,
    candidate: str,
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
) -> str:
    """Judge the candidate on the test split.

    Args:
        request: the adaptation, its project root and its workspace as JSON; holds no secret.
        run_id: names this run in the workspace; empty: KFP's own run id.
        data: reference of the ingested data.
        baseline: reference of the baseline.
        candidate: reference of the model to judge: a fine-tuned one or the frozen baseline.
        metrics: the stage's main numbers, for KFP's own page.
        confusion: the confusion matrix on the test split, for KFP's own page.

    Returns:
        The evaluation's reference.
    """
    from acclimate.steps import run_step

    shown = {"metrics": metrics, "confusion": confusion}
    return run_step("evaluate", request, run_id, shown, data=data, baseline=baseline, candidate=candidate)
