//! `mjq check-config`: checks the settings and shows the values in effect.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    flags::{Flags, WorkerFlags},
    output,
};
use crate::settings::{Effective, Loaded};

#[derive(Debug, Args)]
#[command(after_help = "\
Prints each setting as it would stand in a TOML file, and where its value comes from. \
With bad settings it says what was expected of each and exits with 78.")]
pub(super) struct CheckConfig {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: WorkerFlags,
}

impl CheckConfig {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) fn run(&self, loaded: &Loaded) -> Result<(), Failure> {
        // The warnings are not printed here for people, because they were logged already.
        let text = match self.json {
            true => as_json(&loaded.effective, &loaded.warnings),
            false => as_toml(&loaded.effective).collect::<Vec<_>>().join("\n"),
        };
        output::line(&text)
    }
}

fn as_toml(effective: &[Effective]) -> impl Iterator<Item = String> {
    let settings: Vec<(String, String)> =
        effective.iter().map(|it| (format!("{} = {}", it.setting.name, json!(it.value)), source(it))).collect();
    let width = settings.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or_default();
    settings.into_iter().map(move |(setting, source)| format!("{setting:width$}  # {source}"))
}

/// The source of the value or, for a default, the variable that changes it.
fn source(effective: &Effective) -> String {
    if effective.is_default {
        format!("default, {} changes it", effective.setting.variable())
    } else {
        effective.source.clone()
    }
}

fn as_json(effective: &[Effective], warnings: &[String]) -> String {
    let settings: Map<String, Value> = effective
        .iter()
        .map(|it| (it.setting.name.to_owned(), json!({ "value": it.value, "source": it.source })))
        .collect();
    json!({ "settings": settings, "warnings": warnings }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Given, load};

    fn loaded() -> Loaded {
        let variables =
            [("MJQ_UPSTREAM_KEY", "hunter2"), ("MJQ_REDIS_URL", "redis://u:hunter2@h:1"), ("MJQ_TYPO", "x")];
        let variables = variables.map(|(name, value)| (name.into(), value.into())).into();
        load(Given { variables, ..Given::default() }).unwrap()
    }

    #[test]
    fn what_it_prints_can_be_given_back_and_holds_no_secret() {
        let toml: Vec<String> = as_toml(&loaded().effective).collect();
        let text = toml.join("\n");

        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("upstream_key = \"(hidden)\""), "{text}");
        let path = std::env::temp_dir().join(format!("mjq-check-config-{}.toml", std::process::id()));
        std::fs::write(&path, text.replace("…@", "")).unwrap();
        assert!(load(Given { config: Some(path), ..Given::default() }).is_ok(), "{text}");
    }

    #[test]
    fn json_holds_no_secret_either() {
        let Loaded { effective, warnings, .. } = loaded();

        let json = as_json(&effective, &warnings);

        assert!(!json.contains("hunter2"), "{json}");
        assert!(json.contains(r#""slots":{"source":"default","value":"256"}"#), "{json}");
        assert!(json.contains("MJQ_TYPO"), "{json}");
    }
}
