//! Who may name what: the import table of the design as data. `docs/architecture.md` explains it.

/// What one room of `src/` may name.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// Rooms it may import.
    pub(crate) rooms: &'static [Import],
    /// External crates it may name.
    pub(crate) crates: Crates,
}

/// A room and what of it.
pub(crate) struct Import {
    pub(crate) room: &'static str,
    pub(crate) items: Items,
}

/// How much of a room.
pub(crate) enum Items {
    All,
    /// These and what is inside of them.
    Only(&'static [&'static str]),
}

/// External crates by the name that code uses.
pub(crate) enum Crates {
    All,
    Only(&'static [&'static str]),
}

/// An external crate with one home.
pub(crate) struct Confined {
    pub(crate) name: &'static str,
    pub(crate) home: &'static [&'static str],
}

const fn all(room: &'static str) -> Import {
    Import { room, items: Items::All }
}

const fn only(room: &'static str, items: &'static [&'static str]) -> Import {
    Import { room, items: Items::Only(items) }
}

const EVERY_ROOM: &[Import] = &[
    all("cli"),
    all("config"),
    all("domain"),
    all("http"),
    all("meter"),
    all("rpc"),
    all("server"),
    all("service"),
    all("simulate"),
    all("sinks"),
    all("stats"),
    all("store"),
    all("telemetry"),
];

pub(crate) const ROOMS: &[Room] = &[
    Room { name: "stats", rooms: &[], crates: Crates::Only(&["libm", "statrs", "thiserror"]) },
    Room {
        name: "domain",
        rooms: &[all("stats")],
        crates: Crates::Only(&[
            "cel",
            "md5",   // The package is md-5.
            "serde", // The stored form.
            "thiserror",
        ]),
    },
    // Counters without names: the one way for rooms that know no exporter to be measured.
    Room { name: "meter", rooms: &[], crates: Crates::Only(&[]) },
    Room {
        name: "store",
        rooms: &[all("domain"), all("meter"), all("stats")],
        crates: Crates::Only(&[
            "async_trait",
            "futures_util", // Streams of announcements and of digests.
            "fjall",        // The embedded engine; confined below.
            "postcard",     // The stored form of rows and sets.
            "rand",         // The name of a writer, which nobody else may ever have.
            "redis",        // Confined below.
            "serde",
            "serde_json", // The stored form of an experiment.
            "thiserror",
            "tokio",
            "tokio_util", // Calls of a store stay on the runtime that opened it.
            "tracing",
        ]),
    },
    Room {
        name: "service",
        // The contract of the store, never one of the stores. The design names the trait and
        // its error; what the trait's methods answer comes with them.
        rooms: &[
            only(
                "store",
                &[
                    "Announcements",
                    "Applied",
                    "AuditQuery",
                    "Changes",
                    "Durability",
                    "Note",
                    "Notes",
                    "Rows",
                    "Store",
                    "StoreError",
                ],
            ),
            all("domain"),
            all("meter"),
            all("stats"),
        ],
        crates: Crates::Only(&[
            "arc_swap",
            "async_trait", // No trait of its own today; the test doubles of Store need it.
            "futures_util", // The store's announcements are a stream.
            "postcard", // The stored form of a history's point, whose bytes the store only keeps.
            "thiserror", // ServiceError.
            "tokio",
            "tracing",
        ]),
    },
    Room {
        name: "rpc",
        rooms: &[all("service"), all("domain"), all("stats"), all("telemetry")],
        crates: Crates::Only(&[
            "async_trait",
            "futures_util", // Streams without a task of their own: unfold.
            "http",         // Extensions and headers of a call.
            "prost",
            "prost_types", // Struct, Timestamp, Duration of the contract.
            "thiserror",   // What is wrong with a message, before it is a Status.
            "serde_json",  // What a span says is JSON.
            "tokio",       // Streams are fed by channels.
            "tokio_stream",
            "tonic",
            "tonic_health",
            "tonic_prost", // Named by the generated code.
            "tonic_reflection",
            "tonic_types",
            "tower",
            "tracing",
        ]),
    },
    Room {
        name: "http",
        rooms: &[
            // What the store counts about itself, for /metrics.
            only("store", &["Activity", "Metered", "OperationReading", "Store"]),
            all("service"),
            only("sinks", &["SinkCounts", "SinkReading"]),
            all("domain"),
            all("stats"),
            all("telemetry"),
        ],
        crates: Crates::Only(&[
            "axum", "tokio", // watch: readiness.
            "tracing",
        ]),
    },
    Room {
        name: "cli",
        // Clients of the API know its generated code alone.
        rooms: &[only("rpc", &["DESCRIPTORS", "pb"])],
        crates: Crates::Only(&[
            "clap",
            "comfy_table", // Tables of results.
            "csv",         // replay.
            "futures_util",
            "indicatif",
            "libm", // demo: the same simulation on every platform.
            "prost",
            "prost_reflect", // YAML and JSON to messages, by the descriptor.
            "prost_types",
            "rand", // demo: a seeded simulation.
            "rand_chacha",
            "reqwest", // publish, with rustls for its choice of cryptography.
            "rustls",
            "serde",
            "serde_json",
            "serde_saphyr", // apply: YAML.
            "thiserror",
            "tokio",
            "tokio_stream",
            "tonic",
            "tonic_types", // Details of errors, shown to people.
            "uuid",        // publish: names of looks.
        ]),
    },
    Room {
        name: "config",
        // It builds the options of the rooms that have some; nobody below server imports it.
        rooms: &[all("domain"), all("sinks"), all("store"), all("service"), all("telemetry")],
        crates: Crates::Only(&["clap", "humantime", "serde", "serde_saphyr", "thiserror"]),
    },
    Room {
        name: "telemetry",
        rooms: &[all("meter")],
        crates: Crates::Only(&[
            "http",
            "http_body",
            "opentelemetry",
            "opentelemetry_otlp",
            "opentelemetry_sdk",
            "pin_project_lite",
            "prometheus_client",
            "serde_json", // Attributes that are JSON.
            "thiserror",
            "tokio", // The runtime that the exporter lives on.
            "tonic", // Codes and the peer of a connection.
            "tower",
            "tracing",
            "tracing_subscriber",
        ]),
    },
    Room {
        name: "simulate",
        // The engine in process: no store, no service, no clock.
        rooms: &[all("domain"), all("stats")],
        crates: Crates::Only(&[
            "clap",
            "comfy_table",
            "indicatif",
            "rand_chacha", // The same streams on every platform.
            "thiserror",
        ]),
    },
    Room {
        name: "sinks",
        // An edge like rpc, outward bound: it takes what the service leaves in a queue.
        rooms: &[all("service"), all("domain")],
        crates: Crates::Only(&[
            "futures_util",
            "reqwest",
            "rustls", // Its choice of cryptography.
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "uuid", // Names of scores.
        ]),
    },
    Room { name: "server", rooms: EVERY_ROOM, crates: Crates::All },
    Room { name: "main", rooms: EVERY_ROOM, crates: Crates::All },
    // The crate's front page: declares the rooms and uses none.
    Room { name: "lib", rooms: &[], crates: Crates::Only(&[]) },
];

pub(crate) const CONFINED: &[Confined] = &[
    Confined { name: "fjall", home: &["store", "embedded"] },
    Confined { name: "redis", home: &["store", "redis"] },
];
