"""Hands on the frozen baseline where nothing is trained: ``dsl.OneOf`` needs a task in each branch."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def keep_frozen(baseline: str) -> str:
    """Hand on the frozen baseline as the candidate.

    Args:
        baseline: reference of the baseline.

    Returns:
        The same reference.
    """
    return baseline
