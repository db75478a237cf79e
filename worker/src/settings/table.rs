//! The table of settings: one place for the name, default and meaning of each.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use mjq_producer::contract::{MAX_DEADLINE_S, OnCapacity, OnUnknown, QueueName};
use secrecy::SecretString;
use url::Url;

use super::{
    Audience, Secrecy, Setting,
    load::Reader,
    value::{self, LogFormat, UpstreamState},
};
use crate::{
    lifecycle::{AdoptionRoutes, Mode, Policy},
    upstream::UpstreamSettings,
};

/// Makes [`Settings`], [`TABLE`] and the function that reads the settings by the table.
macro_rules! settings {
    ($(
        #[doc = $meaning:literal]
        [$audience:ident $secrecy:ident] $field:ident: $type:ty = $name:literal ($default:literal) by $read:expr;
    )+) => {
        /// Every setting, read and checked. `Debug` shows no secret.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $(#[doc = $meaning] pub $field: $type,)+
            /// The files that secrets were read from, by the settings' names.
            pub files: BTreeMap<&'static str, PathBuf>,
        }

        /// Every setting, in the order in which people should read them.
        pub const TABLE: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            meaning: $meaning,
            audience: Audience::$audience,
            secrecy: Secrecy::$secrecy,
        },)+];

        impl Settings {
            /// Reads every setting, so that every problem is found; `None` when there is a problem.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $(let $field = reader.read($name, $read);)+
                Some(Self { $($field: $field?,)+ files: reader.files() })
            }
        }
    };
}

