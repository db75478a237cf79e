//! Joins the layers into [`Settings`], and reports every problem at once.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use figment::Figment;

use super::{Invalid, Problem, Setting, Settings, TABLE, UpstreamState, layer::Layer};

/// The sources that the process was given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The given flags, by the settings' names.
    pub flags: BTreeMap<String, String>,
    /// The path behind `--config`.
    pub config: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// The settings, once all of them are valid, and the warnings about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Each setting in the table's order, with secrets hidden.
    pub effective: Vec<Effective>,
    /// Oddities that do no harm, one sentence each.
    pub warnings: Vec<String>,
}

/// One setting's value in effect, in a form that may be shown.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// The setting's value; hidden if it is secret.
    pub value: String,
    /// The value's source, such as `MJQ_QUEUE` or `default`.
    pub source: String,
    /// Whether no source sets the setting.
    pub is_default: bool,
}

/// Reads all settings: flags over the environment over the TOML file over the defaults.
///
/// # Errors
/// [`Invalid`] lists every problem of every source.
pub fn load(given: Given) -> Result<Loaded, Invalid> {
    let mut problems = Vec::new();
    let config = given.config.clone().or_else(|| variable(&given, "MJQ_CONFIG").map(PathBuf::from));
    let toml = config.map(|path| Layer::toml(&path, &mut problems));
    let (environment, unknown) = Layer::environment(given.variables, &mut problems);
    let mut figment = Figment::from(Layer::defaults());
    let mut paths = BTreeMap::new();
    for layer in toml.into_iter().chain([environment, Layer::flags(given.flags)]) {
        let [texts, from_files] = layer.with_files(&mut paths, &mut problems);
        figment = figment.merge(texts).merge(from_files);
    }

    let mut reader = Reader { figment: &figment, paths, problems, effective: Vec::new() };
    let settings = Settings::read(&mut reader);
    let Reader { mut problems, effective, .. } = reader;
    if let Some(settings) = &settings {
        problems.extend(contradictions(settings, &figment));
    }
    match settings {
        Some(settings) if problems.is_empty() => {
            let warnings = warnings(&settings, &unknown);
            Ok(Loaded { settings, effective, warnings })
        }
        _ => Err(Invalid(problems)),
    }
}

/// Reads one setting after the other, and collects the problems.
pub(super) struct Reader<'a> {
    figment: &'a Figment,
    /// The paths of the files, by the names of the settings that name them, such as `MJQ_UPSTREAM_KEY_FILE`.
    paths: BTreeMap<String, PathBuf>,
    problems: Vec<Problem>,
    effective: Vec<Effective>,
}

impl Reader<'_> {
    pub(super) fn read<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let setting = TABLE.iter().find(|setting| setting.name == name)?;
        let (text, source) = text_and_source(self.figment, setting);
        match read(&text) {
            Ok(value) => {
                let is_default = source == Layer::DEFAULT;
                self.effective.push(Effective { setting, value: setting.show(&text), source, is_default });
                Some(value)
            }
            Err(expected) => {
                self.problems.push(Problem::value(&source, &setting.show_bad(&text), &expected));
                None
            }
        }
    }

    /// The files of the values read so far, by the settings' names.
    pub(super) fn files(&self) -> BTreeMap<&'static str, PathBuf> {
        let path_of = |it: &Effective| Some((it.setting.name, self.paths.get(&it.source)?.clone()));
        self.effective.iter().filter_map(path_of).collect()
    }
}

/// The text in effect, and its source's name for the setting.
fn text_and_source(figment: &Figment, setting: &Setting) -> (String, String) {
    let text = figment.find_value(setting.name).ok().and_then(|value| value.into_string());
    let source = figment.find_metadata(setting.name).map(|it| it.interpolate(figment.profile(), &[setting.name]));
    (text.unwrap_or_default(), source.unwrap_or_else(|| Layer::DEFAULT.to_owned()))
}

