"""Compiles the pipelines to the IR that the wheel carries, and writes each component's ``component.yaml`` and README.

``python -m pipelines.compile`` writes them; ``--check`` fails when one of these files is stale.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler

from pipelines.adapt import adapt
from pipelines.describe import component_page, components_page
from pipelines.predict import predict
from pipelines.retrain import retrain

ROOT = Path(__file__).parents[1]
COMPILED = Path("src", "acclimate", "pipelines")
COMPONENTS = Path("components")
PIPELINES = {"adapt": adapt, "retrain": retrain, "predict": predict}


def component_names() -> list[str]:
    """Every folder of components that holds one."""
    return sorted(path.parent.name for path in (ROOT / COMPONENTS).glob("*/component.py"))


def component(name: str) -> Any:
    """A component, as KFP's compiler takes it."""
    return getattr(import_module(f"components.{name}.component"), name)


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file: its path below the repository's root, and its text."""
    for name, pipeline in PIPELINES.items():
        yield COMPILED / f"{name}.yaml", _compiled(pipeline)
    components = {name: component(name) for name in component_names()}
    for name, one in components.items():
        yield COMPONENTS / name / "component.yaml", _compiled(one)
        yield COMPONENTS / name / "README.md", component_page(name, one)
    yield COMPONENTS / "README.md", components_page(components)


def _compiled(pipeline: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


def main() -> int:
    """Write the generated files, or check that they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when a file is stale")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in generated() if not _is_current(ROOT / path, text)]
    for path, text in stale:
        if check:
            sys.stderr.write(f"{path} is stale: run make compile\n")
        else:
            (ROOT / path).parent.mkdir(exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
    return int(check and bool(stale))


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
