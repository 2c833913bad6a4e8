//! Processes that run beside a stage and end with it.

/// A process beside a stage: a database for its tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, in lower case; `NAME_PORT` and `NAME_HOST` tell the stage's commands where it is.
    pub name: String,
    /// The shell command that runs it, in the foreground, on `$PORT`.
    pub run: String,
    /// A shell command that succeeds once it is ready; a connection to its port where absent.
    pub ready: Option<String>,
    /// How long it may take until then, in milliseconds.
    pub within_ms: u64,
    /// Further variables for the stage's commands; `$PORT` and `$DATA` (a folder of its own) are known in them.
    pub env: Vec<(String, String)>,
}

impl Service {
    /// The services that need no more than their name.
    pub const KNOWN: [&str; 2] = ["postgres", "redis"];

    /// A service that is known by its name.
    pub fn known(name: &str) -> Option<Self> {
        let (run, ready, env): (&str, Option<&str>, &[(&str, &str)]) = match name {
            "postgres" => (
                // The server's programs are often on no PATH, in a folder by their version.
                "PATH=\"$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)\"\n\
                 initdb --pgdata=\"$DATA/data\" --username=postgres --auth=trust --no-sync >\"$DATA/initdb.log\" 2>&1 || { cat \"$DATA/initdb.log\"; exit 1; }\n\
                 exec postgres -D \"$DATA/data\" -p \"$PORT\" -k \"$DATA\" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off",
                Some(
                    "PATH=\"$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)\"; pg_isready -q -h 127.0.0.1 -p \"$PORT\"",
                ),
                &[
                    ("PGHOST", "127.0.0.1"),
                    ("PGPORT", "$PORT"),
                    ("PGUSER", "postgres"),
                    (
                        "DATABASE_URL",
                        "postgresql://postgres@127.0.0.1:$PORT/postgres",
                    ),
                ],
            ),
            "redis" => (
                "exec redis-server --bind 127.0.0.1 --port \"$PORT\" --dir \"$DATA\" --save '' --appendonly no",
                None,
                &[("REDIS_URL", "redis://127.0.0.1:$PORT/0")],
            ),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            run: run.to_owned(),
            ready: ready.map(str::to_owned),
            within_ms: 60_000,
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }
}
