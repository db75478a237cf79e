//! The open jobs, one line each, and the events that take their places.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mjq_producer::contract::{Event, EventType, Job};

use crate::look::Look;
use crate::screen::{Screen, plain};
use crate::story::id;

/// On a terminal, a live line per open job; else a line per change.
pub(crate) struct Board<'a> {
    screen: &'a Screen,
    began: Instant,
    /// By their place in the story.
    open: BTreeMap<usize, Line>,
}

struct Line {
    job: String,
    bar: Option<ProgressBar>,
    words: String,
}

impl<'a> Board<'a> {
    pub(crate) fn new(screen: &'a Screen, jobs: &[Job]) -> Self {
        let line = |job: &Job| {
            let job = id(job).to_owned();
            let bar = screen.live().map(|live| live.add(a_bar(&job)));
            Line { job, bar, words: String::new() }
        };
        let board = Self { screen, began: Instant::now(), open: jobs.iter().map(line).enumerate().collect() };
        board.open.values().filter_map(|line| line.bar.as_ref()).for_each(|bar| bar.set_message("enqueued"));
        board
    }

    /// The jobs that have no event yet.
    pub(crate) fn open(&self) -> Vec<String> {
        self.open.values().map(|line| line.job.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Shows how a job is getting on.
    pub(crate) fn update(&mut self, job: &str, look: &Look) {
        let Some(line) = self.open.values_mut().find(|line| line.job == job) else { return };
        let words = plain(&look.words());
        match &line.bar {
            Some(bar) => {
                bar.set_position(look.progress_percent.min(100));
                bar.set_message(words.clone());
                bar.tick();
            }
            None if line.words != words && !look.is_passing() => {
                let seconds = self.began.elapsed().as_secs_f64();
                self.screen.line(&format!("{seconds:5.1} s  {job:12} {words}"));
            }
            None => {}
        }
        line.words = words;
    }

    /// Puts an event in the place of its job.
    pub(crate) fn end(&mut self, event: &Event) {
        self.take(|line| line.job == event.job);
        show_event(self.screen, event);
    }

    /// Gives up on the jobs that are still open.
    pub(crate) fn close(&mut self) {
        self.take(|_| true);
    }

    fn take(&mut self, is_over: impl Fn(&Line) -> bool) {
        self.open.retain(|_, line| {
            let is_over = is_over(line);
            if let (true, Some(bar)) = (is_over, &line.bar) {
                bar.finish_and_clear();
            }
            !is_over
        });
    }
}

/// Prints an event as one line.
pub(crate) fn show_event(screen: &Screen, event: &Event) {
    let data = &event.data;
    let mark = match event.event_type {
        EventType::Completed => screen.green("✓"),
        EventType::Failed | EventType::Cancelled | EventType::Rejected => screen.red("✗"),
    };
    let what = match event.event_type {
        EventType::Completed => plain(&event.image_url),
        EventType::Failed | EventType::Cancelled | EventType::Rejected => plain(&data.reason),
    };
    let took = Duration::from_millis(data.timings.published_ms.saturating_sub(data.timings.enqueued_ms));
    let attempts = format!("{} attempt{}", data.attempts, if data.attempts == 1 { "" } else { "s" });
    let polls = format!("{} poll{}", data.polls, if data.polls == 1 { "" } else { "s" });
    let state = if event.state.is_empty() { String::new() } else { format!("state {:?}", event.state) };
    screen.line(&format!(
        "{mark} {job} {outcome} {code}  {figures}  {what}  {state}",
        job = screen.bold(&format!("{:12}", plain(&event.job))),
        outcome = event.event_type,
        code = event.code,
        figures = screen.dim(&format!("{:4.1} s  {attempts}  {polls:>8}", took.as_secs_f64())),
        state = screen.dim(&state),
    ));
}

fn a_bar(job: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner:.cyan} {prefix:12} {bar:24.cyan/dim} {percent:>3} %  {wide_msg:.dim}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
    ProgressBar::new(100).with_style(style).with_prefix(job.to_owned())
}
