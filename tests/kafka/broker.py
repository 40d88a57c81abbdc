"""A real Apache Kafka for tests: one KRaft node from its Maven jars, in a process of its own.

    jars = fetch_jars()                    # once; later calls find the cache
    with Broker(jars, folder) as broker:   # free loopback ports, data under `folder`
        use(broker.address)
        broker.kill(); broker.start()      # the same ports and data again

The broker's process also ends when the test process does, however that ends (a watchdog on a pipe).
"""

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from xml.etree import ElementTree

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

POM: Final = Path(__file__).with_name("pom.xml")
CACHE: Final = Path(__file__).parents[2] / ".cache" / "kafka"
CLUSTER_ID: Final = "dGFsbHktdGVzdC1rYWZrYQ"
JVM: Final = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class NoKafka(Exception):
    """No broker can be started here; the message says why."""


def kafka_version() -> str:
    """Return the version that pom.xml names."""
    # The file is the repository's own, so the parser meets no hostile XML.
    found = ElementTree.parse(POM).find(".//{*}dependency/{*}version")  # noqa: S314
    assert found is not None
    assert found.text
    return found.text


def fetch_jars() -> Path:
    """Return a folder with the broker's jars, fetched by Maven at the first call (about 45 files, 43 MB).

    TALLY_TEST_KAFKA_JARS names another folder. Raises NoKafka (no JVM, no Maven, no network).
    """
    if shutil.which("java") is None:
        raise NoKafka("no `java` on the PATH (Kafka 4 needs a JVM of version 17 or later)")
    given = os.environ.get("TALLY_TEST_KAFKA_JARS")
    if given:
        if not any(Path(given).glob("kafka_2.13-*.jar")):
            raise NoKafka(f"TALLY_TEST_KAFKA_JARS={given}: there is no kafka_2.13-*.jar in it")
        return Path(given)
    # Another pom.xml is another folder: an old download never stands in for what it names now.
    jars = CACHE / f"{kafka_version()}-{hashlib.sha256(POM.read_bytes()).hexdigest()[:8]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / ".lock"):  # several test processes may come here at once
        if not jars.exists():
            _download(jars)
    return jars


def _download(jars: Path) -> None:
    if shutil.which("mvn") is None:
        raise NoKafka("no `mvn` on the PATH to fetch Kafka's jars (or name a folder of them in TALLY_TEST_KAFKA_JARS)")
    partial = jars.with_name(jars.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    try:
        subprocess.run([*command, f"-DoutputDirectory={partial}"], check=True, capture_output=True, timeout=240)
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).decode(errors="replace").strip().splitlines()
        raise NoKafka(f"Maven could not fetch Kafka's jars: {said[0] if said else error}") from error
    except subprocess.TimeoutExpired as error:
        raise NoKafka(f"Maven did not fetch Kafka's jars within {error.timeout:g} s") from error
    partial.rename(jars)  # all of them or none: a download that was cut short is never taken for whole


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


class Broker:
    """One Kafka node: broker and controller. Its ports and data stay the same over stop, kill, start and restart."""

    def __init__(self, jars: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """Take the jars' folder, an empty folder for data and logs, and settings beyond the usual ones."""
        self._folder = folder
        self._classpath = f"{jars}/*"
        self._file = folder / "server.properties"
        self._log = folder / "broker.log"
        port, controller = _free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self._settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # A killed broker may register again when its session is over: nine seconds if nobody says otherwise.
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "200",
            "log.message.timestamp.type": "LogAppendTime",
            "message.max.bytes": "20000000",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id of the running broker, None when it is down."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = 90.0) -> None:
        """Start the broker and return when it answers clients. Raises NoKafka with the end of its log."""
        assert self.pid is None, "the broker is running"
        if not self._file.exists():
            self._format()
        # The log folder's default is the jars' parent, which is shared and may be read-only.
        command = ["java", *JVM, f"-Dkafka.logs.dir={self._folder}", "-cp", self._classpath]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*command, "kafka.Kafka", str(self._file)], stdout=log, stderr=log)
        # The pipe's other end is ours alone: it closes when this process dies, and then so does the broker.
        script = 'read -r _; kill -9 "$0"'
        self._watchdog = subprocess.Popen(["sh", "-c", script, str(self._process.pid)], stdin=subprocess.PIPE)
        self._wait_until_it_answers(timeout)

    def stop(self, timeout: float = 60.0) -> None:
        """End the broker in good order; nothing to do when it is down."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End the broker as a crash would."""
        self._end(signal.SIGKILL, 30.0)

    def restart(self) -> None:
        """Stop in good order and start again: the same address, the same data."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals, timeout: float) -> None:
        if self._watchdog is not None:
            self._watchdog.kill()  # first, so that it never shoots at a process id that was given to another
            self._watchdog.communicate()
            self._watchdog = None
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _format(self) -> None:
        self._file.write_text("".join(f"{key}={value}\n" for key, value in self._settings.items()), encoding="utf-8")
        command = ["java", *JVM, "-cp", self._classpath, "kafka.tools.StorageTool", "format"]
        with self._log.open("ab") as log:
            try:
                subprocess.run(
                    [*command, "-t", CLUSTER_ID, "-c", str(self._file)], check=True, stdout=log, stderr=log, timeout=60
                )
            except subprocess.SubprocessError as error:
                self._file.unlink()
                raise NoKafka(f"Kafka's storage could not be formatted ({error}): {self._end_of_log()}") from error

    def _wait_until_it_answers(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        # A refused connection is expected for the first seconds: not worth a line on stderr.
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0, "reconnect.backoff.max.ms": 100})
        while True:
            try:
                if admin.list_topics(timeout=1.0).brokers:
                    return
            except KafkaException:
                pass  # not yet
            if self._process.poll() is not None:
                raise NoKafka(f"Kafka ended with status {self._process.returncode}: {self._end_of_log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NoKafka(f"Kafka did not answer within {timeout:g} s: {self._end_of_log()}")
            time.sleep(0.05)

    def _end_of_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
