"""What every test of a stage does without."""

from collections.abc import Iterator

import pytest

from acclimate.nn import serving_cost


@pytest.fixture(autouse=True, scope="module")
def no_process_of_its_own() -> Iterator[None]:
    """Memory is measured by starting an interpreter, which takes seconds; its own test does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_cost, "serving_memory", lambda *args, **kwargs: 400_000_000)
        yield
