"""The report as one HTML file: no script, nothing loaded from anywhere, the same bytes for the same records."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from acclimate.errors import UnavailableError
from acclimate.report import numbers, task_words, wording
from acclimate.report.confusions import confusions
from acclimate.report.headline import headline, workspace_option
from acclimate.report.input_side import both_sides
from acclimate.report.lineage import lineage
from acclimate.report.safety import visible, without_credentials
from acclimate.report.standing import Standing, at_registration
from acclimate.report.summary import summary
from acclimate.report.view import ReportView
from acclimate.report.written import write_whole

if TYPE_CHECKING:
    import jinja2

    from acclimate.report.figures.canvas import Drawing

FILE_NAME = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
_USE = re.compile(r'<section id="use">.*?</section>', re.DOTALL)


def render(view: ReportView, out: Path) -> Path:
    """Write the report of a run into a folder, whole or not at all.

    Args:
        view: the run, however far it came.
        out: folder, created if absent; an older report in it is replaced.

    Returns:
        Path of the file, ``out/report.html``.

    Raises:
        UnavailableError: E-REPORT-001, the file can't be written; E-REPORT-002, a library is not installed.
    """
    hint = "free some space or choose a folder you may write to; nothing else of the run is lost"
    return write_whole(out / FILE_NAME, html(view), "the report", hint)


def drawings(view: ReportView) -> dict[str, Drawing]:
    """Every figure that the run came far enough for, by name.

    Raises:
        UnavailableError: E-REPORT-002, a library is not installed.
    """
    with _libraries():
        from acclimate.report.figures import draw_all

        return draw_all(view)


@contextmanager
def _libraries() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "E-REPORT-002", f"the report needs {error.name}", hint="pip install 'acclimate[report]'"
        ) from error


def html(view: ReportView, figures: Mapping[str, Drawing] | None = None) -> str:
    """The report as text.

    Args:
        view: the run, however far it came.
        figures: what :func:`drawings` made of it; None draws them.

    Raises:
        UnavailableError: E-REPORT-002, a library is not installed.
    """
    figures = drawings(view) if figures is None else figures
    with _libraries():
        page = environment().get_template("report.html.j2")
    return page.render(
        view=view,
        headline=headline(view),
        summary=summary(view),
        figures=figures,
        lineage=lineage(view),
        standing=_standing(view),
        input_side=both_sides(view.gap.input_side) if view.gap else [],
        confusions=confusions(view.evaluation) if view.evaluation else [],
        config_yaml=_yaml(view),
        problems=_problems(view),
        wording=wording,
        writes=view.data.is_generation,
        baseline_words=task_words.baseline_words(view.data.task),
        models_explained=task_words.models_explained(view.data.task),
        controls_explained=task_words.controls_explained(view.data.task),
        scored_by=task_words.scored_by,
        inputs="images" if view.data.has_images else "texts",
        controls=[one.name for one in view.baseline.controls] if view.baseline else [],
    )


def with_standing(page: str, found: Standing) -> str:
    """A report whose section on use says how its version stands now; without such a section it is left as it is.

    Args:
        page: what :func:`html` gave when the run ended.
        found: the version by now.
    """
    with _libraries():
        template = environment().from_string('{% from "_macros.html.j2" import foreign %}{% include "_use.html.j2" %}')
    section = template.render(standing=found).strip()
    return _USE.sub(lambda _: section, page, count=1)


def _standing(view: ReportView) -> Standing | None:
    if view.registration is None or view.verdict is None:
        return None
    return at_registration(view.name, view.registration, view.verdict, workspace_option(view))


@cache
def environment() -> jinja2.Environment:
    """What all pages are rendered by: everything is escaped, and hidden characters are shown.

    Raises:
        ModuleNotFoundError: jinja2 is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = ("score", "signed", "bounds", "signed_bounds", "units", "p_value", "share", "seconds", "size", "plain")
    environment.filters.update({name: getattr(numbers, name) for name in formats})
    environment.filters.update(
        whole=numbers.count,
        timed=numbers.timed,
        excerpt=excerpt,
        metric=wording.metric_name,
        model=jinja2.pass_context(_model),
        spaced=wording.spaced,
        redacted=without_credentials,
    )
    return environment


def _model(context: Mapping[str, Any], key: str) -> str:
    return task_words.model_name(key, context["view"].data.task)


def _finalize(value: Any) -> Any:
    # Exactly str: Markup, a subclass, holds text that has been through here already.
    return visible(value) if type(value) is str else value


def excerpt(text: str, length: int = 400) -> str:
    """The beginning of a text, with its length where it was cut."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"


def _problems(view: ReportView) -> list[dict[str, str]]:
    error = view.error or {}
    rows = [error, *error.get("more", [])] if error else []
    named = [{key: str(row.get(key, "")) for key in ("code", "message", "where", "hint")} for row in rows]
    return [{key: without_credentials(text) for key, text in row.items()} for row in named]


def _yaml(view: ReportView) -> str:
    yaml, buffer = YAML(typ="safe"), io.StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it None
    yaml.dump(without_credentials(dict(view.config)), buffer)
    return buffer.getvalue()
