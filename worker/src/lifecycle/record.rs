//! The record: what the ledger keeps about one job, apart from its request.

use mjq_producer::{
    closed_set,
    contract::{Job, JobId, Kind, OnCapacity, OnUnknown, Options, Priority, TaskId},
};
use serde::{Deserialize, Serialize};

use super::{
    Alias, LateSuccess, Mode, Policy, Span,
    record_text::{timeline_text, usual},
};

closed_set! {
    /// Where a job stands.
    #[derive(Default)]
    pub enum Phase {
        /// Waits to be submitted, for the first time or again.
        #[default]
        Queued = "queued",
        /// A worker has claimed the job to submit it. Until the answer is recorded, nobody else may submit it.
        Submitting = "submitting",
        /// The upstream has the task; mjq polls its progress.
        Polling = "polling",
        /// The submit left and no answer came: the upstream may or may not have the job.
        Unknown = "unknown",
        /// The upstream's task waits for input.
        Held = "held",
        /// Ended with its result.
        Completed = "completed",
        /// Ended without a result.
        Failed = "failed",
        /// Ended on request.
        Cancelled = "cancelled",
    }
}

impl Phase {
    /// Whether the job has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A job's record. Times are Unix milliseconds by Redis's clock; 0 is "not yet".
///
/// The ledger keeps its text (`to_text`), so field names there are short and usual values are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The job's phase. The ledger keeps it in front of the text.
    #[serde(skip)]
    pub phase: Phase,
    /// The kind of task that is asked for.
    #[serde(rename = "k", default = "usual::kind", skip_serializing_if = "usual::is_kind")]
    pub kind: Kind,
    /// Fast or relaxed: how long such a task may take.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// Which jobs are submitted first.
    #[serde(rename = "pr", default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    /// When the entry came into the job stream.
    #[serde(rename = "e")]
    pub enqueued_ms: u64,
    /// The deadline: after this time the job ends at its next step.
    #[serde(rename = "d")]
    pub deadline_ms: u64,
    /// How long the job has from its start (`run_at_ms`) or its retry to its deadline, in milliseconds; 0 if it has had
    /// all its time since it was enqueued.
    #[serde(rename = "aw", default, skip_serializing_if = "is_default")]
    pub allowance_ms: u64,
    /// The most attempts: submits that the upstream took or may have taken.
    #[serde(rename = "ma", default = "usual::attempts", skip_serializing_if = "usual::is_attempts")]
    pub max_attempts: u32,
    /// What to do if nobody can know whether the upstream took the job.
    #[serde(rename = "ou", default, skip_serializing_if = "is_default")]
    pub on_unknown: OnUnknown,
    /// What to do if a task failed because the upstream had no capacity.
    #[serde(rename = "oc", default, skip_serializing_if = "is_default")]
    pub on_capacity: OnCapacity,
    /// The job whose result this one acts upon.
    #[serde(rename = "fo", default, skip_serializing_if = "is_default")]
    pub follows: Option<JobId>,
    /// When that parent was first looked up and not known.
    #[serde(rename = "pm", default, skip_serializing_if = "is_default")]
    pub parent_missed_ms: u64,
    /// Whether follow-ups are to be enqueued when the job completes.
    #[serde(rename = "th", default, skip_serializing_if = "is_default")]
    pub has_follow_ups: bool,
    /// Whether the request has the caller's own `notifyHook`, which mjq leaves alone.
    #[serde(rename = "ch", default, skip_serializing_if = "is_default")]
    pub has_own_hook: bool,
    /// The caller's `traceparent`, verbatim; empty if there was none.
    #[serde(rename = "tp", default, skip_serializing_if = "is_default")]
    pub traceparent: String,

