"""The declaration of every setting: type, key, unit, default, bounds and one sentence of help.

Covers: the frozen dataclasses the rest of the program reads. Does not cover: where values come from (`config.load`),
how they are written (`config.values`). See also: `config.reference`, the flags and the page made from this.

An attribute that carries a unit ends in it (`_s` seconds, `_bytes`); its TOML key is the word without the unit
(`key=` in the field's metadata), because there a value is written with its unit ("30s", "2GiB").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

GIB = 1 << 30
MIB = 1 << 20
KIB = 1 << 10


def setting(
    default: Any,
    help: str,
    *,
    key: str | None = None,
    kind: str | None = None,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    zero: str | None = None,
    env: str | None = None,
    fallback_env: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A dataclass field that is a setting.

    kind: "duration" (float seconds), "size" (int bytes), "path", "source", "digest", or None (the annotation decides).
    minimum, maximum: inclusive bounds. zero: the word for 0 ("auto", "never"), which the bounds then do not apply to.
    env: a well-known variable that also sets it, as strong as HOLDFAST_<SECTION>_<KEY>, which wins where both are set.
    fallback_env: well-known variables that count only where nothing else sets it, the first that is set.
    secret: never shown, neither by `repr` nor in a message.
    """
    metadata = {
        "help": help,
        "key": key,
        "kind": kind,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "zero": zero,
        "env": env,
        "fallback_env": fallback_env,
        "secret": secret,
    }
    if isinstance(default, dict | list | Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """[server]"""

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8000, "TCP port to listen on; 0 picks a free one.", minimum=0, maximum=65535)
    workers: int = setting(1, "Serving processes; this version runs one.", minimum=1)
    default_model: str = setting("", "Model that /predict asks when the body names none; the only model needs no naming.")
    max_body_bytes: int = setting(4 * MIB, "Largest request body.", key="max_body", kind="size", minimum=KIB)
    drain_s: float = setting(
        30.0, "How long a stopping server, or a replaced version, waits for requests in flight.", key="drain", kind="duration", minimum=0
    )
    keep_alive_s: float = setting(
        75.0, "How long a connection may be idle; longer than a proxy before it keeps one.", key="keep_alive", kind="duration", minimum=0.1
    )
    header_timeout_s: float = setting(
        10.0, "Time limit of the head of a request, from its first byte; then 408.", key="header_timeout", kind="duration", minimum=0.1
    )
    body_timeout_s: float = setting(
        30.0, "Time limit of the body of a request; then 408.", key="body_timeout", kind="duration", minimum=0.1
    )
    send_timeout_s: float = setting(
        30.0,
        "How long a client may take next to nothing (64 KiB) of an answer before its connection is dropped.",
        key="send_timeout",
        kind="duration",
        minimum=0.1,
    )
    max_connections: int = setting(
        10_000, "Connections at the same time, if the limit of open files leaves room; for one more the oldest idle one goes.", minimum=1
    )
    log_format: str = setting("text", "Log lines as text or as JSON.", choices=("text", "json"))
    admin_token: str = setting("", "Token of the admin routes; none means that they all answer 403.", env="ADMIN_LOAD_TOKEN", secret=True)
    admin_token_file: str = setting(
        "",
        "File that holds the admin token (a mounted secret); without it the systemd credential `admin-token` is read where there is one.",
        kind="path",
        env="ADMIN_LOAD_TOKEN_FILE",
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """[store]"""

    path: Path = setting(Path("var"), "Folder of fetched artifacts and segments; made private (0700).", kind="path")
    keep_versions: int = setting(
        5, "Published versions of a training kept for rolling back; the one that serves and the pinned one stay besides.", minimum=1
    )
    max_bytes: int = setting(
        20 * GIB,
        "Disk budget: over it, artifacts go that only a second conversion would need. What serves is never deleted.",
        kind="size",
        minimum=MIB,
    )


@dataclass(frozen=True, slots=True)
class LoadingSettings:
    """[loading]"""

    concurrency: int = setting(2, "Loads that run at the same time.", minimum=1)
    memory_reserve_bytes: int = setting(
        256 * MIB, "Memory that loads must leave free on the host and in the container.", key="memory_reserve", kind="size", minimum=0
    )
    trust: str = setting(
        "known",
        "What a hosted model's capped process may unpickle: the list of known classes (scikit-learn, numpy), or any.",
        choices=("known", "any"),
    )
    segment_limit_bytes: int = setting(
        0,
        "Largest segment (RLIMIT_FSIZE of the child); auto is 4 times the artifact, 64 times a compressed one, at least 64 MiB.",
        key="segment_limit",
        kind="size",
        minimum=MIB,
        zero="auto",
    )


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[models.<name>]"""

    name: str
    source: str = setting(
        "",
        "Where the artifact is: gdrive://ID, a Drive URL, s3://BUCKET/KEY, http(s)://, file://, a plain path, or training:NAME for what"
        " [training.NAME] publishes.",
        kind="source",
    )
    family: str = setting("auto", "How its arrays are packed and scored; auto decides from the artifact.")
    memory_bytes: int = setting(
        0,
        "Memory cap of the child (RLIMIT_DATA); auto is 300 MiB + 20x the non-array bytes to load, 1 GiB for a hosted model's process.",
        key="memory",
        kind="size",
        minimum=MIB,
        zero="auto",
    )
    sha256: str = setting("", "Expected SHA-256 of the artifact, hex.", kind="digest")
    poll_s: float = setting(
        0.0, "How often the source is asked for a new revision.", key="poll", kind="duration", minimum=0.05, zero="never"
    )
    watch: bool = setting(False, "Watch a local file and load it again when it is replaced.")
    required: bool = setting(True, "Whether /health/ready waits for this model.")
    load: str = setting("eager", "Load at start-up, or on the first request.", choices=("eager", "on_demand"))
    segment: str = setting(
        "disk", "Where the segment lies: a file of the store (also the restart cache) or memory.", choices=("disk", "memory")
    )
    fallback: str = setting(
        "", "training:NAME to train, or to take what it published, when the artifact cannot be had: missing, invalid, not trained."
    )
    fetch_timeout_s: float = setting(1800.0, "Total time limit of one fetch.", key="fetch_timeout", kind="duration", minimum=0.001)
    stall_timeout_s: float = setting(
        30.0, "A fetch that brings no byte for this long has stalled.", key="stall_timeout", kind="duration", minimum=0.001
    )
    load_timeout_s: float = setting(600.0, "Time limit of the loading child.", key="load_timeout", kind="duration", minimum=0.001)
    max_artifact_bytes: int = setting(16 * GIB, "Largest artifact that is fetched.", kind="size", minimum=1)
    request_timeout_s: float = setting(
        5.0, "Time limit of one predict call, waiting for the model not counted.", key="request_timeout", kind="duration", minimum=0.001
    )
    max_in_flight: int = setting(256, "Predict calls at the same time; beyond it 429.", minimum=1)
    max_queue_s: float = setting(
        0.0,
        "Longest expected wait of a call for its turn, beyond it 429; auto is 150 ms (hosted models: 25 ms), or what one call takes if"
        " that is more, and only that while most are refused.",
        key="max_queue",
        kind="duration",
        minimum=0.001,
        zero="auto",
    )
    max_wait_s: float = setting(60.0, "Longest `Prefer: wait` honoured.", kind="duration", minimum=0)
    id_column: str = setting("", "Item id column of a DataFrame; else item_id, id, destination_id or dest_id, else its index.")
    parts: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Models a hybrid is made of: {content=..., collaborative=...}; else those that its artifact names,"
        " else content_based and collaborative.",
    )


@dataclass(frozen=True, slots=True)
class S3Settings:
    """[s3]"""

    endpoint: str = setting("", "Endpoint URL of an S3-compatible service.", fallback_env=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    region: str = setting("", "Region.", fallback_env=("AWS_REGION", "AWS_DEFAULT_REGION"))
    access_key_id: str = setting("", "Access key.", fallback_env=("AWS_ACCESS_KEY_ID",))
    secret_access_key: str = setting("", "Secret key.", fallback_env=("AWS_SECRET_ACCESS_KEY",), secret=True)
    session_token: str = setting("", "Session token of temporary credentials.", fallback_env=("AWS_SESSION_TOKEN",), secret=True)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """[data]"""

    url: str = setting(
        "",
        "Where interactions and items are: postgresql://USER:PASSWORD@HOST/DB, sqlite:///PATH (sqlite:////PATH is absolute), csv://FOLDER.",
        kind="database",
        secret=True,
    )
    password_file: str = setting(
        "",
        "File that holds the password of a postgresql:// url that has none (a mounted secret); without it the systemd credential"
        " `database-password` is read where there is one.",
        kind="path",
    )
    interactions: str = setting(
        "SELECT * FROM interactions",
        "Query that gives user_id and item_id, and if there are any weight and ts (a time, or Unix seconds). For csv://, the file's name.",
    )
    items: str = setting(
        "",
        "Query that gives item_id, and what is known of each item: category (or categories, genres; several separated by |) and text"
        " columns. Empty takes the table `items` (csv://: items.csv) if there is one.",
    )
    user_features: str = setting(
        "",
        "Query that gives user_id and a column a feature, or user_id, feature and if it is not always 1 value. Empty: none (csv://:"
        " user_features.csv if there is one).",
    )
    item_features: str = setting(
        "",
        "Query that gives item_id and a column a feature, or item_id, feature and if it is not always 1 value. Empty: none (csv://:"
        " item_features.csv if there is one).",
    )
    statement_timeout_s: float = setting(600.0, "Time limit of one query.", key="statement_timeout", kind="duration", minimum=0.1)
    attempts: int = setting(3, "How often a database that cannot be reached, or breaks off, is tried.", minimum=1, maximum=100)
    max_interactions: int = setting(200_000_000, "More interactions than this are an error, not an hour of reading.", minimum=1)
    ingest_table: str = setting(
        "interactions", "Table that POST /interactions appends to: columns user_id, item_id, weight, ts; made if it is not there."
    )
    ingest_token: str = setting("", "Token that may POST /interactions, besides the admin token.", secret=True)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """[training.<name>]"""

    name: str
    algorithm: str = setting("", "What is trained: als, bpr, ease, nmf, svd, popular, content, features or hybrid.")
    parameters: Mapping[str, Any] = setting(
        MappingProxyType({}), "Parameters of the algorithm that are not to have their defaults (see the page on training).", kind="table"
    )
    parts: Mapping[str, str] = setting(
        MappingProxyType({}), "Trainings that a hybrid is made of: {content=..., collaborative=...}; else those of these names."
    )
    schedule: str = setting("", "When to train: a cron expression of five fields, in the server's time zone. Empty: not by the clock.")
    jitter_s: float = setting(
        0.0,
        "A scheduled run begins up to so much later, at random: hosts of one schedule do not ask the database at once.",
        key="jitter",
        kind="duration",
        minimum=0,
        zero="none",
    )
    after_interactions: int = setting(0, "Train after so many new interactions were posted.", minimum=1, zero="never")
    memory_bytes: int = setting(4 * GIB, "Memory cap of the training process (RLIMIT_DATA).", key="memory", kind="size", minimum=256 * MIB)
    timeout_s: float = setting(7200.0, "Time limit of a run.", key="timeout", kind="duration", minimum=1)
    holdout: float = setting(
        0.1,
        "Share of the interactions that is kept from training to measure with: the latest, or without times a random one.",
        minimum=0.001,
        maximum=0.9,
    )
    seed: int = setting(0, "Seed of everything random in a run.", minimum=0)
    gate: Mapping[str, Any] = setting(
        MappingProxyType({}),
        'What a new version must reach: {metric="ndcg@10", minimum=0.0, tolerance=0.02, popular=1.1}; the metric at least minimum and'
        " popular times that of the most popular items, and not worse than what serves by more than tolerance and 2 standard errors.",
        kind="table",
    )
    publish_to: str = setting(
        "",
        "s3://BUCKET/PREFIX that published versions are copied to, with the keys of [s3]: PREFIX/model.safetensors is the one"
        " last published, for servers elsewhere whose source it is. Going back to an earlier version here changes nothing there.",
    )
    canary: int = setting(
        20,
        "How many questions that the serving version answered lately a new one must answer before it serves.",
        minimum=1,
        maximum=1000,
        zero="none",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator asked for."""

    server: ServerSettings = field(default_factory=ServerSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    loading: LoadingSettings = field(default_factory=LoadingSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    s3: S3Settings = field(default_factory=S3Settings)
    data: DataSettings = field(default_factory=DataSettings)
    training: Mapping[str, TrainingSettings] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where each value that is no default was set: "server.port" -> "environment: HOLDFAST_SERVER_PORT"."""

    def origin(self, key: str) -> str:
        """Where the setting `key` ("server.port", "models.als.memory") was set, in words; "default" where nowhere."""
        return self.origins.get(key, "default")
