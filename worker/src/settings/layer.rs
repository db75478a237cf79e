//! Layers: the sources of the settings' texts. figment lays one over the other.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{Problem, Setting, TABLE, setting};

/// The texts of one source.
///
/// All values stay texts: figment's own environment provider would read the key `007` as the number 7.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    source: Source,
    /// Whether the texts were read from the files that `…_file` settings name.
    is_from_files: bool,
    texts: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
enum Source {
    Defaults,
    Toml(PathBuf),
    Environment,
    Flags,
}

impl Layer {
    /// The name of the source when no source sets a text.
    pub(super) const DEFAULT: &str = "default";

    /// The defaults of the table.
    pub(super) fn defaults() -> Self {
        Self::new(Source::Defaults, TABLE.iter().map(|setting| (setting.name.to_owned(), setting.default.to_owned())))
    }

    /// The texts of the given flags, by the settings' names.
    pub(super) fn flags(texts: BTreeMap<String, String>) -> Self {
        Self::new(Source::Flags, texts)
    }

    /// The `MJQ_…` variables that are settings; the second part lists all other `MJQ_…` variables.
    pub(super) fn environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Vec<Problem>,
    ) -> (Self, Vec<String>) {
        let mut layer = Self::new(Source::Environment, []);
        let mut unknown = Vec::new();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|variable| variable.starts_with("MJQ_")) else {
                continue;
            };
            match (names().find(|name| setting::variable(name) == variable), value.into_string()) {
                (Some(name), Ok(text)) => drop(layer.texts.insert(name, text)),
                (Some(_), Err(_)) => problems.push(Problem::value(variable, "not UTF-8", "text")),
                (None, _) if is_of_others(variable) || is_of_kubernetes(variable) => {}
                (None, _) => unknown.push(variable.to_owned()),
            }
        }
        (layer, unknown)
    }

    /// The keys of a TOML file. An unknown key is a problem, because only settings of mjq belong into that file.
    pub(super) fn toml(path: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::new(Source::Toml(path.to_owned()), []);
        let file = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::other(format!("cannot read the settings file {file}: {error}")));
                return layer;
            }
        };
        let dict = match Toml::string(&text).data() {
            Ok(mut profiles) => profiles.remove(&Profile::Default).unwrap_or_default(),
            Err(error) => {
                let reason = without_source_lines(&error.to_string());
                problems.push(Problem::other(format!("cannot read the settings file {file}: {reason}")));
                return layer;
            }
        };
        for (key, value) in dict {
            let text = match &value {
                Value::String(_, text) => Some(text.clone()),
                Value::Bool(_, truth) => Some(truth.to_string()),
                Value::Num(_, number) => {
                    number.to_i128().map(|n| n.to_string()).or_else(|| number.to_f64().map(|n| n.to_string()))
                }
                _ => None,
            };
            match (names().any(|name| name == key), text) {
                (true, Some(text)) => drop(layer.texts.insert(key, text)),
                (true, None) => {
                    problems.push(Problem::other(format!("`{key}` in {file} must be a string or a number")))
                }
                (false, _) => problems.push(Problem::other(format!(
                    "`{key}` in {file} is not a setting; `mjq check-config` without a file lists them all"
                ))),
            }
        }
        layer
    }

    /// The layer without its `…_file` settings, and a layer above it with the contents of those files.
    ///
    /// Adds the files' paths to `paths`, under this source's names for the settings.
    pub(super) fn with_files(
        mut self,
        paths: &mut BTreeMap<String, PathBuf>,
        problems: &mut Vec<Problem>,
    ) -> [Self; 2] {
        let mut from_files = Self { source: self.source.clone(), is_from_files: true, texts: BTreeMap::new() };
        for setting in TABLE {
            // An empty path means no file: compose files write `MJQ_UPSTREAM_KEY_FILE=${KEY_FILE:-}` for an optional
            // one.
            let Some(path) = setting.file_name().and_then(|name| self.texts.remove(&name)).filter(|it| !it.is_empty())
            else {
                continue;
            };
            let name = from_files.name_of(setting.name);
            if self.texts.get(setting.name).is_some_and(|text| !text.is_empty()) {
                let other = self.name_of(setting.name);
                problems.push(Problem::other(format!("{other} and {name} are both set, expected one of them")));
            }
            match fs::read_to_string(&path) {
                // Editors end files with a newline, but no secret ends with one.
                Ok(text) => drop(from_files.texts.insert(setting.name.to_owned(), text.trim_end().to_owned())),
                Err(error) => {
                    problems.push(Problem::value(&name, &format!("{path:?}"), &format!("a readable file ({error})")));
                }
            }
            paths.insert(name, PathBuf::from(path));
        }
        [self, from_files]
    }

    fn new(source: Source, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { source, is_from_files: false, texts: texts.into_iter().collect() }
    }

    /// This source's name for the setting: `--redis-url`, `MJQ_REDIS_URL`, `redis_url` in a file.
    fn name_of(&self, name: &str) -> String {
        let name = if self.is_from_files { format!("{name}_file") } else { name.to_owned() };
        match &self.source {
            Source::Defaults => Self::DEFAULT.to_owned(),
            Source::Toml(path) => format!("`{name}` in {}", path.display()),
            Source::Environment => setting::variable(&name),
            Source::Flags => format!("--{}", setting::flag(&name)),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let layer = Self { texts: BTreeMap::new(), ..self.clone() };
        Metadata::named("settings").interpolater(move |_, keys| layer.name_of(&keys.join(".")))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let texts = self.texts.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
        Ok(Map::from([(Profile::Default, texts)]))
    }
}

/// Each name that a source may set.
fn names() -> impl Iterator<Item = String> {
    TABLE.iter().flat_map(|setting: &Setting| [Some(setting.name.to_owned()), setting.file_name()]).flatten()
}

/// Whether the variable is not a setting, but belongs to other parts of mjq: the config file's path, the simulator,
/// tests.
fn is_of_others(variable: &str) -> bool {
    variable == "MJQ_CONFIG" || ["MJQ_SIMULATOR_", "MJQ_TEST_"].iter().any(|it| variable.starts_with(it))
}

/// Whether Kubernetes has set the variable for a Service whose name begins with `mjq`.
fn is_of_kubernetes(variable: &str) -> bool {
    variable.ends_with("_PORT")
        || ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_UDP"].iter().any(|it| variable.contains(it))
}

/// The error without quoted lines: the TOML reader quotes the line with the mistake, and it may hold a secret.
fn without_source_lines(error: &str) -> String {
    let words = error.lines().filter(|line| !line.contains('|') && !line.trim().is_empty());
    words.map(str::trim).collect::<Vec<_>>().join(": ")
}
