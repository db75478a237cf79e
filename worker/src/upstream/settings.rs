//! Where the upstream is, and how it expects requests.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use url::Url;

/// Where the upstream is, and how it expects requests.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// The base that the paths are appended to; its own path (`/v1`) stays.
    pub base_url: Url,
    /// The key; without one, no key is sent.
    pub key: Option<SecretString>,
    /// The file that holds the key, if there is one. It is read again when the upstream refuses the key.
    pub key_file: Option<PathBuf>,
    /// The header that carries the key.
    pub auth_header: String,
    /// The word before the key (`Bearer`); empty if the header is the key alone.
    pub auth_scheme: String,
    /// Where jobs are submitted; `{action}` is the job's kind.
    pub submit_path: String,
    /// Where one task is polled; `{id}` is the task's id.
    pub fetch_path: String,
    /// Where many tasks are polled (`list-by-condition`), if the upstream has it.
    pub list_path: Option<String>,
    /// Where a task is cancelled, if the upstream has it; `{id}` is the task's id.
    pub cancel_path: Option<String>,
    /// Where the latest tasks are listed (`/mj/task/list`), if the upstream has it.
    pub lookup_path: Option<String>,
    /// The longest time that one exchange takes, from connecting to the body's last byte.
    pub timeout: Duration,
}

impl UpstreamSettings {
    /// The settings of an upstream with only the family's usual paths.
    #[must_use]
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            key: None,
            key_file: None,
            auth_header: "Authorization".to_owned(),
            auth_scheme: "Bearer".to_owned(),
            submit_path: "/mj/submit/{action}".to_owned(),
            fetch_path: "/mj/task/{id}/fetch".to_owned(),
            list_path: None,
            cancel_path: None,
            lookup_path: None,
            timeout: Duration::from_secs(30),
        }
    }
}