/// Settings that are valid one by one, but contradict each other.
fn contradictions(settings: &Settings, figment: &Figment) -> Vec<Problem> {
    let describe = |name: &str| {
        let (text, source) = TABLE.iter().find(|it| it.name == name).map(|it| text_and_source(figment, it))?;
        let name = if source == Layer::DEFAULT { super::setting::variable(name) } else { source };
        Some((name, text))
    };
    let rules = [
        (settings.poll_min <= settings.poll_max, "poll_min_ms", "at most", "poll_max_ms"),
        // After half the retention, a missing record may have been swept rather than lost. A lease must end well before
        // that.
        (settings.lease * 4 <= settings.retention, "lease_ms", "at most a quarter of", "retention"),
    ];
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    let problem = |(_, name, relation, bound): (bool, &str, &str, &str)| {
        let ((name, text), (bound_name, bound)) = (describe(name)?, describe(bound)?);
        Some(Problem::value(&name, &format!("{text:?}"), &format!("{relation} {bound_name}, which is {bound:?}")))
    };
    broken.filter_map(problem).collect()
}

fn warnings(settings: &Settings, unknown: &[String]) -> Vec<String> {
    let unknown = unknown.iter().map(|variable| format!("{variable} is not a setting of mjq and has no effect"));
    let useless = settings.upstream_lookup_path.is_some() && settings.upstream_state != UpstreamState::Token;
    let useless =
        useless.then(|| "MJQ_UPSTREAM_LOOKUP_PATH has no effect unless MJQ_UPSTREAM_STATE is token".to_owned());
    unknown.chain(useless).collect()
}

