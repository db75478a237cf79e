//! The simulator's settings, which can be changed before the start or while it runs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    dialect::Dialect,
    ids::IdStyle,
    script::{FetchStep, SubmitStep},
    span::Span,
};

/// The simulator's settings. Each has a default, and all but `log` can change at run time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Tasks that run at once.
    pub slots: usize,
    /// Tasks that may wait; the next one is refused.
    pub queue: usize,
    /// How long a task runs once it has a slot.
    pub duration: Span,
    /// The same for some kinds (`imagine`, `upscale` …) or speeds (`relax`, `turbo`); the kind wins.
    pub durations: BTreeMap<String, Span>,
    /// Which member of the family answers.
    pub dialect: Dialect,
    /// The form of ids; by default the dialect's own.
    pub id_style: Option<IdStyle>,
    /// How long each answer takes. A task is created when its request arrives, not when the answer is sent.
    pub latency: Span,
    /// The key that requests must carry. Without one, all requests are let in.
    pub key: Option<String>,
    /// Base of image URLs; by default the host that the request names.
    pub public_url: Option<String>,
    /// Whether `notifyHook` is honoured.
    pub hooks: bool,
    /// Whether hooks are called only at the end of a task.
    pub hook_only_terminal: bool,
    /// Share of callbacks that are lost on the way, 0 to 1.
    pub hook_loss: f64,
    /// Whether `POST /mj/task/list-by-condition` exists.
    pub list_by_condition: bool,
    /// Whether `GET /mj/task/list` exists (new-api never has it).
    pub task_list: bool,
    /// Banned words: a prompt with one is refused (in the C# dialect, its task fails).
    pub banned_words: Vec<String>,
    /// The largest body in bytes. A larger one gets 413.
    pub max_body_bytes: usize,
    /// The seed of all chance: durations, faults, failures.
    pub seed: u64,
    /// Share of tasks that end in FAILURE, 0 to 1.
    pub failure_rate: f64,
    /// Random faults of submits. Each is rolled for in turn, unless a script decides.
    pub submit_faults: Vec<Odds<SubmitStep>>,
    /// Random faults of polls.
    pub fetch_faults: Vec<Odds<FetchStep>>,
    /// How many of the first cancels are answered with 503.
    pub cancel_refusals: u64,
    /// A file that gets one JSON line per creation, before the answer is sent. The setting is read only at the start.
    #[serde(skip)]
    pub log: Option<PathBuf>,
}

/// A fault for a share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Odds<T> {
    /// The share, 0 to 1.
    pub rate: f64,
    /// The fault.
    pub step: T,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            slots: 3,
            queue: 10,
            duration: Span::exactly(Duration::from_secs(1)),
            durations: BTreeMap::new(),
            dialect: Dialect::Agicto,
            id_style: None,
            latency: Span::default(),
            key: None,
            public_url: None,
            hooks: true,
            hook_only_terminal: false,
            hook_loss: 0.0,
            list_by_condition: true,
            task_list: true,
            banned_words: vec!["nude".to_owned()],
            max_body_bytes: 20 << 20,
            seed: 1,
            failure_rate: 0.0,
            submit_faults: Vec::new(),
            fetch_faults: Vec::new(),
            cancel_refusals: 0,
            log: None,
        }
    }
}

impl Knobs {
    /// These knobs with the values in `change`; all others stay.
    ///
    /// # Errors
    /// When `change` is not an object, names an unknown knob or has a value of the wrong type.
    pub fn merged(&self, change: Value) -> anyhow::Result<Self> {
        let Value::Object(change) = change else { anyhow::bail!("knobs must be a JSON object") };
        let mut all = serde_json::to_value(self).context("could not write the knobs")?;
        if let Value::Object(all) = &mut all {
            all.extend(change);
        }
        let mut merged: Self = serde_json::from_value(all).context("these knobs do not fit")?;
        merged.log.clone_from(&self.log);
        Ok(merged)
    }

    pub(crate) fn id_style(&self) -> IdStyle {
        self.id_style.unwrap_or_else(|| self.dialect.usual_id_style())
    }

    /// The span for a task of this kind (`IMAGINE`) and speed (`relax`).
    pub(crate) fn duration_of(&self, kind: &str, speed: &str) -> Span {
        let named = |name: &str| self.durations.get(&name.to_ascii_lowercase()).copied();
        named(kind).or_else(|| named(speed)).unwrap_or(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_partial_change_leaves_the_other_knobs_alone() -> anyhow::Result<()> {
        let knobs = Knobs { queue: 77, ..Knobs::default() };

        let knobs = knobs.merged(json!({"slots": 9, "duration": "2s..3s", "dialect": "newapi"}))?;

        assert_eq!((knobs.slots, knobs.queue), (9, 77));
        assert_eq!(knobs.duration.to_string(), "2s..3s");
        assert_eq!(knobs.dialect, Dialect::NewApi);
        Ok(())
    }

    #[test]
    fn a_misspelt_knob_is_refused() {
        assert!(Knobs::default().merged(json!({"slotz": 9})).is_err());
    }

    #[test]
    fn the_kind_decides_the_duration_before_the_speed_does() {
        let durations = [("upscale".to_owned(), Duration::from_secs(2)), ("relax".to_owned(), Duration::from_secs(60))];
        let durations = durations.into_iter().map(|(name, span)| (name, span.into())).collect();
        let knobs = Knobs { durations, ..Knobs::default() };

        assert_eq!(knobs.duration_of("UPSCALE", "relax").to_string(), "2s");
        assert_eq!(knobs.duration_of("IMAGINE", "relax").to_string(), "1m");
        assert_eq!(knobs.duration_of("IMAGINE", "fast").to_string(), "1s");
    }
}
