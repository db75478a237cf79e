//! The story happens: jobs in, events out, and what is seen of them in between.

use std::time::Duration;

use anyhow::{Context, bail};
use mjq_producer::contract::Event;
use mjq_producer::{Delivery, EventReader, Producer, ReadError};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::board::Board;
use crate::look::look;
use crate::screen::Screen;
use crate::stage::Stage;
use crate::story::{BUTTON, Story, id};

/// Events as they come, for as long as anybody listens.
pub(crate) type Events = mpsc::UnboundedReceiver<Result<Event, ReadError>>;

type Sender = mpsc::UnboundedSender<Result<Event, ReadError>>;

/// The time between two looks at each job.
const GLANCE: Duration = Duration::from_millis(150);
/// How long the stream must stay silent after the last event, so that one too many would be seen.
const SILENCE: Duration = Duration::from_millis(300);

/// Enqueues all jobs and shows them until each has its event, or patience ends.
pub(crate) async fn play(stage: &Stage, story: &Story, screen: &Screen) -> anyhow::Result<(Vec<Event>, Events)> {
    let mut events = listen(stage).await?;
    let producer = Producer::connect(stage.redis.url(), &stage.queue).await?;
    producer.enqueue_many(&story.jobs).await.context("could not enqueue the jobs")?;
    screen.line(&enqueued(story));

    let deadline = Instant::now() + stage.upstream.patience();
    let mut board = Board::new(screen, &story.jobs);
    let mut played = Vec::new();
    let mut glances = tokio::time::interval(GLANCE);
    glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !board.is_empty() && Instant::now() < deadline {
        tokio::select! {
            event = events.recv() => {
                let event = event.context("nobody reads events any more")?.context("could not read the events")?;
                board.end(&event);
                played.push(event);
            }
            _ = glances.tick() => glance(stage, &mut board).await,
        }
    }
    board.close();
    while let Ok(Some(event)) = tokio::time::timeout(SILENCE, events.recv()).await {
        played.push(event.context("could not read the events")?);
    }
    if played.is_empty() {
        bail!(
            "not one event came within {:?}; the worker's last lines:\n{}",
            stage.upstream.patience(),
            stage.last_worker_lines()
        );
    }
    Ok((played, events))
}

/// Joins the events as a consumer group does in real life.
async fn listen(stage: &Stage) -> anyhow::Result<Events> {
    let reader = EventReader::join(stage.redis.url(), &stage.queue, "demo", "demo").await?;
    let (sender, events) = mpsc::unbounded_channel();
    // On a task of its own: a read that is cut off in the middle could swallow events.
    tokio::spawn(async move {
        while !sender.is_closed() {
            if let Err(error) = pass_on(&reader, &sender).await {
                // Whoever listens is told, and decides how long to go on.
                let _ = sender.send(Err(error));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    Ok(events)
}

async fn pass_on(reader: &EventReader, sender: &Sender) -> Result<(), ReadError> {
    let deliveries = reader.read(Duration::from_secs(1)).await?;
    for Delivery { event, .. } in &deliveries {
        // Nobody listens any more at the end of the demo.
        let _ = sender.send(Ok(event.clone()));
    }
    reader.acknowledge(&deliveries).await
}

async fn glance(stage: &Stage, board: &mut Board<'_>) {
    for job in board.open() {
        if let Some(look) = look(&stage.worker, &job).await {
            board.update(&job, &look);
        }
    }
}

fn enqueued(story: &Story) -> String {
    let (pictures, first) = (story.pictures(), story.jobs.first().map_or("", id));
    let noun = if pictures == 1 { "picture" } else { "pictures" };
    format!("\nEnqueued {pictures} {noun} and, by its button {BUTTON}, the upscale of {first}.\n")
}