fn variable(given: &Given, name: &str) -> Option<OsString> {
    let (_, value) = given.variables.iter().find(|(variable, _)| variable == name)?;
    (!value.is_empty()).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use secrecy::ExposeSecret;

    use super::*;

    impl Given {
        pub(in crate::settings) fn with_variables(mut self, variables: &[(&str, &str)]) -> Self {
            self.variables.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
            self
        }

        fn with_flag(mut self, name: &str, text: &str) -> Self {
            self.flags.insert(name.to_owned(), text.to_owned());
            self
        }

        fn with_toml(mut self, test: &str, text: &str) -> Self {
            self.config = Some(file(&format!("{test}.toml"), text));
            self
        }
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mjq-settings-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    fn refusal(given: Given) -> String {
        load(given).unwrap_err().to_string()
    }

    #[test]
    fn flags_go_over_the_environment_over_the_file_over_the_default() {
        let toml = "queue = \"file\"\nslots = 3\nlease_ms = 2000\nupstream_poll_rate = 2.5\n";
        let given = Given::default()
            .with_toml("precedence", toml)
            .with_variables(&[("MJQ_QUEUE", "env"), ("MJQ_SLOTS", "4"), ("OTHER", "x")])
            .with_flag("queue", "flag");

        let loaded = load(given).unwrap();

        assert_eq!(loaded.settings.queue.as_str(), "flag");
        assert_eq!(loaded.settings.slots, 4);
        assert_eq!(loaded.settings.lease, Duration::from_secs(2));
        assert_eq!(loaded.settings.upstream_poll_rate, 2.5);
        assert_eq!(loaded.settings.poll_min, Duration::from_secs(1));
        let source = |name| loaded.effective.iter().find(|it| it.setting.name == name).unwrap().source.as_str();
        assert_eq!((source("queue"), source("slots"), source("poll_min_ms")), ("--queue", "MJQ_SLOTS", "default"));
        assert!(source("lease_ms").starts_with("`lease_ms` in "));
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }

    #[test]
    fn the_file_can_be_named_by_a_variable() {
        let path = file("named.toml", "queue = \"file\"");

        let loaded = load(Given::default().with_variables(&[("MJQ_CONFIG", path.to_str().unwrap())])).unwrap();

        assert_eq!(loaded.settings.queue.as_str(), "file");
    }

    #[test]
    fn each_bad_value_is_named_with_what_was_expected() {
        for (variable, value, message) in [
            (
                "MJQ_LEASE_MS",
                "999",
                "MJQ_LEASE_MS is \"999\", expected a whole number of milliseconds from 1000 to 86400000",
            ),
            (
                "MJQ_POLL_MIN_MS",
                "49",
                "MJQ_POLL_MIN_MS is \"49\", expected a whole number of milliseconds from 50 to 86400000",
            ),
            (
                "MJQ_POLL_MIN_MS",
                "20000",
                "MJQ_POLL_MIN_MS is \"20000\", expected at most MJQ_POLL_MAX_MS, which is \"15000\"",
            ),
            (
                "MJQ_LEASE_MS",
                "21600001",
                "MJQ_LEASE_MS is \"21600001\", expected at most a quarter of MJQ_RETENTION, which is \"24h\"",
            ),
            ("MJQ_SLOTS", "many", "MJQ_SLOTS is \"many\", expected a whole number from 1 to 100000"),
            (
                "MJQ_UPSTREAM_POLL_RATE",
                "-1",
                "MJQ_UPSTREAM_POLL_RATE is \"-1\", expected a number per second: 0 (no limit), or from 0.000012 to 1000000",
            ),
            (
                "MJQ_UPSTREAM_TIMEOUT_MS",
                "99",
                "MJQ_UPSTREAM_TIMEOUT_MS is \"99\", expected a whole number of milliseconds from 100 to 86400000",
            ),
            (
                "MJQ_RETENTION",
                "59s",
                "MJQ_RETENTION is \"59s\", expected a duration with its unit such as 90s, 15m or 24h, from 1m to ",
            ),
            ("MJQ_QUEUE", "a b", "MJQ_QUEUE is \"a b\", expected 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            ("MJQ_ON_UNKNOWN", "retry", "MJQ_ON_UNKNOWN is \"retry\", expected fail or resubmit"),
            ("MJQ_UPSTREAM_STATE", "", "MJQ_UPSTREAM_STATE is \"\", expected forward or token"),
            ("MJQ_ADMIN_ADDR", "localhost", "MJQ_ADMIN_ADDR is \"localhost\", expected an IP address and a port"),
            (
                "MJQ_UPSTREAM_URL",
                "https://me:hunter2@a",
                "MJQ_UPSTREAM_URL is \"https://…@a\", expected an http:// or https:// URL",
            ),
            (
                "MJQ_UPSTREAM_FETCH_PATH",
                "/fetch",
                "MJQ_UPSTREAM_FETCH_PATH is \"/fetch\", expected a path that starts with / and has {id}",
            ),
            (
                "MJQ_MAX_JOB_BYTES",
                "1 GB",
                "MJQ_MAX_JOB_BYTES is \"1 GB\", expected a number of bytes from 1024 to 536870912",
            ),
            ("MJQ_LOG", "loud", "MJQ_LOG is \"loud\", expected error, warn, info, debug, trace or off"),
            ("MJQ_LOG_FORMAT", "xml", "MJQ_LOG_FORMAT is \"xml\", expected text or json"),
            ("MJQ_REDIS_URL", "hunter2", "MJQ_REDIS_URL is (hidden), expected redis://, rediss://"),
            ("MJQ_UPSTREAM_KEY", "hunter2\n", "MJQ_UPSTREAM_KEY is (hidden), expected printable ASCII"),
            ("MJQ_UPSTREAM_KEY_FILE", "/no/file", "MJQ_UPSTREAM_KEY_FILE is \"/no/file\", expected a readable file"),
        ] {
            let message_given = refusal(Given::default().with_variables(&[(variable, value)]));

            assert!(message_given.starts_with(message), "{message_given}");
            assert!(!message_given.contains("hunter2"), "{message_given}");
        }
    }

    #[test]
    fn the_name_is_that_of_the_source() {
        let flag = refusal(Given::default().with_flag("lease_ms", "1"));
        let key = refusal(Given::default().with_toml("source", "lease_ms = 1"));

        assert!(flag.starts_with("--lease-ms is \"1\""), "{flag}");
        assert!(key.starts_with("`lease_ms` in ") && key.contains("source.toml is \"1\""), "{key}");
    }

    #[test]
    fn all_problems_are_reported_together() {
        let given = Given::default()
            .with_toml("together", "slotz = 3\nqueue = [1]\n")
            .with_variables(&[("MJQ_LEASE_MS", "1"), ("MJQ_ON_UNKNOWN", "maybe")])
            .with_flag("slots", "0");

        let message = refusal(given);

        assert!(message.starts_with("5 settings cannot be used:\n  "), "{message}");
        for part in ["`slotz` in ", "`queue` in ", "MJQ_LEASE_MS is", "MJQ_ON_UNKNOWN is", "--slots is"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn settings_that_only_just_agree_are_taken() {
        let given =
            [("MJQ_LEASE_MS", "15000"), ("MJQ_RETENTION", "60s"), ("MJQ_POLL_MIN_MS", "50"), ("MJQ_POLL_MAX_MS", "50")];

        assert!(load(Given::default().with_variables(&given)).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_explained_without_its_lines() {
        let broken = refusal(Given::default().with_toml("broken", "slots = 3\nupstream_key = \"hunter2\n"));
        let absent = refusal(Given { config: Some("/no/mjq.toml".into()), ..Given::default() });

        assert!(broken.starts_with("cannot read the settings file ") && broken.contains("line 2"), "{broken}");
        assert!(!broken.contains("hunter2"), "{broken}");
        assert!(absent.starts_with("cannot read the settings file /no/mjq.toml: "), "{absent}");
    }

    #[test]
    fn unknown_variables_are_warned_about_but_not_those_of_kubernetes() {
        let given = Given::default().with_variables(&[
            ("MJQ_REDIS_ULR", "redis://elsewhere"),
            ("MJQ_PORT", "tcp://10.0.0.1:8081"),
            ("MJQ_SERVICE_HOST", "10.0.0.1"),
            ("MJQ_PORT_8081_TCP_ADDR", "10.0.0.1"),
            ("MJQ_UPSTREAM_KEY_FILE", ""),
        ]);

        let warnings = load(given).unwrap().warnings;

        assert_eq!(warnings, ["MJQ_REDIS_ULR is not a setting of mjq and has no effect"]);
    }

    #[test]
    fn a_secret_can_stand_in_a_file_without_its_newline() {
        let path = file("key", "sk-123\n");
        let path = path.to_str().unwrap();

        let environment = load(Given::default().with_variables(&[("MJQ_UPSTREAM_KEY_FILE", path)])).unwrap();
        let over_toml = Given::default().with_toml("secret", "upstream_key = \"old\"");
        let over_toml = load(over_toml.with_variables(&[("MJQ_UPSTREAM_KEY_FILE", path)])).unwrap();
        let both = [("MJQ_UPSTREAM_KEY_FILE", path), ("MJQ_UPSTREAM_KEY", "other")];
        let both = refusal(Given::default().with_variables(&both));

        for loaded in [&environment, &over_toml] {
            assert_eq!(loaded.settings.upstream_key.as_ref().unwrap().expose_secret(), "sk-123");
            let effective = loaded.effective.iter().find(|it| it.setting.name == "upstream_key").unwrap();
            assert_eq!(effective.source, "MJQ_UPSTREAM_KEY_FILE");
            assert_eq!(loaded.settings.upstream().key_file.as_deref(), Some(Path::new(path)));
        }
        let flag =
            Given::default().with_variables(&[("MJQ_UPSTREAM_KEY_FILE", path)]).with_flag("upstream_key", "other");
        assert_eq!(load(flag).unwrap().settings.upstream().key_file, None, "the file is not what counts");
        assert_eq!(both, "MJQ_UPSTREAM_KEY and MJQ_UPSTREAM_KEY_FILE are both set, expected one of them");
    }

    #[test]
    fn secrets_are_hidden_wherever_settings_are_shown() {
        let given = Given::default().with_variables(&[
            ("MJQ_REDIS_URL", "redis://me:hunter2@127.0.0.1:6379"),
            ("MJQ_UPSTREAM_KEY", "hunter2"),
            ("MJQ_ADMIN_TOKEN", "hunter2"),
        ]);

        let loaded = load(given).unwrap();

        let shown = format!("{loaded:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("redis://…@127.0.0.1:6379"), "{shown}");
    }

    #[test]
    fn a_lookup_path_without_tokens_is_odd() {
        let given = Given::default().with_variables(&[("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list")]);

        assert_eq!(load(given).unwrap().warnings.len(), 1);
    }
}
