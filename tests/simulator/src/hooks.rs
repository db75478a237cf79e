//! The caller of hooks: posts task objects to `notifyHook` addresses, once each, in no strict order.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{upstream::Upstream, world::Callback};

/// The most callbacks under way at once. So a slow receiver delays the callbacks of all others, as with real upstreams.
const AT_ONCE: usize = 256;
const TIME_OUT: Duration = Duration::from_secs(10);

/// A client for callbacks.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    // An error only means that the process already has a provider, which is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(TIME_OUT).build().context("could not build a client for callbacks")
}

/// Sends due callbacks, for ever.
pub(crate) async fn run(upstream: Arc<Upstream>, client: reqwest::Client) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    loop {
        let (callbacks, next_ms) = upstream.with(|world, now_ms| world.due_callbacks(now_ms));
        for callback in callbacks {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (upstream, client) = (upstream.clone(), client.clone());
            under_way.spawn(async move {
                let is_taken = post(&client, callback).await;
                upstream.with(|world, _| {
                    let stats = &mut world.oracle.stats;
                    if is_taken { stats.hooks_sent += 1 } else { stats.hooks_failed += 1 }
                });
                drop(place);
            });
        }
        while under_way.try_join_next().is_some() {}
        wait(&upstream, next_ms).await;
    }
}

async fn post(client: &reqwest::Client, callback: Callback) -> bool {
    let request = client.post(&callback.url).header("Content-Type", "application/json").body(callback.body);
    request.send().await.is_ok_and(|response| response.status().is_success())
}

/// Waits until the next known change is due, or the line of callbacks changes.
async fn wait(upstream: &Upstream, next_ms: Option<u64>) {
    let news = upstream.new_callbacks.notified();
    match next_ms {
        None => news.await,
        Some(next_ms) => {
            let left = Duration::from_millis(next_ms.saturating_sub(upstream.now_ms()));
            let _ = tokio::time::timeout(left, news).await;
        }
    }
}