    /// How many submits the upstream took or may have taken.
    #[serde(rename = "a", default, skip_serializing_if = "is_default")]
    pub attempts: u32,
    /// How many refusals came since the last attempt; each makes the next delay longer.
    #[serde(rename = "rf", default, skip_serializing_if = "is_default")]
    pub refusals: u32,
    /// When the last of these refusals came.
    #[serde(rename = "rt", default, skip_serializing_if = "is_default")]
    pub refused_ms: u64,
    /// How many submits failed inside the upstream, without a task. They are limited like attempts.
    #[serde(rename = "fl", default, skip_serializing_if = "is_default")]
    pub faults: u32,
    /// The upstream's handle.
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    pub task: Option<TaskId>,
    /// The tasks before this one, which failed or were given up.
    #[serde(rename = "et", default, skip_serializing_if = "is_default")]
    pub earlier_tasks: Vec<TaskId>,
    /// When the upstream accepted the job, or when mjq found its task.
    #[serde(rename = "ac", default, skip_serializing_if = "is_default")]
    pub accepted_ms: u64,
    /// The upstream's last status.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub status: String,
    /// Percent, 0 to 100, as the upstream last reported it.
    #[serde(rename = "pg", default, skip_serializing_if = "is_default")]
    pub progress: u8,
    /// When the task began to run, as far as mjq knows.
    #[serde(rename = "sa", default, skip_serializing_if = "is_default")]
    pub started_ms: u64,
    /// The least and the most that the task takes, by the progress that was seen.
    #[serde(rename = "sp", default, skip_serializing_if = "is_default")]
    pub span: Option<Span>,
    /// How many tasks were before this one when the upstream queued it (code 22). For display and the first poll.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub queue_position: u32,
    /// How often the task was polled.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub polls: u32,
    /// How many polls in a row told nothing.
    #[serde(rename = "np", default, skip_serializing_if = "is_default")]
    pub blind_polls: u32,
    /// Since when the upstream refuses polls of the task, or lookups of an unknown task. Nothing has shown the task
    /// since then.
    #[serde(rename = "pf", default, skip_serializing_if = "is_default")]
    pub polls_refused_ms: u64,
    /// How many polls in a row said that the task is unknown, and when the first one did.
    #[serde(rename = "mi", default, skip_serializing_if = "is_default")]
    pub missing: Option<(u32, u64)>,
    /// The other id under which the upstream shows the task, if it does.
    #[serde(rename = "al", default, skip_serializing_if = "is_default")]
    pub alias: Option<Alias>,
    /// Since when the task has succeeded but lacks its picture, or buttons that follow-ups need.
    #[serde(rename = "ni", default, skip_serializing_if = "is_default")]
    pub incomplete_ms: Option<u64>,
    /// Since when each poll shows the task as failed in all but its status.
    #[serde(rename = "sf", default, skip_serializing_if = "is_default")]
    pub seems_failed_ms: Option<u64>,
    /// How many inputs (modal commands) were used for this job.
    #[serde(rename = "in", default, skip_serializing_if = "is_default")]
    pub inputs_used: u32,
    /// Whether the next submit gives the waiting task its input, instead of asking for a new task.
    #[serde(rename = "an", default, skip_serializing_if = "is_default")]
    pub is_answering: bool,
    /// How many reclaims the job had when its last step was recorded. Only later ones count towards poison.
    #[serde(rename = "sr", default, skip_serializing_if = "is_default")]
    pub survived_reclaims: u32,
    /// When the submit's answer was lost.
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    pub unknown_ms: u64,
    /// A possible id of the lost task, taken from an incomplete answer.
    #[serde(rename = "le", default, skip_serializing_if = "is_default")]
    pub lead: Option<TaskId>,
    /// Whether the task was found again after its submit's answer was lost.
    #[serde(rename = "ad", default, skip_serializing_if = "is_default")]
    pub adopted: bool,
    /// Whether the upstream may have made more than one task for this job.
    #[serde(rename = "du", default, skip_serializing_if = "is_default")]
    pub possible_duplicate: bool,
    /// What last went wrong, in words.
    #[serde(rename = "w", default, skip_serializing_if = "is_default")]
    pub reason: String,
    /// The phases that the job went through.
    #[serde(rename = "tl", with = "timeline_text")]
    pub timeline: Vec<Moment>,
    /// Other things that happened, such as an answer that came after the end.
    #[serde(rename = "no", default, skip_serializing_if = "is_default")]
    pub notes: Vec<Note>,
    /// The task's success after the job had ended without it. No event tells it.
    #[serde(rename = "la", default, skip_serializing_if = "is_default")]
    pub late: Option<LateSuccess>,
}

