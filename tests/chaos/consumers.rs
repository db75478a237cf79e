//! Consumers of the event stream: slow ones, and such as crash before they have acknowledged anything.

use std::sync::Arc;
use std::time::Duration;

use mjq_producer::EventReader;
use mjq_producer::contract::QueueName;
use tokio::sync::watch;

use crate::books::Books;
use crate::dice::Dice;

/// The group that all of them belong to.
pub(crate) const GROUP: &str = "chaos";

/// Consumes until it is told to stop, as a row of members that come and go.
pub(crate) async fn consume(
    redis_url: String,
    queue: QueueName,
    number: usize,
    mut dice: Dice,
    books: Arc<Books>,
    stopping: watch::Receiver<bool>,
) {
    let mut generation = 0;
    while !*stopping.borrow() {
        generation += 1;
        let name = format!("consumer-{number}-{generation}");
        let Ok(reader) = EventReader::join(&redis_url, &queue, GROUP, &name).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let reader = reader.taking_over_after(Duration::from_millis(1500));
        while !*stopping.borrow() {
            let Ok(deliveries) = reader.read(Duration::from_millis(300)).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            if dice.says(5) && !deliveries.is_empty() {
                books.note_fault("consumer crash");
                break;
            }
            tokio::time::sleep(Duration::from_millis(dice.between(0, 150))).await;
            {
                let mut pages = books.open();
                for delivery in &deliveries {
                    let job = delivery.event.job.clone();
                    let outcome = delivery.event.event_type.as_str();
                    if outcome != "rejected" {
                        pages.ended.insert(job.clone());
                    }
                    if outcome == "completed" && delivery.event.kind == "imagine" {
                        pages.completed.push(job.clone());
                    }
                    pages.received.insert(delivery.entry.clone(), job);
                }
            }
            // When the answer is lost, they come again, which is what at least once means.
            let _ = reader.acknowledge(&deliveries).await;
        }
    }
}
