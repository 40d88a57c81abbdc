"""The manifests: rendered where kubectl is, and held against each other, Tally's settings and what was measured."""

import copy
import datetime as dt
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tally.draining import GRACE, HUNG
from tally.pod import ANY_ADDRESS, LAST_FLUSH, Place, read_arguments
from tally.rating_months import AGAIN, SETTLING
from tally.settings import load_settings
from tally.telemetry.opening import address_of
from tally.units import read_size
from tests.cli.examples import problem
from tests.deploy.dockerfile import environment, stages, volumes
from tests.deploy.files import DEPLOY, KUBERNETES, ROOT, read, settings_of

Object = dict[str, Any]

KUSTOMIZATION: Final[Object] = read(KUBERNETES / "kustomization.yaml")
COMPONENT: Final = "app.kubernetes.io/component"
AS_JOBS: Final = "rater-cronjob.yaml"
"""The rater's other form: named in the kustomization instead of rater.yaml."""
PARTITIONS: Final = 8
"""Of the topic for which the memory limit is sized, as deploy/kubernetes/worker.yaml says."""


def objects(*others: str) -> list[Object]:
    """Every object of the kustomization, as it is written, and those of other files."""
    files = [KUBERNETES / name for name in (*KUSTOMIZATION["resources"], *others)]
    return [found for path in files for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found]


def of(kind: str, name: str | None = None) -> Object:
    every = objects(AS_JOBS)
    (found,) = [one for one in every if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def pods() -> dict[str, Object]:
    """The pod templates, by kind and name of what makes them."""
    found = {}
    for one in objects(AS_JOBS):
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            found[f"{one['kind']}/{one['metadata']['name']}"] = template
    return found


STATEFUL: Final = of("StatefulSet")
WORKER: Final[Object] = STATEFUL["spec"]["template"]["spec"]["containers"][0]
SETTINGS: Final = dict(literal.split("=", 1) for literal in KUSTOMIZATION["configMapGenerator"][0]["literals"])


def unsafe(template: Object) -> Iterator[str]:
    """Say what a pod may that it need not, and what of it is not told."""
    spec = template["spec"]
    pod = spec.get("securityContext", {})
    if not (pod.get("runAsNonRoot") and pod.get("runAsUser", 0) > 0 and pod.get("seccompProfile")):
        yield "may be root, or has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "is given a token of the API"
    if spec.get("hostNetwork") or spec.get("hostPID"):
        yield "shares the host's network or processes"
    for container in spec["containers"]:
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            yield "keeps capabilities"
        if not context.get("readOnlyRootFilesystem"):
            yield "may write its root"
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
            yield "has no request or no limit"
        for variable in container.get("env", ()):
            if re.search("STORE|KAFKA|PASSWORD", variable["name"]) and "valueFrom" not in variable:
                yield f"{variable['name']} is written down"
        mounted = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
        if not {*volumes(stages((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))[-1]), "/tmp"} <= mounted:  # noqa: S108
            yield "what the image writes is on no volume"
        if {mount["name"] for mount in container["volumeMounts"]} != {volume["name"] for volume in spec["volumes"]}:
            yield "mounts what is no volume"


@pytest.mark.parametrize("name", pods())
def test_a_pod_may_what_it_needs(name: str) -> None:
    assert list(unsafe(pods()[name])) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pod, _: pod["securityContext"].pop("runAsNonRoot"), "root"),
        (lambda pod, _: pod.update(hostNetwork=True), "host"),
        (lambda pod, _: pod.pop("automountServiceAccountToken"), "token"),
        (lambda _, container: container["securityContext"].pop("readOnlyRootFilesystem"), "write"),
        (lambda _, container: container["securityContext"].pop("capabilities"), "capabilities"),
        (lambda _, container: container["resources"].pop("limits"), "limit"),
        (lambda _, container: container["volumeMounts"].pop(), "volume"),
        (lambda _, container: container["env"].append({"name": "TALLY_STORE", "value": "x"}), "written down"),
    ],
)
def test_what_is_unsafe_is_found(change: Callable[[Object, Object], object], said: str) -> None:
    template = copy.deepcopy(STATEFUL["spec"]["template"])
    change(template["spec"], template["spec"]["containers"][0])
    assert any(said in found for found in unsafe(template))


