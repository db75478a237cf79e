//! Enqueues a picture, and the upscale of it.
//!
//! ```sh
//! cargo run --package mjq-producer --example producer -- "a lighthouse in a storm"
//! ```
//!
//! It talks to `MJQ_REDIS_URL` (`redis://127.0.0.1:6379`) and the queue `MJQ_QUEUE` (`default`). The
//! example `consumer` shows how they end.

use std::{env, time::Duration};

use mjq_producer::{ActionJob, ImagineJob, Producer, contract::QueueName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let redis_url = env::var("MJQ_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let queue = env::var("MJQ_QUEUE").map_or_else(|_| Ok(QueueName::default()), |name| name.parse())?;
    let prompt = env::args().nth(1).unwrap_or_else(|| "a lighthouse in a storm --ar 3:2".to_owned());

    let producer = Producer::connect(&redis_url, &queue).await?;

    // `state` is ours: it comes back in the event, byte for byte, and tells us whom the picture is for.
    let picture = ImagineJob::new(&prompt).state("customer 7").deadline(Duration::from_secs(900)).build()?;
    let picture = producer.enqueue(&picture).await?;
    println!("enqueued the picture as {picture}");

    // The upscale can be enqueued at once: it waits for the picture. Its id makes it safe to enqueue
    // again, should the answer be lost: the same id is the same job.
    let upscale = ActionJob::button_of(picture.as_str(), "U1").id(&format!("{picture}.upscale")).state("customer 7");
    let upscale = producer.enqueue(&upscale.build()?).await?;
    println!("enqueued its upscale as {upscale}");
    Ok(())
}
