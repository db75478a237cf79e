//! The command line: `mjq worker` runs a pod, most other commands talk to a queue.
//!
//! One file per command. They share `flags` (settings as flags), `failure` (exit codes), `output` (a stdout that may be
//! closed), `words` (texts), `event_log` (events without consuming them), `event_view`, `image` (pictures from files),
//! `progress` and `open_ledger` (the ledger, with a time limit that workers do not have). `crate::shown` turns jobs
//! into words and JSON.

mod failure;
mod flags;
mod output;
mod words;

mod event_log;
mod event_view;

mod enqueue;
mod events;
mod image;
mod progress;
mod wait;
mod worker;

mod open_ledger;

mod cancel;
mod check_config;
mod doctor;
mod jobs;
mod modal;
mod pause;
mod ready;
mod retry;
mod show;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;
use flags::Flags;

use crate::settings::{Given, Loaded};

const EXAMPLES: &str = "\
Examples:
  mjq worker --upstream-key-file /run/secrets/key
  mjq enqueue imagine --prompt 'a lighthouse in a storm --ar 3:2' --wait
  mjq enqueue action --job order-1842 --button U1 --wait
  mjq events --follow
  mjq jobs --failed
  mjq doctor

Exit codes: 0 done; 1 not done: the job has no result, cannot be retried, is not there, something is wrong; \
64 bad usage; 69 Redis cannot be reached; 78 bad settings.";

/// A durable job queue for Midjourney-style image APIs.
///
/// Jobs go into a Redis stream, workers submit them to the upstream API and watch them, and each
/// job ends with exactly one event in another stream. Settings come from flags, MJQ_… variables
/// and a TOML file (--config or MJQ_CONFIG), in this order; `mjq check-config` shows what counts.
#[derive(Debug, Parser)]
#[command(name = "mjq", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one pod: take jobs, submit them, watch them, publish their events
    Worker(worker::Worker),
    /// Put a job into the queue
    Enqueue(enqueue::Enqueue),
    /// Show the events of finished jobs
    Events(events::Events),
    /// List jobs: open, ended, failed
    Jobs(jobs::Jobs),
    /// Show everything about one job: where it stands, what comes next, its timeline
    Show(show::Show),
    /// Ask for a job to be cancelled
    Cancel(cancel::Cancel),
    /// Try a job that failed or was cancelled once more, perhaps for a new charge
    Retry(retry::Retry),
    /// Give a task the input that it waits for: a prompt, a mask
    Modal(modal::Modal),
    /// Pause the queue, or only its submits, for all workers
    Pause(pause::Pause),
    /// Resume what was paused
    Resume(pause::Resume),
    /// Check Redis, the queue and the upstream, and say what helps
    Doctor(doctor::Doctor),
    /// Ask the worker on this machine whether it is ready
    Ready(ready::Ready),
    /// Check the settings and show what counts, secrets hidden
    CheckConfig(check_config::CheckConfig),
}

