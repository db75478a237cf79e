//! Options for a Redis that the harness starts.

use std::path::PathBuf;

/// Settings of a Redis that the harness starts. By default Redis keeps nothing on disk, and never evicts.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    pub(crate) port: Option<u16>,
    pub(crate) dir: Option<PathBuf>,
    append_only: bool,
    settings: Vec<(String, String)>,
}

impl RedisOptions {
    /// Keeps every write in an append-only file, so that a restart finds the data again.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Limits the memory (`"50mb"`). When it is full, Redis refuses writes with `OOM`, and evicts nothing.
    #[must_use]
    pub fn max_memory(self, amount: &str) -> Self {
        self.set("maxmemory", amount)
    }

    /// Listens on this port instead of a free one. Containers ignore it, because Docker chooses their ports.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Keeps the server's files in this directory, which is not removed afterwards. Containers ignore it.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets any other line of redis.conf, for example `("appendfsync", "always")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The settings as arguments of `redis-server`, without port and directory.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let append_only = if self.append_only { "yes" } else { "no" };
        let mut arguments: Vec<String> =
            ["--save", "", "--appendonly", append_only, "--maxmemory-policy", "noeviction"].map(str::to_owned).into();
        for (name, value) in &self.settings {
            arguments.extend([format!("--{name}"), value.clone()]);
        }
        arguments
    }
}
