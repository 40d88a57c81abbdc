"""The Compose file, by rules: what waits for what, what is open to whom, and whether Tally reads what it is given."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]  # documented there

from tally.pod import ANY_ADDRESS, read_arguments
from tally.settings import load_settings
from tally.telemetry.opening import address_of
from tests.cli.examples import problem
from tests.deploy.dockerfile import stages
from tests.deploy.files import COMPOSE, DEPLOY, KUBERNETES, ROOT, read, settings_of
from tests.kafka.broker import Broker
from tests.kafka.conftest import own_broker
from tests.kafka.helpers import admin

__all__ = ["own_broker"]

FILE: Final[dict[str, Any]] = read(COMPOSE)
SERVICES: Final[dict[str, dict[str, Any]]] = FILE["services"]
OURS: Final = [name for name, service in SERVICES.items() if service["image"].startswith("tally:")]
WORKERS: Final = [name for name in SERVICES if re.fullmatch(r"worker-\d+", name)]
NO_SHELL: Final = {"otel-collector": "its image has nothing to ask with"}
"""Services that are waited for as started, and why."""
REQUIRED: Final = re.compile(r"\$\{([A-Z_]+):\?[^}]+\}")
SECRET: Final = re.compile(r"PASSWORD|SECRET|TOKEN", re.IGNORECASE)
PINNED: Final = re.compile(r"[a-z0-9-]+/[a-z0-9-]+:v?\d+\.\d+(\.\d+)?")


def problems(file: dict[str, Any]) -> Iterator[str]:
    services = file["services"]
    once = {name for name, service in services.items() if service.get("restart") == "on-failure"}
    for name, service in services.items():
        checked = "test" in service.get("healthcheck", {})
        if not checked and name not in once and name not in NO_SHELL and service["image"].startswith("tally:") is False:
            yield f"{name}: runs on and has no health check"
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            if condition == "service_healthy" and "test" not in services[other].get("healthcheck", {}):
                yield f"{name}: waits for the health of {other}, which has no check"
            if condition == "service_completed_successfully" and other not in once:
                yield f"{name}: waits for the end of {other}, which runs on"
            if condition == "service_started" and other not in NO_SHELL:
                yield f"{name}: does not wait for {other} to be ready"
        yield from (
            f"{name}: {port} is open beyond the loopback" for port in service.get("ports", ()) if not local(port)
        )
        for key, value in service.get("environment", {}).items():
            if not isinstance(value, str):
                yield f"{name}: {key} is no text"
            elif SECRET.search(key) and not REQUIRED.fullmatch(value):
                yield f"{name}: {key} has a value in the file, or may be empty"
            elif re.search(r"//[^/@:]*:[^@]+@", value) and not REQUIRED.search(value):
                yield f"{name}: {key} has a password in the file"
        if service["image"].startswith("tally:"):
            if not service.get("read_only") or service.get("cap_drop") != ["ALL"] or not service.get("init"):
                yield f"{name}: may write its root, keeps capabilities, or has no init"
        elif not PINNED.fullmatch(service["image"]):
            yield f"{name}: {service['image']} is not pinned by version"
        if service.get("privileged") or "network_mode" in service:
            yield f"{name}: has more of the host than it needs"


def local(port: Any) -> bool:
    return isinstance(port, str) and port.startswith("127.0.0.1:")


def test_nothing_is_wrong_with_the_file() -> None:
    assert list(problems(FILE)) == []


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(file: dict[str, Any]) -> None:
        found = file["services"]
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("grafana", "ports", to=["3000:3000"]), "beyond the loopback"),
        (_set("grafana", "ports", to=["0.0.0.0:3000:3000"]), "beyond the loopback"),
        (_set("kafka", "healthcheck", to={}), "no health check"),
        (_set("kafka", "healthcheck", to={}), "health of kafka"),
        (_set("migrate", "depends_on", to={"clickhouse": {"condition": "service_started"}}), "to be ready"),
        (_set("worker-0", "depends_on", "kafka", "condition", to="service_completed_successfully"), "runs on"),
        (_set("clickhouse", "environment", "CLICKHOUSE_PASSWORD", to="secret"), "has a value"),
        (_set("clickhouse", "environment", "CLICKHOUSE_PASSWORD", to="${CLICKHOUSE_PASSWORD:-tally}"), "has a value"),
        (_set("clickhouse", "environment", "CLICKHOUSE_PASSWORD", to="${CLICKHOUSE_PASSWORD}"), "has a value"),
        (_set("rater", "environment", "TALLY_STORE", to="clickhouse://a:b@c/d"), "has a password"),
        (_set("kafka", "image", to="apache/kafka:latest"), "not pinned"),
        (_set("kafka", "environment", "KAFKA_NODE_ID", to=1), "no text"),
        (_set("worker-1", "read_only", to=False), "may write"),
        (_set("traffic", "privileged", to=True), "more of the host"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[dict[str, Any]], None], said: str) -> None:
    changed = copy.deepcopy(FILE)
    change(changed)
    assert any(said in found for found in problems(changed))


def test_everything_that_the_issue_of_passwords_needs_is_asked_for_and_none_has_a_value() -> None:
    lines = [line for line in (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines() if line[:1].isupper()]
    example = dict(line.split("=", 1) for line in lines)
    assert set(example.values()) == {""}
    assert example.keys() == set(REQUIRED.findall(COMPOSE.read_text(encoding="utf-8")))


def test_start_order_has_no_circle_and_no_service_sleeps_for_it() -> None:
    left = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    while left:
        free = [name for name, waits in left.items() if not waits & left.keys()]
        assert free, f"wait for each other: {sorted(left)}"
        for name in free:
            del left[name]
    for name, service in SERVICES.items():
        if name != "reconcile":  # its schedule
            assert "sleep" not in json.dumps(service), name


def test_mounts_and_volumes_are_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target, *options = volume.split(":")
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
                assert options == ["ro"]
            else:
                assert source in FILE["volumes"]
            assert target.startswith("/")


@pytest.mark.parametrize("name", OURS)
def test_tally_reads_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {key: REQUIRED.sub("abc", value) for key, value in SERVICES[name]["environment"].items()}
    given = settings_of(environment)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert all(settings.origin(key) == f"TALLY_{key.upper()}" for key in given)
    assert settings.store == "clickhouse://tally:abc@clickhouse:8123/tally"
    assert settings.sources == ("kafka://kafka:9092/usage",)


@pytest.mark.parametrize("name", [name for name in OURS if "entrypoint" not in SERVICES[name]])
def test_commands_are_such(name: str) -> None:
    assert problem(SERVICES[name]["command"]) is None


def test_the_rater_stays_and_what_is_run_beside_it_is_a_command() -> None:
    (script,) = SERVICES["reconcile"]["command"]
    assert re.findall(r"\btally (\w+)", script) == ["reconcile"]
    command, flag = SERVICES["rater"]["command"]
    assert (command, flag.partition("=")[0]) == ("rate", "--every")
    assert SERVICES["rater"]["stop_grace_period"] == SERVICES["worker-0"]["stop_grace_period"] == "30s"
    for variable in ("TALLY_BOOK", "TALLY_CONTRACTS"):
        place = SERVICES["rater"]["environment"][variable]
        assert (ROOT / "tally" / "data" / place.removeprefix("/etc/tally/")).is_file()


def test_the_workers_are_one_cluster() -> None:
    assert len(WORKERS) == 2
    places = []
    for name in WORKERS:
        python, module, pod, *arguments = SERVICES[name]["entrypoint"]
        assert (python, module, pod) == ("python", "-m", "tally.pod")
        place = read_arguments(arguments)
        assert name.endswith(f"-{place.number}")
        places.append(place)
    for place in places:
        assert len(place.addresses) == len(WORKERS)
        hosts = [address.partition(":")[0] for address in place.addresses]
        assert [host for host in hosts if host != ANY_ADDRESS] == [
            name for name in WORKERS if name != WORKERS[place.number]
        ]
        assert len({address.rpartition(":")[2] for address in place.addresses}) == 1
    assert all(SERVICES[name]["restart"] == "always" for name in WORKERS)


def test_prometheus_asks_every_worker_and_the_rater_where_they_listen() -> None:
    jobs = {job["job_name"]: job for job in read(DEPLOY / "compose" / "prometheus.yaml")["scrape_configs"]}
    for job, names in (("tally", WORKERS), ("tally-rater", ["rater"])):
        expected = set()
        for name in names:
            host, port = address_of(SERVICES[name]["environment"]["TALLY_METRICS_ADDRESS"], 0)
            assert host == ANY_ADDRESS
            assert f":{port}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]
            expected.add(f"{name}:{port}")
        assert set(jobs[job]["static_configs"][0]["targets"]) == expected
    collector = read(DEPLOY / "compose" / "otel-collector.yaml")
    told = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    assert jobs["otel-collector"]["static_configs"][0]["targets"] == [f"otel-collector:{told}"]
    heard = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    endpoints = {SERVICES[name]["environment"].get("TALLY_OTLP_ENDPOINT") for name in [*WORKERS, "reconcile"]}
    assert endpoints == {f"http://otel-collector:{heard}"}


def test_every_reconciliation_is_told_of_under_one_name() -> None:
    """Under names of their own, the result of each run would stay beside the next one's."""
    assert SERVICES["reconcile"]["environment"]["OTEL_RESOURCE_ATTRIBUTES"] == "service.instance.id=reconcile"
    (job,) = [one for one in yaml.safe_load_all((KUBERNETES / "reconcile.yaml").read_text(encoding="utf-8")) if one]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "service.instance.id=reconcile"} in container["env"]