def test_every_file_of_the_folder_is_applied_or_named_as_the_other_form() -> None:
    written = (KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8")
    assert AS_JOBS in written
    assert AS_JOBS not in KUSTOMIZATION["resources"]
    assert {path.name for path in KUBERNETES.iterdir()} == {"kustomization.yaml", AS_JOBS, *KUSTOMIZATION["resources"]}


def test_selectors_find_the_workers_and_nothing_else() -> None:
    labels = STATEFUL["spec"]["template"]["metadata"]["labels"]
    spread = STATEFUL["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    wanted = [
        STATEFUL["spec"]["selector"]["matchLabels"],
        of("Service")["spec"]["selector"],
        of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of("NetworkPolicy", "tally-worker")["spec"]["podSelector"]["matchLabels"],
        spread,
    ]
    for selector in wanted:
        assert selector.items() <= labels.items()
        for name, template in pods().items():
            if name != "StatefulSet/tally-worker":
                assert not selector.items() <= template["metadata"]["labels"].items(), name
    pairs = KUSTOMIZATION["labels"][0]["pairs"]
    assert all(pairs.get(key, value) == value for key, value in labels.items())


def test_each_pod_knows_its_number_and_the_addresses() -> None:
    assert WORKER["command"] == ["python", "-m", "tally.pod"]
    name, service = STATEFUL["metadata"]["name"], of("Service")["metadata"]["name"]
    assert STATEFUL["spec"]["serviceName"] == service
    replicas = STATEFUL["spec"]["replicas"]
    (port,) = [one["port"] for one in of("Service")["spec"]["ports"] if one["name"] == "bytewax"]
    for number in range(replicas):
        place = read_arguments([argument.replace("$(POD_NAME)", f"{name}-{number}") for argument in WORKER["args"]])
        others = tuple(
            f"{ANY_ADDRESS if other == number else f'{name}-{other}.{service}'}:{port}" for other in range(replicas)
        )
        assert place == Place(number, others)
    fields = {one["name"]: one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") for one in WORKER["env"]}
    assert fields["POD_NAME"] == "metadata.name"


def test_they_can_find_each_other_and_are_replaced_together() -> None:
    spec = STATEFUL["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    service = of("Service")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True


def test_the_number_of_workers_is_written_once() -> None:
    (replacement,) = KUSTOMIZATION["replacements"]
    assert replacement["source"] == {"kind": "StatefulSet", "name": "tally-worker", "fieldPath": "spec.replicas"}
    (target,) = replacement["targets"]
    assert target["fieldPaths"] == ["spec.template.spec.containers.[name=worker].args.1"]
    assert WORKER["args"][1].partition("=")[0] == "--processes"


@pytest.mark.parametrize("name", ["StatefulSet/tally-worker", "Deployment/tally-rater"])
def test_probes_ask_the_pages_where_they_are(name: str) -> None:
    (container,) = pods()[name]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    host, port = address_of(SETTINGS["TALLY_METRICS_ADDRESS"], 0)
    assert (host, port) == (ANY_ADDRESS, ports["metrics"])
    pages = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert all(ports[page["port"]] == port for page in pages.values())
    assert {kind: page["path"] for kind, page in pages.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert pods()[name]["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_only_workers_reach_bytewax() -> None:
    ports = {port["name"]: port["containerPort"] for port in WORKER["ports"]}
    policy = of("NetworkPolicy", "tally-worker")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    allowed = {one["port"]: rule["from"] for rule in policy["ingress"] for one in rule["ports"]}
    assert allowed.keys() == set(ports.values())
    assert allowed[ports["bytewax"]] == [{"podSelector": policy["podSelector"]}]
    assert of("NetworkPolicy", "tally-no-ingress")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_only_who_watches_reaches_the_rater() -> None:
    policy = of("NetworkPolicy", "tally-rater")["spec"]
    labels = pods()["Deployment/tally-rater"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (rule,) = policy["ingress"]
    watching = of("NetworkPolicy", "tally-worker")["spec"]["ingress"][1]
    assert (policy["policyTypes"], rule) == (["Ingress"], watching)


def test_there_is_time_to_drain() -> None:
    assert STATEFUL["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > LAST_FLUSH + 5
    assert pods()["Deployment/tally-rater"]["spec"]["terminationGracePeriodSeconds"] > GRACE + HUNG + 5


def test_the_rater_stays_and_is_never_two_releases_at_once() -> None:
    spec = of("Deployment", "tally-rater")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    (container,) = spec["template"]["spec"]["containers"]
    assert problem(container["args"]) is None
    assert "command" not in container, "the image's own is `tally`, which so gets the signals"
    # The file's own words: what it says of its schedule is what it does.
    text = (KUBERNETES / "rater.yaml").read_text(encoding="utf-8")
    assert f"every {AGAIN // dt.timedelta(hours=1)} hours" in text.replace("two", "2")
    assert f"for {SETTLING.days} days" in text
    assert "--every=10min" in container["args"]


def test_both_forms_of_the_rater_read_the_same_with_the_same_rights() -> None:
    stays, jobs = (pods()[name]["spec"] for name in ("Deployment/tally-rater", "CronJob/tally-rater"))
    for key in ("securityContext", "automountServiceAccountToken", "volumes"):
        assert stays[key] == jobs[key], key
    (one,), (other,) = stays["containers"], jobs["containers"]
    for key in ("env", "envFrom", "securityContext", "volumeMounts"):
        assert one[key] == other[key], key
    assert one["resources"]["limits"] == other["resources"]["limits"]


def measured_peak() -> int:
    """The bytes at which a process that reads JSON messages from Kafka peaked, from the page of measurements."""
    row = next(
        line
        for line in (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| kafka-json ")
    )
    return int(row.split("|")[6].replace(",", "")) * 1_000_000


def test_the_run_stops_at_its_own_bound_before_the_kernel_stops_it() -> None:
    each = -(-PARTITIONS // STATEFUL["spec"]["replicas"])
    needed = measured_peak() + each * read_size(SETTINGS["TALLY_DEDUPE_MAX_BYTES"])
    limit = WORKER["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert needed <= int(limit[:-2]) << 30
    assert measured_peak() <= int(WORKER["resources"]["requests"]["memory"][:-2]) << 30


def test_tally_reads_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of(SETTINGS)
    for key, value in SETTINGS.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert all(settings.origin(key) == f"TALLY_{key.upper()}" for key in given)
    assert settings.sources[0].startswith("kafka://")
    for template in pods().values():
        (container,) = template["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": KUSTOMIZATION["configMapGenerator"][0]["name"]}}]
        settings_of({one["name"]: "" for one in container["env"]})


def test_secrets_and_prices_are_referred_to_and_told_in_the_readme() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    written = "\n".join(path.read_text(encoding="utf-8") for path in KUBERNETES.iterdir())
    assert "kind: Secret" not in written
    for name, key in set(re.findall(r"secretKeyRef:\s+name: (\S+)\s+key: (\S+)", written)):
        assert re.search(rf"create secret generic {name} --from-file={key}=", text)
    assert re.search(r"create configmap tally-prices --from-file=prices.yaml --from-file=contracts.yaml", text)
    for name, template in pods().items():
        if "rater" in name:
            given = {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}
            assert given["TALLY_BOOK"] == "/etc/tally/prices.yaml"
            assert given["TALLY_CONTRACTS"] == "/etc/tally/contracts.yaml"


@pytest.mark.parametrize("name", [one["metadata"]["name"] for one in objects(AS_JOBS) if one["kind"] == "CronJob"])
def test_a_schedule_runs_a_command_and_never_twice_at_once(name: str) -> None:
    job = of("CronJob", name)["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["timeZone"] == "Etc/UTC"
    assert re.fullmatch(r"(\S+ ){4}\S+", job["schedule"])
    (script,) = pods()[f"CronJob/{name}"]["spec"]["containers"][0]["args"]
    # The shell becomes the command, which so gets the signals and gives the exit status.
    (command,) = re.findall(r"exec tally ([^>\n]+)", script)
    assert problem(re.sub(r'"\$\(.*\)"', "2026-11", command).split()) is None


@pytest.mark.parametrize(
    "script",
    sorted(pods()[name]["spec"]["containers"][0]["args"][0] for name in pods() if "CronJob/tally-rater" in name),
)
def test_the_month_is_one(script: str) -> None:
    months = re.findall(r'--period ("\$\(.*\)")', script)
    said = subprocess.run(["/bin/sh", "-c", f"echo {months[0]}"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])\n", said)


def rendered(folder: Path = KUBERNETES) -> list[Object]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here, which has kustomize in it")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_kustomize_puts_it_together() -> None:
    found = rendered()
    assert len(found) == len(objects()) + len(KUSTOMIZATION["configMapGenerator"])
    assert {one["metadata"].get("namespace", "tally") for one in found} == {"tally"}
    (stateful,) = [one for one in found if one["kind"] == "StatefulSet"]
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "tally:0.1.0"
    assert f"--processes={stateful['spec']['replicas']}" in container["args"]
    (settings,) = [one for one in found if one["kind"] == "ConfigMap"]
    assert settings["data"] == SETTINGS
    assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]


def with_jobs(tmp_path: Path) -> Path:
    """The same folder with the rater's other form chosen, by the one line that the comment beside it names."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("  - rater.yaml ") == 1
    file.write_text(text.replace("  - rater.yaml ", f"  - {AS_JOBS} "), encoding="utf-8")
    return tmp_path / "kubernetes"


def test_one_line_chooses_the_form_of_the_rater(tmp_path: Path) -> None:
    for folder, kinds in ((KUBERNETES, {"Deployment"}), (with_jobs(tmp_path), {"CronJob"})):
        raters = [one for one in rendered(folder) if one["metadata"].get("labels", {}).get(COMPONENT) == "rater"]
        assert {one["kind"] for one in raters} - {"NetworkPolicy"} == kinds


def test_the_objects_are_such_as_the_api_takes(tmp_path: Path) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="the API's schemas are in the package kubernetes-validate"
    )
    for one in rendered() + rendered(with_jobs(tmp_path)):
        for release in ("1.32", "1.37"):
            validate.validate(one, release, strict=True)


def test_the_image_is_of_the_user_that_the_pods_are() -> None:
    last = stages((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))[-1]
    (user,) = last.all("USER")
    for template in pods().values():
        context = template["spec"]["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["fsGroup"] == context["runAsGroup"]
    mounts = {mount["name"]: mount["mountPath"] for mount in WORKER["volumeMounts"]}
    assert mounts["compiled"] == environment(last)["NUMBA_CACHE_DIR"]
