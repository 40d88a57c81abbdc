"""Which value wins, where it is said to come from, and what every mistake is told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from tally.settings import Settings, load_settings

SECOND = 1_000_000
# One value of each setting other than its default, as text, and as `shown` writes it.
SAMPLES: dict[str, tuple[str, Any]] = {
    "store": ("chdb:elsewhere", "chdb:elsewhere"),
    "sources": ("a.ndjson,kafka://b:9092/t", ["a.ndjson", "kafka://b:9092/t"]),
    "name": ("events", "events"),
    "format": ("cloudevents", "cloudevents"),
    "catalogue": ("own.yaml", "own.yaml"),
    "group_by_project": ("true", True),
    "group_by": ("region,plan", ["region", "plan"]),
    "window": ("300s", "5min"),
    "allowed_lateness": ("0s", "0s"),
    "dedupe_bucket": ("30s", "30s"),
    "dedupe_horizon": ("1h", "1h"),
    "max_future": ("1.5min", "90s"),
    "max_age": ("31d", "31d"),
    "as_of": ("2026-11-22T11:00:00+01:00", "2026-11-22T10:00:00Z"),
    "trust_producer_time": ("yes", True),
    "dedupe_max_bytes": ("1536MiB", "1536MiB"),
    "flush_interval": ("250ms", "250ms"),
    "batch_bytes": ("1048576", "1MiB"),
    "kafka": ('{"ssl.ca": "a", "fetch.min.bytes": 1}', {"ssl.ca": "a", "fetch.min.bytes": "1"}),
    "until_end": ("1", True),
    "consumer_group": ("billing-{topic}", "billing-{topic}"),
    "again": ("on", True),
    "accept_gap": ("on", True),
    "store_patience": ("10min", "10min"),
    "max_rejected_ratio": ("12.5 %", "12.5%"),
    "max_rejected_in_row": ("5_000", 5_000),
    "metrics_address": ("9464", "127.0.0.1:9464"),
    "otlp_endpoint": ("http://collector:4318/", "http://collector:4318"),
    "traces": ("true", True),
    "stall_after": ("1min", "1min"),
    "log_format": ("json", "json"),
    "log_level": ("debug", "debug"),
    "book": ("prices.yaml", "prices.yaml"),
    "contracts": ("contracts.yaml", "contracts.yaml"),
}  # fmt: skip


def write_toml(text: str, name: str = "tally.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def problem_of(**flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    return str(caught.value)


def test_every_setting_has_a_sample() -> None:
    assert SAMPLES.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_setting_is_read_from_each_place_and_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, shown = SAMPLES[name]
    default = Settings().shown()[name]
    assert default != shown
    assert load_settings().origin(name) == "default"

    # A file holds the default, the environment another value: the environment wins.
    lists = shown if isinstance(shown, list) else text
    toml = {"kafka": "[kafka]\n" + "".join(f'"{k}" = "{v}"\n' for k, v in shown.items())} if name == "kafka" else {}
    write_toml(toml.get(name, f"{name} = {json.dumps(shown if isinstance(shown, bool) else lists)}"))
    settings = load_settings()
    assert settings.shown()[name] == shown
    assert settings.origin(name) == "tally.toml"

    write_toml("")
    monkeypatch.setenv(f"TALLY_{name.upper()}", text)
    settings = load_settings()
    assert settings.shown()[name] == shown
    assert settings.origin(name) == f"TALLY_{name.upper()}"

    monkeypatch.delenv(f"TALLY_{name.upper()}")
    settings = load_settings(**{name: [f"{k}={v}" for k, v in shown.items()] if name == "kafka" else lists})
    assert settings.shown()[name] == shown
    assert settings.origin(name) == ("argument" if name == "sources" else "--" + name.replace("_", "-"))


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('window = "1s"\nformat = "cloudevents"\nname = "file"')
    monkeypatch.setenv("TALLY_WINDOW", "2s")
    monkeypatch.setenv("TALLY_FORMAT", "sentry-outcomes")
    settings = load_settings(window="3s", again=None, sources=[])
    assert (settings.window, settings.format, settings.name) == (3 * SECOND, "sentry-outcomes", "file")
    assert [settings.origin(name) for name in ("window", "format", "name", "again", "sources")] == [
        "--window",
        "TALLY_FORMAT",
        "tally.toml",
        "default",
        "default",
    ]


def test_a_false_flag_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_UNTIL_END", "true")
    assert load_settings(until_end=False).until_end is False


def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_STORE", "")
    assert load_settings().origin("store") == "default"


def test_kafka_properties_join_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('[kafka]\n"security.protocol" = "SASL_SSL"\n"sasl.username" = "meter"\n"enable.x" = true')
    monkeypatch.setenv("TALLY_KAFKA", '{"sasl.password": "s3cret", "sasl.username": "env"}')
    settings = load_settings(kafka=["sasl.username=flag=1"])
    assert settings.kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "flag=1",
        "sasl.password": "s3cret",
        "enable.x": "true",
    }
    assert settings.origin("kafka") == "--kafka and TALLY_KAFKA and tally.toml"


def test_a_named_file_stands_for_the_one_in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('window = "1s"')
    write_toml("window = 5", "other.toml")
    monkeypatch.setenv("TALLY_CONFIG", "other.toml")
    settings = load_settings()
    assert (settings.window, settings.origin("window")) == (5 * SECOND, "other.toml")


def test_fractions_of_the_file_stay_exact_and_dates_are_instants() -> None:
    write_toml("flush_interval = 0.1\nas_of = 2026-11-22T10:00:00Z")
    settings = load_settings()
    assert settings.flush_interval == 100_000
    assert settings.shown()["as_of"] == "2026-11-22T10:00:00Z"


def test_every_default_reads_back_from_its_written_form() -> None:
    written = {name: value for name, value in Settings().shown().items() if value is not None}
    assert load_settings(**written).model_dump() == Settings().model_dump()


def test_defaults_of_the_meter_are_the_settings_defaults() -> None:
    assert load_settings().meter_settings() == MeterSettings(load_catalogue())


def test_meter_settings_take_every_metering_setting() -> None:
    settings = load_settings(
        format="cloudevents",
        group_by_project=True,
        group_by=["region"],
        window="5min",
        allowed_lateness="3s",
        dedupe_bucket="10s",
        dedupe_horizon="1h",
        max_future="4s",
        max_age="5d",
        as_of="1970-01-01T00:00:01Z",
        trust_producer_time=True,
        dedupe_max_bytes="1MiB",
    )
    found = settings.meter_settings()
    assert found.dedupe_max_bytes == 1 << 20
    answer = found.answer_settings()
    assert {key: answer[key] for key in answer.keys() - {"meter", "catalogue"}} == {
        "format": "cloudevents",
        "group_by_project": True,
        "group_by": ["region"],
        "window": 300 * SECOND,
        "allowed_lateness": 3 * SECOND,
        "bucket": 10 * SECOND,
        "horizon_buckets": 360,
        "max_future": 4 * SECOND,
        "max_age": 5 * 86_400 * SECOND,
        "as_of": SECOND,
        "trust_producer_time": True,
    }


def test_a_catalogue_of_ones_own_is_read() -> None:
    Path("own.yaml").write_text("categories:\n  - {id: 1, name: call}\n", encoding="utf-8")
    assert load_settings(catalogue="own.yaml").meter_settings().catalogue.names == ("call",)
    with pytest.raises(SettingsError, match=r"category catalogue none\.yaml: cannot be read: No such file"):
        load_settings(catalogue="none.yaml").meter_settings()


DURATION = "a duration is written like 500ms, 60s, 10min, 2h or 90d"
STORES = "chdb:PATH, clickhouse://user:password@host:8123/database or clickhouses://… (TLS)"
QUOTE = 'quote the whole property name, as in "security.protocol" = "SSL"'
TABLE = 'must be a table of librdkafka properties, as in {"security.protocol": "SSL"}'
OTLP = "must be a URL, as in http://127.0.0.1:4318; the paths /v1/metrics and /v1/traces are added"
WINDOW = "7min does not divide 15 minutes; choose for example 1min, 5min or 15min"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("store", "sqlite:x", f"store 'sqlite:…': no such kind of store; write {STORES}"),
        ("store", "chdb:", "store 'chdb:': a folder must follow the colon, as in chdb:./tally-data"),
        ("store", 5, "must be text, as in chdb:./tally-data"),
        ("sources", "[1]", "1 is no name; write text in quotes"),
        ("sources", "[", "'[' is no JSON list"),
        ("sources", 5, "must be a list, or names with commas between them"),
        ("group_by", "a,a", "'a' stands twice"),
        ("group_by", ["a", ""], "'' is no name; write text in quotes"),
        ("name", "", "must not be empty"),
        ("name", "n" * 201, "is too long"),
        ("name", 5, "must be text"),
        ("format", "xml", "'xml' is no format; choose one of cloudevents, sentry-outcomes, tally"),
        ("catalogue", " ", "' ' is no file name"),
        ("book", 5, "5 is no file name"),
        ("group_by_project", "maybe", "must be true or false"),
        ("until_end", [1], "must be true or false"),
        ("window", "7min", WINDOW),
        ("window", "0s", "must be more than zero"),
        ("window", "60 seconds", f"'60 seconds' cannot be read: {DURATION}"),
        ("allowed_lateness", "-1s", "must not be negative"),
        ("max_age", "0", "must be more than zero"),
        ("max_future", "0.1us", "'0.1us' is no whole number of microseconds"),
        ("as_of", "yesterday", "'yesterday' is no instant: write RFC 3339 with a zone, as in 2026-11-22T10:00:00Z"),
        ("dedupe_max_bytes", "lots", "'lots' cannot be read: a size is written like 512MiB, 1GiB or 2GB"),
        ("batch_bytes", "0", "must be more than zero"),
        ("store_patience", "never", f"'never' cannot be read: {DURATION}"),
        ("dedupe_horizon", "90s", "must be a whole number of dedupe_bucket"),
        ("max_rejected_ratio", "0.5", "'0.5' cannot be read: write a percentage, as in 50%, or off"),
        ("max_rejected_ratio", "0%", "'0%' cannot be read: write a percentage, as in 50%, or off"),
        ("max_rejected_in_row", "-1", "'-1' cannot be read: write a whole number, or off"),
        ("max_rejected_in_row", "0", "must be more than zero; off turns the limit off"),
        ("metrics_address", "localhost", "'localhost' is no address: write host:port, or a port (of 127.0.0.1)"),
        ("metrics_address", ":65536", "':65536' is no address: write host:port, or a port (of 127.0.0.1)"),
        ("otlp_endpoint", "u:p@host", OTLP),
        ("log_format", "xml", "must be 'text' or 'json'"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_setting_its_place_and_what_to_write(name: str, value: Any, problem: str) -> None:
    assert problem_of(**{name: value}) == (
        f"{name} ({'argument' if name == 'sources' else '--' + name.replace('_', '-')}): {problem}"
    )


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("windwo = 60", "windwo (tally.toml): no such setting; did you mean window?"),
        ("dedupe-horizon = 60", "dedupe-horizon (tally.toml): no such setting; did you mean dedupe_horizon?"),
        ("[metering]\nx = 1", "metering (tally.toml): no such setting; see `tally config` for those that there are"),
        ('window = "7min"', f"window (tally.toml): {WINDOW}"),
        ("[kafka.security]\nprotocol = 'SSL'", f"kafka (tally.toml): 'security' is a table: {QUOTE}"),
        ("[kafka]\na = 1.5", "kafka (tally.toml): 'a' must be text, a whole number or true/false"),
        ("kafka = 1", f"kafka (tally.toml): {TABLE}"),
        ("window = ", "tally.toml: is no TOML: Invalid value (at end of document)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(toml: str, problem: str) -> None:
    write_toml(toml)
    assert problem_of() == problem


def test_mistakes_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_KAFKA", "sasl.password=s3cret")
    assert problem_of() == 'kafka (TALLY_KAFKA): must be a JSON object, as in {"security.protocol": "SSL"}'
    monkeypatch.setenv("TALLY_KAFKA", '{"a": null}')
    assert problem_of() == "kafka (TALLY_KAFKA): 'a' must be text, a whole number or true/false"
    monkeypatch.setenv("TALLY_CONFIG", "none.toml")
    assert problem_of() == "none.toml (TALLY_CONFIG): no such file"


def test_a_kafka_flag_without_a_value() -> None:
    assert problem_of(kafka=["s3cret"]) == "kafka (--kafka): write key=value, as in --kafka security.protocol=SSL"


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('windwo = 60\nmax_age = "x"')
    monkeypatch.setenv("TALLY_UNTIL_END", "perhaps")
    assert problem_of(window="7min").splitlines() == [
        "4 settings are wrong:",
        "  window (--window): 7min does not divide 15 minutes; choose for example 1min, 5min or 15min",
        f"  max_age (tally.toml): 'x' cannot be read: {DURATION}",
        "  until_end (TALLY_UNTIL_END): must be true or false",
        "  windwo (tally.toml): no such setting; did you mean window?",
    ]


SECRET_PROPERTIES = (
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
)
SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=20)


@given(SECRETS, SECRETS)
def test_secrets_are_never_shown(password: str, secret: str) -> None:
    kafka = dict.fromkeys(SECRET_PROPERTIES, secret)
    settings = Settings(store=f"clickhouse://meter:{password}@db:8123/x", kafka={**kafka, "sasl.username": "seen"})
    assert settings.kafka["sasl.password"] == secret
    for shown in (repr(settings), str(settings), json.dumps(settings.shown()), f"{settings}"):
        assert password not in shown
        assert secret not in shown
        assert "seen" in shown
        assert "clickhouse://meter:********@db:8123/x" in shown


@given(SECRETS)
def test_secrets_are_in_no_message(secret: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"store": f"clickhouse://meter:{secret}@:8123/x"},
        {"store": f"clickhouse://meter:{secret}/?@db"},
        {"store": f"mysql://meter:{secret}@db"},
        {"kafka": [f"={secret}"]},
        {"kafka": {"sasl.password": {"a": secret}}},
        {"otlp_endpoint": f"meter:{secret}@collector"},
    ]
    for flags in wrong:
        assert secret not in problem_of(**flags)


@pytest.mark.parametrize("url", ["clickhouse://u:p%40ss@h/db", "clickhouses://u:a:b@h", "clickhouse://:pass@h"])
def test_passwords_of_any_shape_are_masked(url: str) -> None:
    shown = Settings(store=url).shown()["store"]
    assert ":********@h" in shown
    assert "ss" not in shown.partition("//")[2]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load_settings(), "window", 1)  # noqa: B010 - the type checker would say so first


def test_the_suite_sees_no_settings_of_the_machine() -> None:
    assert not [
        name for name in os.environ if name.startswith("TALLY_") and "_TEST_" not in name and "_REQ" not in name
    ]
