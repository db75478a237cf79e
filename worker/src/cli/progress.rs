//! The progress display of `mjq enqueue --wait`.
//!
//! The display gets its data from the admin API of a worker, if one answers at `MJQ_ADMIN_ADDR`. Nothing is decided by
//! it.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use mjq_producer::contract::JobId;
use serde::Deserialize;

use crate::settings::Settings;

/// A display on stderr; only notes if stderr is no terminal. The display disappears when it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    admin: SocketAddr,
    bar: ProgressBar,
}

/// The part of the admin API's answer that the display shows.
#[derive(Debug, Deserialize)]
struct Look {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    progress_percent: u8,
}

impl Progress {
    const TICK: Duration = Duration::from_millis(120);
    /// The time between two requests for the progress, and the time-out of each.
    const LOOK: Duration = Duration::from_millis(500);

    pub(super) fn of(settings: &Settings) -> Self {
        let bar = ProgressBar::new(100).with_style(style("{spinner} {msg} {elapsed}"));
        Self { admin: settings.admin_addr, bar }
    }

    /// Whether there is no terminal to show the progress on.
    pub(super) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Prints a sentence that stays on the screen.
    pub(super) fn note(&self, sentence: &str) {
        if self.bar.is_hidden() {
            eprintln!("{sentence}");
        } else {
            self.bar.println(sentence);
        }
    }

    /// Shows the progress of the job.
    pub(super) async fn show(&self, job: &JobId) -> Infallible {
        let bar = &self.bar;
        if bar.is_hidden() {
            return std::future::pending().await;
        }
        // Printed first, so that a user who ends the wait has the id for later.
        bar.println(job.as_str());
        bar.set_message(format!("{job} waits"));
        bar.enable_steady_tick(Self::TICK);
        let client = reqwest::Client::builder().timeout(Self::LOOK).no_proxy().build().ok();
        let url = format!("http://{}/api/v1/jobs/{job}", self.admin);
        loop {
            if let Some(Look { phase, progress_percent: percent }) = look(client.as_ref(), &url).await {
                bar.set_message(format!("{job} {phase}"));
                if percent > 0 {
                    bar.set_style(style("{spinner} {msg} {bar:30} {percent:>3} % {elapsed}"));
                    bar.set_position(u64::from(percent.min(100)));
                }
            }
            tokio::time::sleep(Self::LOOK).await;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // The result is printed in place of the bar.
        self.bar.finish_and_clear();
    }
}

async fn look(client: Option<&reqwest::Client>, url: &str) -> Option<Look> {
    let answer = client?.get(url).send().await.ok()?.error_for_status().ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
