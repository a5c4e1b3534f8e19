"""What the compiled pipelines hold, and what they must not."""

import ast
import json
import re
from importlib import import_module

import pytest
import yaml

from acclimate.kfp_ir import compiled
from acclimate.steps import RETRIES
from components.image import IMAGE
from pipelines.compile import ROOT, component, component_names, generated
from pipelines.settings import NEEDS, USER

PIPELINES = ("adapt", "retrain", "predict")
YAML_11_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "nan", "inf"}
SECRET_NAMES = {
    "acclimate-s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "acclimate-mlflow": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"},
    "acclimate-ray": {"RAY_AUTH_TOKEN"},
}


@pytest.fixture(scope="module", params=PIPELINES)
def documents(request):
    return tuple(yaml.safe_load_all(compiled(request.param)))


@pytest.fixture
def spec(documents):
    return documents[0]


@pytest.fixture
def executors(documents):
    """Each executor's settings on Kubernetes."""
    return documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def leaves(spec):
    """Each task that runs a container, by name."""
    for one in (spec["root"], *spec["components"].values()):
        for name, task in one.get("dag", {}).get("tasks", {}).items():
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]:
                yield name, task


def test_every_generated_file_is_current():
    stale = [str(path) for path, text in generated() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == []


def test_every_component_has_its_source_its_yaml_and_its_page():
    assert {name.replace("_", "-") for name in component_names()} == set(NEEDS)
    for name in component_names():
        assert {"component.py", "component.yaml", "README.md"} <= {
            path.name for path in (ROOT / "components" / name).iterdir()
        }


def test_every_component_is_in_a_pipeline():
    """One that is in none is never run, by no test either."""
    used = {name for pipeline in PIPELINES for name, _ in leaves(next(yaml.safe_load_all(compiled(pipeline))))}
    assert used == {name.replace("_", "-") for name in component_names()}


def test_a_component_is_one_import_and_one_call():
    for name in component_names():
        tree = ast.parse((ROOT / "components" / name / "component.py").read_text(encoding="utf-8"))
        (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        inside = list(ast.walk(ast.Module(function.body, [])))
        counts = [sum(isinstance(node, kind) for node in inside) for kind in (ast.ImportFrom, ast.Call)]
        assert counts == ([0, 0] if name == "keep_frozen" else [1, 1]), name
        assert not any(isinstance(node, ast.If | ast.For | ast.While | ast.Try) for node in inside)


def test_every_input_and_output_says_what_it_is():
    describe = import_module("pipelines.describe")
    for name in component_names():
        said = describe.meanings(component(name))
        one = component(name).component_spec
        for key in (*(one.inputs or ()), *(one.outputs or ())):
            assert said[key].endswith("."), (name, key)


def test_no_parameter_is_a_word_that_yaml_reads_as_something_else(spec):
    names = set(spec["root"].get("inputDefinitions", {}).get("parameters", {}))
    for one in spec["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for kind in ("parameters", "artifacts"):
                names |= {key.rpartition("-")[2] for key in one.get(side, {}).get(kind, {})}
    assert names
    assert {name for name in names if name.lower() in YAML_11_WORDS} == set()
    assert {type(name) for name in names} == {str}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adapt", {"request", "run_id"}),
        ("retrain", {"request", "run_id"}),
        ("predict", {"request", "run_id", "model", "data", "out"}),
    ],
)
def test_the_parameters_of_a_pipeline(name, expected):
    spec, _ = yaml.safe_load_all(compiled(name))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == expected
    assert {one["parameterType"] for one in parameters.values()} == {"STRING"}
    assert [key for key, one in parameters.items() if one.get("isOptional")] == ["run_id"]


def test_kfp_s_cache_is_off_on_every_task(spec):
    switches = [task["cachingOptions"] for _, task in leaves(spec)]
    assert switches
    assert all(not one.get("enableCache", False) for one in switches)
    assert "enableCache: true" not in yaml.safe_dump(spec)


def test_every_step_is_repeated_after_a_growing_pause(spec):
    for _, task in leaves(spec):
        assert task["retryPolicy"] == {
            "maxRetryCount": RETRIES,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "600s",
        }


def test_every_step_has_requests_limits_and_the_placeholder_image(spec):
    containers = [one["container"] for one in spec["deploymentSpec"]["executors"].values()]
    assert {one["image"] for one in containers} == {IMAGE}
    for one in containers:
        resources = one["resources"]
        assert {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(
            resources
        )
        assert resources["cpuRequest"] <= resources["cpuLimit"]
        assert resources["memoryRequest"] <= resources["memoryLimit"]
        assert "accelerator" not in resources


def test_every_step_ends_in_time_and_is_no_root(spec, executors):
    assert set(executors) == set(spec["deploymentSpec"]["executors"])
    for label, one in executors.items():
        assert 0 < int(one["activeDeadlineSeconds"]) <= 86400
        context = {key: int(value) for key, value in one["securityContext"].items()}
        assert context == {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": 1}
        assert one["imagePullPolicy"] == "IfNotPresent"
        assert [mount["mountPath"] for mount in one["emptyDirMounts"]] == ["/tmp"]
        assert one["emptyDirMounts"][0]["sizeLimit"]
        assert one["podMetadata"]["labels"] == {
            "app.kubernetes.io/part-of": "acclimate",
            "app.kubernetes.io/component": "step",
            "acclimate/stage": label.removeprefix("exec-"),
        }


def test_the_whole_run_has_a_deadline_and_is_cleared_away(documents):
    config = documents[1]["platforms"]["kubernetes"]["pipelineConfig"]
    assert config == {"activeDeadlineSeconds": 3 * 86400, "resourceTtlOnCompletion": 7 * 86400}


def test_secrets_are_named_and_never_held(documents, executors):
    for label, one in executors.items():
        found = {
            secret["secretName"]: {key["secretKey"] for key in secret["keyToEnv"]}
            for secret in one.get("secretAsEnv", ())
        }
        assert all(secret["optional"] for secret in one.get("secretAsEnv", ()))
        assert all(key["secretKey"] == key["envVar"] for s in one.get("secretAsEnv", ()) for key in s["keyToEnv"])
        expected = {} if label == "exec-keep-frozen" else dict(SECRET_NAMES)
        if label != "exec-finetune":
            expected.pop("acclimate-ray", None)
        assert found == expected
    text = json.dumps(documents)
    assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE|password[\"']?: [\"'][^\"']|://[^/\s\"]+:[^/\s\"]+@", text)
    assert '"env":' not in text


def test_only_the_step_that_trains_is_told_of_a_ray_cluster(executors):
    told = {
        label: {key["envVar"] for one_map in one.get("configMapAsEnv", ()) for key in one_map["keyToEnv"]}
        for label, one in executors.items()
        if label != "exec-keep-frozen"
    }
    services = {"AWS_ENDPOINT_URL", "AWS_REGION", "MLFLOW_TRACKING_URI"}
    ray = {"RAY_ADDRESS", "RAY_AUTH_MODE"}
    for label, names in told.items():
        assert names == (services | ray if label == "exec-finetune" else services)


def test_the_run_s_id_comes_from_kfp_where_none_is_given(executors):
    for label, one in executors.items():
        if label != "exec-keep-frozen":
            assert one["fieldPathAsEnv"] == [{"name": "KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}]


def test_each_condition_is_on_a_value_that_its_pipeline_was_given(spec):
    """KFP's local runner takes any other for false, without a word."""
    found = 0
    for one in (spec["root"], *spec["components"].values()):
        given = {f"pipelinechannel--{name}" for name in one.get("inputDefinitions", {}).get("parameters", {})}
        given |= set(one.get("inputDefinitions", {}).get("parameters", {}))
        for task in one.get("dag", {}).get("tasks", {}).values():
            for channel in re.findall(
                r"parameter_values\['([^']+)'\]", task.get("triggerPolicy", {}).get("condition", "")
            ):
                found += 1
                assert channel in given
    assert found == {"acclimate-adapt": 3, "acclimate-retrain": 4, "acclimate-predict": 0}[spec["pipelineInfo"]["name"]]


@pytest.mark.parametrize("name", ["adapt", "retrain"])
def test_the_report_is_made_however_the_run_went(name):
    spec, _ = yaml.safe_load_all(compiled(name))
    tasks = spec["root"]["dag"]["tasks"]
    (body,) = [task for task in tasks if task != "finish"]
    assert tasks["finish"]["dependentTasks"] == [body]
    assert tasks["finish"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def test_adapt_and_retrain_run_the_same_adaptation():
    adapt, retrain = (next(yaml.safe_load_all(compiled(name))) for name in ("adapt", "retrain"))
    assert {name for name, _ in leaves(retrain)} - {name for name, _ in leaves(adapt)} == {"check"}
    shared = [name for name in adapt["components"] if "executorLabel" in adapt["components"][name]]
    assert all(adapt["components"][name] == retrain["components"][name] for name in shared)
    executors = [one["deploymentSpec"]["executors"] for one in (adapt, retrain)]
    assert all(executors[1][label] == one for label, one in executors[0].items())