/// One entry of a job's timeline: when, under which fence, into which phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment(pub u64, pub u64, pub Phase);

/// A note about a job that is no change of phase: when, and what, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note(pub u64, pub String);

/// A line of a job's history: a change of phase, or a note that was made in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryLine {
    /// When it happened, Unix milliseconds by Redis's clock.
    pub at_ms: u64,
    /// The claim under which it happened.
    pub fence: u64,
    /// The phase that the job entered, or was in.
    pub phase: Phase,
    /// The note; empty for a change of phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Record {
    /// Scores of the submit lane are the priority's rank times this, plus milliseconds. As milliseconds, this is the
    /// year 2286. Three ranks stay below 2^53, so they are exact as a double.
    pub const SCORE_RANK: u64 = 10_000_000_000_000;
    /// How long an action waits for a parent that is not known, counted from the first lookup.
    const PARENT_MAY_COME_MS: u64 = 30_000;
    /// The longest timeline: a job that is refused for hours must not grow without limit.
    const MAX_TIMELINE: usize = 32;
    /// The most notes that are kept; the oldest are dropped first.
    const MAX_NOTES: usize = 16;
    /// The longest note, in characters: parts of a note are an upstream's words.
    const MAX_NOTE: usize = 500;
    /// The most earlier tasks that are kept; the oldest are dropped first.
    const MAX_EARLIER_TASKS: usize = 100;

    /// The record of a new job, which came into the stream at `enqueued_ms`.
    #[must_use]
    pub fn admit(job: &Job, enqueued_ms: u64, policy: &Policy) -> Self {
        let mode = Mode::of(&job.request, policy.mode);
        let parent = (job.kind == Kind::Action).then(|| job.request.parent_button()).flatten();
        let start_ms = enqueued_ms.max(job.options.run_at_ms);
        let whole_ms = deadline(&job.options, mode, policy);
        Self {
            phase: Phase::Queued,
            kind: job.kind,
            mode,
            priority: job.options.priority,
            enqueued_ms,
            // The time may come from an entry id that a producer chose, so it can be any number.
            deadline_ms: start_ms.saturating_add(whole_ms),
            allowance_ms: if start_ms > enqueued_ms { whole_ms } else { 0 },
            max_attempts: job.options.max_attempts.unwrap_or(policy.max_attempts),
            on_unknown: job.options.on_unknown.unwrap_or(policy.on_unknown),
            on_capacity: job.options.on_capacity.unwrap_or(policy.on_capacity),
            follows: parent.map(|parent| parent.job),
            parent_missed_ms: 0,
            has_follow_ups: !job.then.is_empty(),
            has_own_hook: job.request.text_field("notifyHook").is_some_and(|hook| !hook.is_empty()),
            traceparent: job.traceparent(),
            attempts: 0,
            refusals: 0,
            refused_ms: 0,
            faults: 0,
            task: None,
            earlier_tasks: Vec::new(),
            accepted_ms: 0,
            status: String::new(),
            progress: 0,
            started_ms: 0,
            span: None,
            queue_position: 0,
            polls: 0,
            blind_polls: 0,
            polls_refused_ms: 0,
            missing: None,
            alias: None,
            incomplete_ms: None,
            seems_failed_ms: None,
            inputs_used: 0,
            is_answering: false,
            survived_reclaims: 0,
            unknown_ms: 0,
            lead: None,
            adopted: false,
            possible_duplicate: false,
            reason: String::new(),
            timeline: vec![Moment(enqueued_ms, 0, Phase::Queued)],
            notes: Vec::new(),
            late: None,
        }
    }

    /// How long the job has in all to its deadline, in milliseconds.
    #[must_use]
    pub fn whole_ms(&self) -> u64 {
        match self.allowance_ms {
            0 => self.deadline_ms.saturating_sub(self.enqueued_ms),
            allowance_ms => allowance_ms,
        }
    }

    /// The record of an ended job that is retried at `now_ms`. What the job was and what was counted stays; what it
    /// waited for goes. It gets as much time as before, whatever the caller's settings are, and not less than `policy`
    /// gives to jobs without a deadline of their own.
    #[must_use]
    pub fn revive(self, now_ms: u64, fence: u64, policy: &Policy) -> Self {
        let allowance_ms = self.whole_ms().max(deadline(&Options::default(), self.mode, policy));
        let mut revived = Self {
            deadline_ms: now_ms.saturating_add(allowance_ms),
            allowance_ms,
            // Allows at least one more attempt, however many there were.
            max_attempts: self.max_attempts.max(self.attempts + 1),
            refusals: 0,
            refused_ms: 0,
            faults: 0,
            parent_missed_ms: 0,
            // The inputs that the task before got are for the next task, too.
            inputs_used: 0,
            // `possible_duplicate` stays: a lost submit before may have been taken.
            reason: String::new(),
            late: None,
            ..self
        };
        revived.leave_task();
        revived.enter(Phase::Queued, now_ms, fence);
        revived
    }

    /// Leaves the job's task for another one. The task is kept among the earlier ones.
    pub(super) fn leave_task(&mut self) {
        if self.earlier_tasks.len() == Self::MAX_EARLIER_TASKS {
            self.earlier_tasks.remove(0);
        }
        self.earlier_tasks.extend(self.task.take());
        self.adopted = false;
        self.accepted_ms = 0;
        self.status.clear();
        self.progress = 0;
        self.started_ms = 0;
        self.span = None;
        self.queue_position = 0;
        self.blind_polls = 0;
        self.polls_refused_ms = 0;
        self.missing = None;
        self.alias = None;
        self.incomplete_ms = None;
        self.seems_failed_ms = None;
        self.is_answering = false;
    }

    /// When the job entered its present phase, Unix milliseconds by Redis's clock.
    #[must_use]
    pub fn entered_ms(&self) -> u64 {
        self.timeline.last().map_or(self.enqueued_ms, |moment| moment.0)
    }

    /// Whether an action still waits for a parent that the ledger does not know: the parent may not be admitted yet.
    #[must_use]
    pub fn parent_may_come(&self, now_ms: u64) -> bool {
        self.parent_missed_ms == 0 || now_ms.saturating_sub(self.parent_missed_ms) < Self::PARENT_MAY_COME_MS
    }

    /// The job's score in the submit lane: smaller is sooner. Priority first, then age.
    #[must_use]
    pub fn submit_score(&self) -> u64 {
        u64::from(self.priority.rank()) * Self::SCORE_RANK + self.enqueued_ms.min(Self::SCORE_RANK - 1)
    }

    /// The timeline with the notes in their places.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryLine> {
        let mut lines: Vec<HistoryLine> = self
            .timeline
            .iter()
            .map(|&Moment(at_ms, fence, phase)| HistoryLine { at_ms, fence, phase, note: String::new() })
            .collect();
        for Note(at_ms, note) in &self.notes {
            let place = lines.iter().rposition(|line| line.at_ms <= *at_ms).unwrap_or(0);
            let Some(HistoryLine { fence, phase, .. }) = lines.get(place).cloned() else { continue };
            lines.insert(place + 1, HistoryLine { at_ms: *at_ms, fence, phase, note: note.clone() });
        }
        lines
    }

    /// Writes a note beside the timeline.
    pub fn note(&mut self, at_ms: u64, words: &str) {
        if self.notes.len() == Self::MAX_NOTES {
            self.notes.remove(0);
        }
        self.notes.push(Note(at_ms, words.chars().take(Self::MAX_NOTE).collect()));
    }

    /// Moves the job to `phase`, and notes it in the timeline unless the last entry has that phase.
    pub(super) fn enter(&mut self, phase: Phase, now_ms: u64, fence: u64) {
        self.phase = phase;
        if self.timeline.last().is_some_and(|last| last.2 == phase) {
            return;
        }
        if self.timeline.len() == Self::MAX_TIMELINE {
            // The first entry tells when the job came, the latest ones what is going on.
            self.timeline.remove(1);
        }
        self.timeline.push(Moment(now_ms, fence, phase));
    }
}

/// How long a job may take, in milliseconds.
fn deadline(options: &Options, mode: Mode, policy: &Policy) -> u64 {
    options.deadline_s.map_or_else(|| policy.deadline(mode).as_millis() as u64, |s| s * 1000)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
