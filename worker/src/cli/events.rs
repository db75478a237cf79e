//! `mjq events`: shows the events of finished jobs.

use std::time::Duration;

use clap::Args;
use mjq_producer::EventReader;
use secrecy::ExposeSecret;

use super::{
    Failure,
    event_log::{EventLog, Position},
    event_view::EventView,
    flags::{ClientFlags, Flags},
};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
Without --group, it only looks: nothing is taken from anybody. With --group, it is a consumer of that \
group: it shows what the group was not given yet, and acknowledges what it has shown.

Examples:
  mjq events --json | jq -r 'select(.code == \"ok\") | .image_url'
  mjq events --follow
  mjq events --follow --group billing --json")]
pub(super) struct Events {
    /// Go on with each event as it comes; alone, begins with the next one
    #[arg(long)]
    follow: bool,
    /// Begin with the oldest event that is there, also with --follow
    #[arg(long)]
    from_start: bool,
    /// Consume as a member of this consumer group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Print one line of JSON for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Events {
    /// The pause between two tries while Redis does not answer.
    const RETRY: Duration = Duration::from_secs(1);

    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        match &self.group {
            Some(group) => self.consume(settings, group).await,
            None => self.look(settings).await,
        }
    }

    async fn look(&self, settings: &Settings) -> Result<(), Failure> {
        let log = EventLog::open(settings)?;
        let end = log.end().await?;
        let mut position = if self.follow && !self.from_start { end } else { Position::start() };
        loop {
            let events = match self.follow {
                true => log.follow(&mut position).await,
                false => log.read(&mut position).await,
            };
            match events {
                Ok(events) if events.is_empty() && !self.follow => return Ok(()),
                Ok(events) => events.iter().try_for_each(|event| self.view().print(event))?,
                Err(failure) => self.pause(failure).await?,
            }
        }
    }

    async fn consume(&self, settings: &Settings, group: &str) -> Result<(), Failure> {
        let consumer = format!("mjq-events-{}", std::process::id());
        let reader = EventReader::join(settings.redis_url.expose_secret(), &settings.queue, group, &consumer).await?;
        let wait = if self.follow { Duration::from_secs(5) } else { Duration::ZERO };
        loop {
            match reader.read(wait).await {
                Ok(events) if events.is_empty() && !self.follow => return Ok(()),
                Ok(events) => {
                    events.iter().try_for_each(|event| self.view().print(event))?;
                    if let Err(error) = reader.acknowledge(&events).await {
                        self.pause(error.into()).await?;
                    }
                }
                Err(error) => self.pause(error.into()).await?,
            }
        }
    }

    /// Waits before the next try. Only `--follow` tries again when Redis is away.
    async fn pause(&self, failure: Failure) -> Result<(), Failure> {
        if !self.follow {
            return Err(failure);
        }
        tracing::warn!("{}; trying again", failure.message().unwrap_or_default());
        tokio::time::sleep(Self::RETRY).await;
        Ok(())
    }

    fn view(&self) -> EventView {
        if self.json { EventView::Json } else { EventView::Line }
    }
}
