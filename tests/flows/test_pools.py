"""The files for training on Kubernetes and ECS, as Prefect reads them; no cloud is asked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_api import Api
from pipelines import ROOT
from prefect.utilities.templating import apply_values

pytest_plugins = ["flow_fixtures"]

POOLS = ROOT / "infra/pools"
ENVIRONMENT = {"DOBBLE_REPOSITORY": "https://example.org/cards.git", "DOBBLE_REVISION": "0" * 40}


def template(kind: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((POOLS / f"{kind}.json").read_text(encoding="utf-8"))
    return values


def rendered(kind: str) -> dict[str, Any]:
    """The job that a worker starts for a run that brings its environment."""
    described = template(kind)["variables"]["properties"]
    defaults = {name: variable["default"] for name, variable in described.items() if "default" in variable}
    given = {"env": ENVIRONMENT, "name": "train", "command": "prefect flow-run execute"}
    made: dict[str, Any] = apply_values(template(kind)["job_configuration"], {**defaults, **given})
    return made


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_server_makes_the_pool_and_keeps_its_template(kind: str, api: Api) -> None:
    body = {"name": f"gpu-{kind}", "type": kind, "base_job_template": template(kind)}
    api.post("/work_pools/", body)
    assert api.get(f"/work_pools/gpu-{kind}")["base_job_template"] == template(kind)


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_every_variable_of_a_pool_is_used_and_every_used_one_is_described(kind: str) -> None:
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template(kind)["job_configuration"])))
    described = template(kind)["variables"]["properties"]
    assert used == set(described)
    assert not [name for name, variable in described.items() if not variable["title"]]


def test_kubernetes_job_has_a_gpu_its_role_and_no_secret_in_it() -> None:
    job = rendered("kubernetes")["job_manifest"]
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["serviceAccountName"] == "dobble-train"
    assert container["env"] == ENVIRONMENT
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in spec["volumes"]}
    assert job["spec"]["backoffLimit"] == 0
    assert "{{" not in json.dumps(job)


def test_ecs_task_has_a_gpu_its_role_and_secrets_by_reference() -> None:
    job = rendered("ecs")
    (container,) = job["task_definition"]["containerDefinitions"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert all(set(secret) == {"name", "valueFrom"} for secret in container["secrets"])
    request = job["task_run_request"]
    (override,) = request["overrides"]["containerOverrides"]
    assert override["name"] == container["name"] == job["container_name"]
    assert override["environment"] == ENVIRONMENT
    assert request["overrides"]["taskRoleArn"].endswith(":role/dobble-train")
    assert "{{" not in json.dumps({name: job[name] for name in ("task_definition", "task_run_request")})


def test_objects_of_kubernetes_fit_one_another() -> None:
    text = (POOLS / "kubernetes.yaml").read_text(encoding="utf-8")
    objects = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}
    properties = template("kubernetes")["variables"]["properties"]
    assert ("Namespace", properties["namespace"]["default"]) in objects
    assert ("ServiceAccount", properties["service_account_name"]["default"]) in objects
    binding = objects["RoleBinding", "dobble-worker"]
    assert ("Role", binding["roleRef"]["name"]) in objects
    worker = objects["Deployment", "dobble-worker"]["spec"]["template"]
    assert worker["spec"]["serviceAccountName"] == binding["subjects"][0]["name"]
    assert worker["metadata"]["labels"] == {"app": "dobble-worker"}
    assert not [one for one in objects if one[0] == "Secret"]


@pytest.mark.parametrize("path", sorted(POOLS.glob("*policy.json")), ids=lambda path: path.stem)
def test_policy_names_what_it_allows(path: Path) -> None:
    policy = json.loads(path.read_text(encoding="utf-8"))
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action)
        if statement["Resource"] == "*":
            assert statement["Sid"] in {"SignIn", "DescribeTasks"}


def test_image_is_built_of_files_that_are_there() -> None:
    lines = (POOLS / "train.Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert {"requirements.lock", "dobble", "flows", "jetson"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
