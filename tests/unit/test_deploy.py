"""Manifests: valid by Kubernetes' schemas, least privilege, and in step with the rest of the project."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from toposcope import config

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
BASE = [
    path
    for path in sorted((KUBERNETES / "base").glob("*.yaml"))
    if path.stem not in ("kustomization", "config")
]
OVERLAYS = sorted((KUBERNETES / "overlays").glob("*/kustomization.yaml"))


def read(path: Path):
    return yaml.safe_load(path.read_text())


def applied(document, patches):
    """JSON patches (RFC 6902: add and replace) as Kustomize would apply them."""
    document = copy.deepcopy(document)
    for patch in patches:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in patch["path"].split("/")[1:]]
        place = document
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            if last == "-":
                place.append(patch["value"])
            else:
                place[int(last)] = patch["value"]
        else:
            assert patch["op"] == "add" or last in place, patch["path"]
            place[last] = patch["value"]
    return document


def overlay(path: Path):
    patches = {}
    for patch in read(path).get("patches", ()):
        patches.setdefault(patch["target"]["kind"], []).extend(yaml.safe_load(patch["patch"]))
    return patches


DOCUMENTS = [pytest.param(read(path), id=path.stem) for path in BASE]
DOCUMENTS += [
    pytest.param(applied(document, patches), id=f"{path.parent.name} {document['kind']}")
    for path in OVERLAYS
    for document in map(read, BASE)
    if (patches := overlay(path).get(document["kind"]))
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_manifests_are_valid_by_kubernetes_schemas(document):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate (extra: dev) is not installed"
    )
    for version in ("1.28", "1.31"):
        validate.validate(document, version, strict=True)


KUSTOMIZATIONS = [KUBERNETES / "base", *(path.parent for path in OVERLAYS)]


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_kustomize_builds_what_kubernetes_takes(folder):
    """`kubectl kustomize` needs no cluster: generators, patches and labels as they will be applied."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate (extra: dev)")
    built = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, check=True
    ).stdout
    documents = list(yaml.safe_load_all(built))
    assert {"DaemonSet", "Service", "NetworkPolicy", "ConfigMap", "Namespace"} <= {
        each["kind"] for each in documents
    }
    (daemonset,) = (each for each in documents if each["kind"] == "DaemonSet")
    (config_map,) = (each for each in documents if each["kind"] == "ConfigMap")
    volumes = daemonset["spec"]["template"]["spec"]["volumes"]
    assert config_map["metadata"]["name"] in [each.get("configMap", {}).get("name") for each in volumes]
    for each in documents:
        if "monitoring.coreos.com" not in each["apiVersion"]:  # not one of Kubernetes' own
            validate.validate(each, "1.31", strict=True)


def test_the_pod_has_no_privilege():
    pod = read(KUBERNETES / "base/daemonset.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all("hostPath" not in volume for volume in pod["volumes"])


def test_no_quota_throttles_the_probes():
    (container,) = read(KUBERNETES / "base/daemonset.yaml")["spec"]["template"]["spec"]["containers"]
    assert "cpu" not in container["resources"]["limits"]


def test_every_listed_resource_is_there():
    for path in KUBERNETES.rglob("kustomization.yaml"):
        listed = read(path)
        assert listed["apiVersion"] == "kustomize.config.k8s.io/v1beta1"
        files = [
            *listed["resources"],
            *(f for each in listed.get("configMapGenerator", ()) for f in each["files"]),
        ]
        for name in files:
            assert (path.parent / name).exists(), f"{path}: {name}"


def test_the_mounted_configuration_is_valid():
    text = (KUBERNETES / "base/config.yaml").read_text().replace("POD_IP", "10.1.2.3")
    settings = config.parse(text.encode(), "config.yaml")
    assert config.split_address(settings.web.listen_address) == ("10.1.2.3", 9847)


def test_names_and_ports_agree():
    labels = {"app.kubernetes.io/name": "toposcope"}
    daemonset, service, policy = (
        read(KUBERNETES / f"base/{n}.yaml") for n in ("daemonset", "service", "networkpolicy")
    )
    monitor = read(KUBERNETES / "overlays/prometheus-operator/servicemonitor.yaml")
    assert daemonset["spec"]["template"]["metadata"]["labels"] == labels
    assert daemonset["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == service["metadata"]["labels"] == labels
    assert (
        policy["spec"]["podSelector"]["matchLabels"] == monitor["spec"]["selector"]["matchLabels"] == labels
    )
    (port,) = daemonset["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert port["name"] == service["spec"]["ports"][0]["name"] == monitor["spec"]["endpoints"][0]["port"]
    assert port["containerPort"] == 9847
    assert f"EXPOSE {port['containerPort']}" in (ROOT / "deploy/Containerfile").read_text()


def test_the_alerts_job_is_the_monitors_job():
    monitor = read(KUBERNETES / "overlays/prometheus-operator/servicemonitor.yaml")
    scrape = read(ROOT / "prometheus/prometheus.yaml")["scrape_configs"][0]
    assert monitor["spec"]["jobLabel"] in read(KUBERNETES / "base/service.yaml")["metadata"]["labels"]
    assert scrape["job_name"] == "toposcope"