settings! {
    /// Where Redis is: redis://, rediss://, redis+sentinel://host,host/master or redis+cluster://host,host
    [Everyone Password] redis_url: SecretString = "redis_url" ("redis://127.0.0.1:6379") by value::redis_url;
    /// The queue's name, part of every key
    [Everyone Open] queue: QueueName = "queue" ("default") by value::queue;

    /// The upstream API's base URL; the paths below are appended
    [Worker Open] upstream_url: Url = "upstream_url" ("https://api.agicto.cn/v1") by value::url;
    /// The upstream's API key; without one, no such header is sent
    [Worker Secret] upstream_key: Option<SecretString> = "upstream_key" ("") by value::optional(value::header_secret);
    /// The header that carries the key
    [Worker Open] upstream_auth_header: String = "upstream_auth_header" ("Authorization") by value::header_name;
    /// The word before the key in that header; empty = the key alone
    [Worker Open] upstream_auth_scheme: String = "upstream_auth_scheme" ("Bearer") by value::auth_scheme;
    /// Where jobs are submitted; {action} becomes the job's kind
    [Worker Open] upstream_submit_path: String = "upstream_submit_path" ("/mj/submit/{action}") by value::path("{action}");
    /// Where a task is polled; {id} becomes the task's id
    [Worker Open] upstream_fetch_path: String = "upstream_fetch_path" ("/mj/task/{id}/fetch") by value::path("{id}");
    /// Where many tasks are polled in one request (list-by-condition); empty = one by one
    [Worker Open] upstream_list_path: Option<String> = "upstream_list_path" ("") by value::optional(value::path(""));
    /// Where tasks are listed with their state, to find one whose answer was lost (/mj/task/list); empty = nowhere
    [Worker Open] upstream_lookup_path: Option<String> = "upstream_lookup_path" ("") by value::optional(value::path(""));
    /// Where a task is cancelled; {id} becomes the task's id; empty = nowhere
    [Worker Open] upstream_cancel_path: Option<String> = "upstream_cancel_path" ("") by value::optional(value::path("{id}"));
    /// How long one HTTP exchange may take, in ms
    [Worker Open] upstream_timeout: Duration = "upstream_timeout_ms" ("30000") by value::millis(100);
    /// The most tasks open upstream at once, over all pods; 0 = no limit
    [Worker Open] upstream_max_open: u32 = "upstream_max_open" ("0") by value::whole(0..=10_000_000);
    /// The most submits per second, over all pods; 0 = no limit
    [Worker Open] upstream_submit_rate: f64 = "upstream_submit_rate" ("0") by value::rate;
    /// The most polls per second, over all pods; 0 = no limit
    [Worker Open] upstream_poll_rate: f64 = "upstream_poll_rate" ("10") by value::rate;
    /// How long a task must stay unknown to the upstream before its job ends as upstream_lost, in ms
    [Worker Open] upstream_lost: Duration = "upstream_lost_ms" ("180000") by value::millis(0);
    /// What the upstream sees as `state`: forward = the caller's, token = mjq's own; the event has the caller's
    [Worker Open] upstream_state: UpstreamState = "upstream_state" ("forward") by value::one_of;

    /// The most steps that one pod performs at once
    [Worker Open] slots: usize = "slots" ("256") by value::whole(1..=100_000);
    /// Threads of one pod; one performs thousands of steps a second, and pays nothing for waking others
    [Worker Open] threads: usize = "threads" ("1") by value::whole(1..=256);
    /// How long a crashed pod's steps stay with it, in ms; renewed while a step runs
    [Worker Open] lease: Duration = "lease_ms" ("15000") by value::millis(1000);
    /// The shortest time between two polls of one task, in ms
    [Worker Open] poll_min: Duration = "poll_min_ms" ("1000") by value::millis(50);
    /// The longest time between two polls of one task, in ms
    [Worker Open] poll_max: Duration = "poll_max_ms" ("15000") by value::millis(50);
    /// When nobody can know whether the upstream took a job: fail, or resubmit and perhaps pay twice
    [Worker Open] on_unknown: OnUnknown = "on_unknown" ("fail") by value::one_of;
    /// When a task failed because the upstream had no capacity: fail, or resubmit, which is a new charge
    [Worker Open] on_capacity: OnCapacity = "on_capacity" ("fail") by value::one_of;
    /// How long a task whose answer was lost is searched for, in ms
    [Worker Open] unknown_grace: Duration = "unknown_grace_ms" ("120000") by value::millis(0);
    /// The deadline of a fast job that has none of its own
    [Worker Open] deadline_fast: Duration = "deadline_fast" ("15m") by value::duration(1, MAX_DEADLINE_S);
    /// The deadline of a relaxed job that has none of its own
    [Worker Open] deadline_relax: Duration = "deadline_relax" ("60m") by value::duration(1, MAX_DEADLINE_S);
    /// The most submits of a job that the upstream took or may have taken
    [Worker Open] max_attempts: u32 = "max_attempts" ("5") by value::whole(1..=1000);
    /// The most pods that may die on a job before it ends as poison
    [Worker Open] max_reclaims: u32 = "max_reclaims" ("5") by value::whole(1..=1000);
    /// The largest job that is taken: bytes, or with KiB or MiB
    [Worker Open] max_job_bytes: usize = "max_job_bytes" ("10MiB") by value::bytes(1024, 512 << 20);
    /// How long finished records and events stay
    [Worker Open] retention: Duration = "retention" ("24h") by value::duration(60, 10 * 31_557_600);
    /// About how many entries the stream of progress keeps; 0 = progress is not published
    [Worker Open] progress_events: u32 = "progress_events" ("0") by value::whole(0..=10_000_000);

    /// The public base URL for the upstream's callbacks; /hooks/… is appended; empty = no hooks
    [Worker Open] hook_url: Option<Url> = "hook_url" ("") by value::optional(value::url);
    /// Where health, metrics, JSON API, dashboard and hooks listen
    [Everyone Open] admin_addr: SocketAddr = "admin_addr" ("127.0.0.1:8081") by value::address;
    /// What callers of the admin API must bear to change anything; empty = read-only
    [Worker Secret] admin_token: Option<SecretString> = "admin_token" ("") by value::optional(value::header_secret);

    /// What is logged: error, warn, info, debug, trace, also per module (info,mjq_worker::engine=debug)
    [Everyone Open] log: String = "log" ("info") by value::log_filter;
    /// How it is logged: text or json
    [Everyone Open] log_format: LogFormat = "log_format" ("text") by value::one_of;
}

