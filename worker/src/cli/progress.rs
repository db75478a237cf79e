//! The progress display of a job that is waited for.
//!
//! What is shown comes from the admin API of a worker, when one answers at `MJQ_ADMIN_ADDR`; it is
//! for the eyes only and never decides anything.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use mjq_producer::contract::JobId;
use serde::Deserialize;

use crate::settings::Settings;

/// A display on stderr; without a terminal there, nothing.
#[derive(Debug)]
pub(super) struct Progress {
    admin: SocketAddr,
}

/// What the admin API says about a job; it says more.
#[derive(Debug, Deserialize)]
struct Look {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    progress_percent: u8,
}

impl Progress {
    const TICK: Duration = Duration::from_millis(120);
    /// The time between two looks, and the longest that one may take.
    const LOOK: Duration = Duration::from_millis(500);

    pub(super) fn of(settings: &Settings) -> Self {
        Self { admin: settings.admin_addr }
    }

    /// Shows how the job gets on, until it is dropped.
    pub(super) async fn show(&self, job: &JobId) -> Infallible {
        let bar = ProgressBar::new(100).with_style(style("{spinner} {msg} {elapsed}"));
        if bar.is_hidden() {
            return std::future::pending().await;
        }
        let bar = Cleared(bar);
        bar.0.set_message(format!("{job} waits"));
        bar.0.enable_steady_tick(Self::TICK);
        let client = reqwest::Client::builder().timeout(Self::LOOK).no_proxy().build().ok();
        let url = format!("http://{}/api/v1/jobs/{job}", self.admin);
        loop {
            if let Some(Look { phase, progress_percent: percent }) = look(client.as_ref(), &url).await {
                bar.0.set_message(format!("{job} {phase}"));
                if percent > 0 {
                    bar.0.set_style(style("{spinner} {msg} {bar:30} {percent:>3} % {elapsed}"));
                    bar.0.set_position(u64::from(percent.min(100)));
                }
            }
            tokio::time::sleep(Self::LOOK).await;
        }
    }
}

/// Takes the display away, so that the result stands in its place.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn look(client: Option<&reqwest::Client>, url: &str) -> Option<Look> {
    let answer = client?.get(url).send().await.ok()?.error_for_status().ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