def test_the_collectors_pipelines_use_what_is_configured() -> None:
    collector = read(DEPLOY / "compose" / "otel-collector.yaml")
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= collector[kind].keys()
    assert collector["service"]["pipelines"].keys() == {"metrics", "traces"}


def test_grafana_has_the_data_sources_and_the_dashboards() -> None:
    found = {one["uid"]: one for one in read(DEPLOY / "compose" / "grafana-datasources.yaml")["datasources"]}
    assert found["tally-prometheus"]["url"] == "http://prometheus:9090"
    assert found["tally-clickhouse"]["secureJsonData"]["password"].strip("$") in SERVICES["grafana"]["environment"]
    (provider,) = read(DEPLOY / "compose" / "grafana-dashboards.yaml")["providers"]
    assert f"./dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_the_image_is_built_once_with_its_revision() -> None:
    built = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
    assert built.keys() == {"migrate"}, "on which all the others of the image wait, in turn"
    assert (DEPLOY / built["migrate"]["context"] / built["migrate"]["dockerfile"]).is_file()
    arguments = {
        rest.partition("=")[0] for rest in stages((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))[0].all("ARG")
    }
    assert built["migrate"]["args"].keys() <= arguments


def test_the_topic_has_the_brokers_time() -> None:
    command = SERVICES["topic"]["command"]
    assert "--config=message.timestamp.type=LogAppendTime" in command
    assert SERVICES["topic"]["image"] == SERVICES["kafka"]["image"]