impl Settings {
    /// Where the upstream is, and how to ask it.
    #[must_use]
    pub fn upstream(&self) -> UpstreamSettings {
        UpstreamSettings {
            base_url: self.upstream_url.clone(),
            key: self.upstream_key.clone(),
            key_file: self.files.get("upstream_key").cloned(),
            auth_header: self.upstream_auth_header.clone(),
            auth_scheme: self.upstream_auth_scheme.clone(),
            submit_path: self.upstream_submit_path.clone(),
            fetch_path: self.upstream_fetch_path.clone(),
            list_path: self.upstream_list_path.clone(),
            cancel_path: self.upstream_cancel_path.clone(),
            lookup_path: self.upstream_lookup_path.clone(),
            timeout: self.upstream_timeout,
        }
    }

    /// The policy of the state machine.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            poll_min: self.poll_min,
            poll_max: self.poll_max,
            on_unknown: self.on_unknown,
            on_capacity: self.on_capacity,
            unknown_grace: self.unknown_grace,
            adoption: AdoptionRoutes {
                hook: self.hook_url.is_some(),
                // Without mjq's own token, a listed `state` does not name the job.
                lookup: self.upstream_state == UpstreamState::Token && self.upstream_lookup_path.is_some(),
            },
            mode: Mode::of_path(&format!("{}{}", self.upstream_url.path(), self.upstream_submit_path)),
            fast_deadline: self.deadline_fast,
            relax_deadline: self.deadline_relax,
            max_attempts: self.max_attempts,
            max_reclaims: self.max_reclaims,
            lost_after: (Policy::LOST_POLLS, self.upstream_lost),
            // A revisit writes its result on the record, which exists no longer than the retention.
            revisit_for: Policy::REVISIT_FOR.min(self.retention),
            ..Policy::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::settings::{Given, load};

    #[test]
    fn each_setting_has_names_of_its_own_and_a_meaning() {
        let mut names = HashSet::new();
        for setting in TABLE {
            assert!(names.insert(setting.name.to_owned()), "{}", setting.name);
            assert!(setting.file_name().is_none_or(|name| names.insert(name)), "{}", setting.name);
            assert!(setting.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", setting.name);
            assert!(setting.meaning.trim().len() > 10, "{}", setting.name);
        }
    }

    #[test]
    fn env_example_has_each_setting_with_its_default() {
        let example = include_str!("../../../.env.example");
        let lines: HashSet<&str> = example.lines().collect();

        for setting in TABLE {
            let line = format!("#{}={}", setting.variable(), setting.default);
            assert!(lines.contains(line.as_str()), "{line} is not in .env.example");
        }
        let settings = example.lines().filter(|line| line.contains("MJQ_") && !line.contains("_FILE=")).count();
        assert_eq!(settings, TABLE.len(), "it has none that is no setting");
    }

    #[test]
    fn the_defaults_are_those_that_outsiders_rely_on() {
        let settings = load(Given::default()).unwrap().settings;

        assert_eq!(settings.queue.as_str(), "default");
        assert_eq!(settings.upstream_url.as_str(), "https://api.agicto.cn/v1");
        assert_eq!(settings.upstream_submit_path, "/mj/submit/{action}");
        assert_eq!((settings.upstream_submit_rate, settings.upstream_poll_rate), (0.0, 10.0));
        assert_eq!((settings.slots, settings.max_job_bytes), (256, 10 * 1024 * 1024));
        assert_eq!(settings.lease, Duration::from_secs(15));
        assert_eq!(settings.retention, Duration::from_secs(24 * 3600));
        assert!(settings.upstream_key.is_none() && settings.admin_token.is_none() && settings.hook_url.is_none());
    }

    #[test]
    fn the_default_policy_is_the_policy_of_the_default_settings() {
        let policy = load(Given::default()).unwrap().settings.policy();

        assert_eq!(format!("{policy:?}"), format!("{:?}", Policy::default()));
    }

    #[test]
    fn each_adoption_route_is_open_only_with_all_that_it_needs() {
        for (variables, hook, lookup) in [
            (vec![("MJQ_HOOK_URL", "https://mjq.example")], true, false),
            (vec![("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list")], false, false),
            (vec![("MJQ_UPSTREAM_STATE", "token")], false, false),
            (vec![("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list"), ("MJQ_UPSTREAM_STATE", "token")], false, true),
        ] {
            let settings = load(Given::default().with_variables(&variables)).unwrap().settings;

            assert_eq!(settings.policy().adoption, AdoptionRoutes { hook, lookup }, "{variables:?}");
        }
    }
}
