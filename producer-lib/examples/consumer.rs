//! Shows events as they come, as a member of the consumer group `example`.
//!
//! ```sh
//! cargo run --package mjq-producer --example consumer
//! ```
//!
//! It talks to `MJQ_REDIS_URL` (`redis://127.0.0.1:6379`) and the queue `MJQ_QUEUE` (`default`), until
//! Ctrl-C. Start it twice: the two share the events.

use std::{env, time::Duration};

use mjq_producer::{
    EventReader,
    contract::{Event, EventType, QueueName},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let redis_url = env::var("MJQ_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let queue = env::var("MJQ_QUEUE").map_or_else(|_| Ok(QueueName::default()), |name| name.parse())?;
    let consumer = format!("consumer-{}", std::process::id());

    let reader = EventReader::join(&redis_url, &queue, "example", &consumer).await?;
    loop {
        let deliveries = match reader.read(Duration::from_secs(10)).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                // Nothing is lost: what was not acknowledged comes again.
                eprintln!("{:#}", anyhow::Error::new(error));
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        for delivery in &deliveries {
            deal_with(&delivery.event);
        }
        // Only now: had we died before, another consumer would be given these events again.
        if let Err(error) = reader.acknowledge(&deliveries).await {
            eprintln!("{:#}", anyhow::Error::new(error));
        }
    }
}

fn deal_with(event: &Event) {
    let Event { job, state, image_url, code, .. } = event;
    match event.event_type {
        EventType::Completed => println!("{job} for {state:?}: {image_url}"),
        EventType::Failed | EventType::Cancelled | EventType::Rejected => {
            println!("{job} for {state:?}: {code}: {}", event.data.reason);
        }
    }
}