def test_the_reader_of_the_store_may_only_read() -> None:
    text = (DEPLOY / "compose" / "clickhouse-users.xml").read_text(encoding="utf-8")
    assert re.findall(r"<query>(.*)</query>", text) == ["GRANT SELECT ON tally.*"]
    assert re.findall(r"<password[^>]*>", text) == ['<password from_env="CLICKHOUSE_READER_PASSWORD"/>']
    assert "<readonly>2</readonly>" in text
    user = read(DEPLOY / "compose" / "grafana-datasources.yaml")["datasources"][1]["jsonData"]["username"]
    assert f"<{user}>" in text


def test_yaml_of_compose_has_no_key_twice() -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            assert len(keys) == len(set(map(str, keys))), f"{node.start_mark}: a key stands twice"
            return super().construct_mapping(node, deep)

    for path in [COMPOSE, *DEPLOY.rglob("*.yaml")]:
        list(yaml.load_all(path.read_text(encoding="utf-8"), Strict))


@pytest.mark.kafka
def test_kafka_takes_the_brokers_settings(own_broker: Callable[..., Broker]) -> None:
    """All but addresses and folders, which are the test's own."""
    given = {
        key.removeprefix("KAFKA_").replace("_", ".").lower(): value
        for key, value in SERVICES["kafka"]["environment"].items()
    }
    own = re.compile(r"listener|quorum|log\.dirs|node\.id")
    settings = {key: value for key, value in given.items() if not own.search(key)}
    assert len(settings) >= 6
    broker = own_broker(settings)
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    client = admin(broker.address)
    found = client.describe_configs([resource], request_timeout=30)[resource].result(30)
    assert {key: found[key].value for key in settings} == settings  # a name that it does not know is missing here
