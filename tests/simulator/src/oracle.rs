//! The simulator's books of what was really created, submitted and polled. No fault can falsify them.
//!
//! Every creation is entered before its answer is sent, and appended to the log file if there is one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// How many arrivals are kept. The oldest are forgotten first.
const ARRIVALS_KEPT: usize = 1_000_000;

/// One creation: a task that would be billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The task's id.
    pub task: String,
    /// The prompt, or the parent's.
    pub prompt: String,
    /// The request's `state`, unchanged.
    pub state: Option<String>,
    /// `IMAGINE`, `UPSCALE` …
    pub action: String,
    /// When the task was created, in milliseconds since the epoch.
    pub at_ms: u64,
    /// For an action, the task whose button was pressed.
    pub parent: Option<String>,
    /// For an action, the button that was pressed.
    pub custom_id: Option<String>,
}

impl Creation {
    /// Two creations with the same subject are the same job. The subject is the pressed button, else the prompt, else
    /// the state.
    pub fn subject(&self) -> &str {
        match &self.custom_id {
            Some(custom_id) => custom_id,
            None if self.prompt.is_empty() => self.state.as_deref().unwrap_or_default(),
            None => &self.prompt,
        }
    }
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Requests by endpoint: `submit`, `fetch`, `list-by-condition`, `list`, `cancel`, `image`.
    pub requests: BTreeMap<String, u64>,
    /// Answers to submits: `1`, `22`, `23` … or `http 429`, `close before`, `hang after` …
    pub answers: BTreeMap<String, u64>,
    /// Tasks created.
    pub created: u64,
    /// Subjects that were created more than once.
    pub created_again: u64,
    /// Polls of task ids, one by one or in batches.
    pub polls: u64,
    /// Polls of ids whose end an earlier answer had shown.
    pub polls_after_end: u64,
    /// Polls of unknown ids.
    pub polls_of_unknown: u64,
    /// The most tasks that were waiting or running at once.
    pub max_open: u64,
    /// Tasks that wait now.
    pub waiting: u64,
    /// Tasks that run now.
    pub running: u64,
    /// Callbacks that were sent and answered with 2xx.
    pub hooks_sent: u64,
    /// Callbacks that no receiver accepted.
    pub hooks_failed: u64,
    /// Callbacks lost on purpose.
    pub hooks_lost: u64,
}

/// When requests arrived, in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Submits, including refused ones.
    pub submits_ms: Vec<u64>,
    /// Polls. A batch counts once.
    pub polls_ms: Vec<u64>,
}

/// The most arrivals within any one second.
pub fn busiest_second(arrivals_ms: &[u64]) -> usize {
    let mut arrivals_ms = arrivals_ms.to_vec();
    arrivals_ms.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, at_ms) in arrivals_ms.iter().enumerate() {
        while arrivals_ms[first] + 1000 <= *at_ms {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) stats: Stats,
    ledger: Vec<Creation>,
    created: HashMap<String, u32>,
    attempted: HashMap<String, u32>,
    submits_ms: VecDeque<u64>,
    polls_ms: VecDeque<u64>,
    log: Option<File>,
}

impl Oracle {
    /// Books that are also kept in a file. The file is only appended to.
    pub(crate) fn with_log(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("could not open {}", path.display()))
        };
        Ok(Self { log: path.map(open).transpose()?, ..Self::default() })
    }

    /// Forgets everything but the log file.
    pub(crate) fn reset(&mut self) {
        *self = Self { log: self.log.take(), ..Self::default() };
    }

    /// Enters a creation, and writes it to the log file before it returns.
    pub(crate) fn created(&mut self, creation: Creation) {
        if let Some(log) = &mut self.log
            && let Ok(mut line) = serde_json::to_vec(&creation)
        {
            line.push(b'\n');
            if let Err(cause) = log.write_all(&line) {
                eprintln!("could not write to the log: {cause}");
            }
        }
        self.stats.created += 1;
        let times = self.created.entry(creation.subject().to_owned()).or_default();
        *times += 1;
        if *times == 2 {
            self.stats.created_again += 1;
        }
        self.ledger.push(creation);
    }

    pub(crate) fn submitted(&mut self, subject: &str, now_ms: u64) {
        self.request("submit");
        remember(&mut self.submits_ms, now_ms);
        *self.attempted.entry(subject.to_owned()).or_default() += 1;
    }

    pub(crate) fn polled(&mut self, endpoint: &str, now_ms: u64) {
        self.request(endpoint);
        remember(&mut self.polls_ms, now_ms);
    }

    pub(crate) fn request(&mut self, endpoint: &str) {
        bump(&mut self.stats.requests, endpoint);
    }

    pub(crate) fn answered(&mut self, how: &str) {
        bump(&mut self.stats.answers, how);
    }

    pub(crate) fn saw_open(&mut self, open: usize) {
        self.stats.max_open = self.stats.max_open.max(open as u64);
    }

    pub(crate) fn ledger(&self) -> &[Creation] {
        &self.ledger
    }

    pub(crate) fn times_created(&self, subject: &str) -> usize {
        self.created.get(subject).map_or(0, |times| *times as usize)
    }

    pub(crate) fn times_attempted(&self, subject: &str) -> usize {
        self.attempted.get(subject).map_or(0, |times| *times as usize)
    }

    /// The subjects that were created more than once, and how often.
    pub(crate) fn created_again(&self) -> BTreeMap<String, u32> {
        self.created.iter().filter(|(_, times)| **times > 1).map(|(subject, times)| (subject.clone(), *times)).collect()
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        Arrivals {
            submits_ms: self.submits_ms.iter().copied().collect(),
            polls_ms: self.polls_ms.iter().copied().collect(),
        }
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

fn remember(arrivals: &mut VecDeque<u64>, now_ms: u64) {
    if arrivals.len() == ARRIVALS_KEPT {
        arrivals.pop_front();
    }
    arrivals.push_back(now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_creation(prompt: &str) -> Creation {
        Creation {
            task: "1".to_owned(),
            prompt: prompt.to_owned(),
            state: None,
            action: "IMAGINE".to_owned(),
            at_ms: 0,
            parent: None,
            custom_id: None,
        }
    }

    #[test]
    fn a_second_creation_for_one_prompt_is_told() {
        let mut oracle = Oracle::default();

        for prompt in ["fox", "cat", "fox"] {
            oracle.created(a_creation(prompt));
        }

        assert_eq!((oracle.times_created("fox"), oracle.times_created("cat")), (2, 1));
        assert_eq!(oracle.stats.created_again, 1);
        assert_eq!(oracle.created_again(), [("fox".to_owned(), 2)].into());
    }

    #[test]
    fn the_busiest_second_is_found_wherever_it_lies() {
        assert_eq!(busiest_second(&[]), 0);
        assert_eq!(busiest_second(&[0, 900, 1000, 1800, 1899, 5000]), 4);
    }
}