impl Cli {
    /// Reads the command line of this process. Prints the help, or what is wrong with the usage.
    ///
    /// # Errors
    /// The exit code, after the help, the version or the complaint was printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // If printing fails, the exit code stays the same.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(Failure::USAGE) } else { ExitCode::SUCCESS }
        })
    }

    /// The sources of settings that this process was given.
    #[must_use]
    pub fn given(&self) -> Given {
        let flags = match &self.command {
            Command::Worker(worker) => worker.flags(),
            Command::Enqueue(enqueue) => enqueue.flags(),
            Command::Events(events) => events.flags(),
            Command::Jobs(jobs) => jobs.flags(),
            Command::Show(show) => show.flags(),
            Command::Cancel(cancel) => cancel.flags(),
            Command::Retry(retry) => retry.flags(),
            Command::Modal(modal) => modal.flags(),
            Command::Pause(pause) => pause.flags(),
            Command::Resume(resume) => resume.flags(),
            Command::Doctor(doctor) => doctor.flags(),
            Command::Ready(ready) => ready.flags(),
            Command::CheckConfig(check_config) => check_config.flags(),
        };
        let Flags { texts, config } = flags.clone();
        Given { flags: texts, config, variables: std::env::vars_os().collect() }
    }

    /// Carries out the command.
    ///
    /// # Errors
    /// [`Failure`] says what went wrong, and the exit code.
    pub async fn run(self, loaded: Loaded) -> Result<(), Failure> {
        match self.command {
            Command::Worker(_) => worker::run(loaded.settings).await,
            Command::Enqueue(enqueue) => enqueue.run(&loaded.settings).await,
            Command::Events(events) => events.run(&loaded.settings).await,
            Command::Jobs(jobs) => jobs.run(&loaded.settings).await,
            Command::Show(show) => show.run(&loaded.settings).await,
            Command::Cancel(cancel) => cancel.run(&loaded.settings).await,
            Command::Retry(retry) => retry.run(&loaded.settings).await,
            Command::Modal(modal) => modal.run(&loaded.settings).await,
            Command::Pause(pause) => pause.run(&loaded.settings).await,
            Command::Resume(resume) => resume.run(&loaded.settings).await,
            Command::Doctor(doctor) => doctor.run(&loaded.settings).await,
            Command::Ready(ready) => ready.run(&loaded.settings).await,
            Command::CheckConfig(check_config) => check_config.run(&loaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::settings::{Audience, TABLE};

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// The command and all its subcommands.
    fn with_all_below(command: &clap::Command) -> Vec<clap::Command> {
        command.get_subcommands().flat_map(with_all_below).chain([command.clone()]).collect()
    }

    #[test]
    fn no_line_of_a_help_that_was_broken_by_hand_is_broken_again() {
        const COLUMNS: usize = 80;
        for command in with_all_below(&Cli::command()) {
            let Some(text) = command.get_after_help().map(ToString::to_string) else { continue };
            let is_example = |line: &str| line.starts_with("  ");
            let lines: Vec<&str> = text.lines().collect();

            for line in lines.iter().filter(|line| is_example(line)) {
                assert!(line.chars().count() <= COLUMNS, "{}: {line}", command.get_name());
            }
            for pair in lines.windows(2) {
                // A paragraph must be one line, because clap wraps it at the terminal's width.
                let is_broken = pair.iter().all(|line| !line.is_empty() && !is_example(line));
                assert!(!is_broken, "{}: {pair:?}", command.get_name());
            }
        }
    }

    #[test]
    fn each_setting_is_a_flag_of_the_commands_that_are_about_a_worker() {
        for name in ["worker", "check-config", "doctor"] {
            let mut command = Cli::command().find_subcommand(name).unwrap().clone();
            let help = command.render_long_help().to_string();

            for setting in TABLE {
                assert!(help.contains(&format!("--{} <", setting.flag())), "{name} --{}", setting.flag());
                assert!(help.contains(&setting.variable()), "{name} {}", setting.variable());
            }
        }
    }

    #[test]
    fn each_other_command_has_the_flags_that_are_for_everyone() {
        let commands = ["events", "jobs", "show", "cancel", "retry", "modal", "pause", "resume", "ready"];
        let jobs = [vec!["enqueue", "imagine"], vec!["enqueue", "action"]];
        for path in jobs.into_iter().chain(commands.map(|name| vec![name])) {
            let command = path.iter().fold(Cli::command(), |it, name| it.find_subcommand(name).unwrap().clone());

            for setting in TABLE {
                let has_flag = command.get_arguments().any(|it| it.get_long() == Some(&setting.flag()));
                let clashes = ["on_unknown", "on_capacity"].contains(&setting.name);
                assert!(has_flag == (setting.audience == Audience::Everyone) || clashes, "{path:?} {}", setting.flag());
            }
        }
    }

    #[test]
    fn flags_reach_the_settings_by_their_names() {
        let cli = Cli::try_parse_from(["mjq", "worker", "--slots", "3", "--upstream-key-file", "/k", "--config", "c"]);
        let given = cli.unwrap().given();

        assert_eq!(given.flags["slots"], "3");
        assert_eq!(given.flags["upstream_key_file"], "/k");
        assert_eq!(given.config.unwrap().to_str(), Some("c"));
    }

    #[test]
    fn bad_usage_is_refused() {
        for arguments in [
            &["mjq"][..],
            &["mjq", "dream"],
            &["mjq", "enqueue", "imagine"],
            &["mjq", "enqueue", "action", "--job", "a"],
            &["mjq", "enqueue", "action", "--task", "1", "--button", "U1"],
            &["mjq", "enqueue", "action", "--job", "a", "--button", "U1", "--task", "1", "--custom-id", "c"],
            &["mjq", "enqueue", "imagine", "--prompt", "cat", "--priority", "urgent"],
            &["mjq", "cancel"],
            &["mjq", "cancel", "a b"],
            &["mjq", "jobs", "--limit", "0"],
            &["mjq", "show"],
            &["mjq", "retry", "a b"],
            &["mjq", "modal"],
            &["mjq", "modal", "a"],
            &["mjq", "modal", "a", "--prompt", "cat", "--unchanged"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();

            assert!(error.use_stderr() || arguments.len() == 1, "{arguments:?}: {error}");
        }
    }
}
