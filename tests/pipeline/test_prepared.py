"""What is put into a compiled pipeline before it goes to a cluster."""

import json
import sys
from pathlib import Path
from subprocess import run

import pytest
import yaml
from jsonschema import Draft202012Validator

from acclimate.errors import ConfigError
from acclimate.kfp_ir import PIPELINES, compiled, local_ir, objects, prepared

ROOT = Path(__file__).parents[2]
DIGEST = "@sha256:" + "ab" * 32
IMAGE = "registry.example:5000/team/acclimate:0.1.0" + DIGEST
TRAINING = "registry.example/acclimate-cuda" + DIGEST
REAL_SCHEMAS = ROOT.parent / "shared" / "schemas"


def containers(text):
    spec = next(yaml.safe_load_all(text))
    return {label: one["container"] for label, one in spec["deploymentSpec"]["executors"].items()}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_digest_is_put_everywhere_with_a_word_of_it_to_the_step_and_nothing_else_changes(name):
    before, found = list(yaml.safe_load_all(compiled(name))), list(yaml.safe_load_all(prepared(name, image=IMAGE)))
    for label, executor in found[0]["deploymentSpec"]["executors"].items():
        old = before[0]["deploymentSpec"]["executors"][label]["container"]
        new = executor["container"]
        assert new.pop("image") == IMAGE
        assert new.pop("env") == [*old.pop("env", []), {"name": "ACCLIMATE_STEP_IMAGE", "value": IMAGE}]
        del old["image"]
    assert found == before


def test_only_training_gets_its_own_image_and_accelerators():
    found = containers(prepared("retrain", image=IMAGE, training_image=TRAINING, gpus=2, accelerator="amd.com/gpu"))
    for label, one in found.items():
        trains = label == "exec-finetune"
        assert one["image"] == (TRAINING if trains else IMAGE)
        assert {"name": "ACCLIMATE_STEP_IMAGE", "value": one["image"]} in one["env"]
        assert ("accelerator" in one["resources"]) == trains
    assert found["exec-finetune"]["resources"]["accelerator"] == {
        "type": "amd.com/gpu",
        "count": "2",
        "resourceType": "amd.com/gpu",
        "resourceCount": "2",
    }


def test_predicting_takes_no_accelerator():
    assert all(
        "accelerator" not in one["resources"] for one in containers(prepared("predict", image=IMAGE, gpus=1)).values()
    )


@pytest.mark.parametrize(
    "image",
    [
        "acclimate",
        "acclimate:latest",
        "acclimate@sha256:abc",
        "acclimate:1 " + DIGEST,
        "",
        "$(x)" + DIGEST,
        "acclimate@md5:" + "ab" * 32,
        "acclimate" + DIGEST + "\n",
    ],
)
def test_an_image_without_a_digest_is_refused(image):
    with pytest.raises(ConfigError) as caught:
        prepared("adapt", image=image)
    assert caught.value.code == "E-KFP-102"
    with pytest.raises(ConfigError):
        prepared("adapt", image=IMAGE, training_image=image or "x")


def test_a_tag_is_taken_where_it_is_allowed():
    text = prepared("adapt", image="localhost:5001/acclimate:dev", allow_tag=True)
    assert {one["image"] for one in containers(text).values()} == {"localhost:5001/acclimate:dev"}
    with pytest.raises(ConfigError):
        prepared("adapt", image="acclimate", allow_tag=True)


def test_an_unknown_pipeline_and_negative_gpus_are_refused():
    with pytest.raises(ConfigError) as caught:
        compiled("../errors")
    assert caught.value.code == "E-KFP-101"
    with pytest.raises(ConfigError) as caught:
        prepared("adapt", image=IMAGE, gpus=-1)
    assert caught.value.code == "E-KFP-103"


def test_a_run_here_is_spared_the_cluster_s_settings():
    (spec,) = yaml.safe_load_all(local_ir(compiled("retrain")))
    text = json.dumps(spec)
    assert "retryPolicy" not in text
    assert "resources" not in {key for one in spec["deploymentSpec"]["executors"].values() for key in one["container"]}
    assert set(spec["root"]["dag"]["tasks"]) == {"exit-handler-1", "finish"}


@pytest.mark.parametrize("name", PIPELINES)
def test_kubernetes_objects_are_what_kfp_s_own_compiler_writes(name, tmp_path):
    from kfp.compiler import Compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    from pipelines.compile import PIPELINES as DEFINED

    options = KubernetesManifestOptions(
        pipeline_name=f"acclimate-{name}",
        pipeline_version_name=f"acclimate-{name}-0.1.0",
        pipeline_version_display_name=f"acclimate-{name}-0.1.0",
        namespace="team",
        include_pipeline_manifest=True,
    )
    path = tmp_path / "objects.yaml"
    Compiler().compile(DEFINED[name], str(path), kubernetes_manifest_options=options, kubernetes_manifest_format=True)
    ours = objects(f"acclimate-{name}", compiled(name), version="0.1.0", namespace="team")
    assert list(yaml.safe_load_all(ours)) == list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("namespace", [None, "team"])
def test_kubernetes_objects_fit_a_closed_schema(name, namespace):
    schema = Draft202012Validator(json.loads((ROOT / "tests/schemas/kfp_objects.json").read_text()))
    found = list(
        yaml.safe_load_all(objects(f"acclimate-{name}", prepared(name, image=IMAGE), version="1", namespace=namespace))
    )
    assert [one["kind"] for one in found] == ["Pipeline", "PipelineVersion"]
    for one in found:
        schema.validate(one)
        assert one["metadata"].get("namespace") == namespace


@pytest.mark.skipif(not REAL_SCHEMAS.is_dir(), reason="KFP's own schemas are not here: ../shared/schemas")
@pytest.mark.parametrize("name", PIPELINES)
def test_kubernetes_objects_fit_kfp_s_own_schemas(name):
    for one in yaml.safe_load_all(objects(f"acclimate-{name}", prepared(name, image=IMAGE), version="1")):
        path = REAL_SCHEMAS / f"{one['kind']}-pipelines.kubeflow.org-v2beta1.json"
        Draft202012Validator(closed(json.loads(path.read_text()))).validate(one)


@pytest.mark.parametrize(
    ("name", "version"), [("Acclimate", "1"), ("acclimate", "x" * 250), ("a b", "1"), ("a", "1\n")]
)
def test_what_is_no_name_for_kubernetes_is_refused(name, version):
    with pytest.raises(ConfigError) as caught:
        objects(name, compiled("predict"), version=version)
    assert caught.value.code == "E-KFP-104"


def test_preparing_a_pipeline_imports_no_kfp():
    work = "from acclimate.kfp_ir import compiled, local_ir; local_ir(compiled('adapt'))"
    code = f"import sys; {work}; print('kfp' in sys.modules)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def closed(schema):
    """A Kubernetes schema as its server reads it: what is not named is refused."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) for key, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found
