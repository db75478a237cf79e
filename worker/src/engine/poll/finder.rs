//! The finder: looks in the upstream's list of tasks for the tasks of submits whose answers were lost.
//!
//! The list may be large, and many answers may get lost at once. So one list is fetched at a time, and it serves all
//! searches that began before its request left.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Mutex;

use crate::{
    lifecycle::Observation,
    upstream::{TaskList, Upstream},
};

/// Looks for tasks by their `state`.
#[derive(Debug)]
pub(crate) struct Finder {
    upstream: Upstream,
    /// How many searches have begun so far.
    asked: AtomicU64,
    /// How many searches wait for an answer.
    waiting: AtomicUsize,
    /// The latest list, kept while a search may need it, and the number of searches that had begun when its request
    /// left.
    latest: Mutex<Option<(u64, TaskList)>>,
}

/// Counts one waiting search for as long as this exists.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Finder {
    /// Makes a finder.
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self { upstream, asked: AtomicU64::new(0), waiting: AtomicUsize::new(0), latest: Mutex::new(None) }
    }

    /// Looks for the task that was submitted with this `state`, in a list whose request leaves after this call.
    ///
    /// If a list has to be fetched for this search, `may_fetch` is awaited first; when it says no, the result is
    /// [`Observation::NotBegun`].
    pub(crate) async fn find(&self, state: &str, may_fetch: impl Future<Output = bool>) -> Observation {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let ask = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut latest = self.latest.lock().await;
        let list = match latest.take().filter(|(asks, _)| *asks >= ask) {
            Some(list) => list,
            None => {
                if !may_fetch.await {
                    return Observation::NotBegun;
                }
                let asks = self.asked.load(Ordering::Relaxed);
                (asks, self.upstream.list_tasks().await)
            }
        };
        let seen = list.1.find(state);
        if self.waiting.load(Ordering::Relaxed) > 1 {
            *latest = Some(list);
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use axum::{Router, routing};
    use mjq_producer::contract::TaskId;

    use super::*;
    use crate::upstream::UpstreamSettings;

    #[tokio::test]
    async fn one_list_serves_all_who_asked_before_its_request_left() -> anyhow::Result<()> {
        let requests: Arc<AtomicU64> = Arc::default();
        let counted = requests.clone();
        let list = move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
            r#"[{"id":"7","state":"s-7"}]"#
        };
        let routes = Router::new().route("/mj/task/list", routing::get(list));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?).parse()?;
        tokio::spawn(axum::serve(listener, routes).into_future());
        let lookup_path = Some("/mj/task/list".to_owned());
        let finder = Finder::new(Upstream::new(&UpstreamSettings { lookup_path, ..UpstreamSettings::new(base) })?);

        let states: Vec<String> = (0..20).map(|n| format!("s-{n}")).collect();
        let searches = states.iter().map(|state| finder.find(state, async { true }));
        let seen = futures_util::future::join_all(searches).await;

        for (n, seen) in seen.iter().enumerate() {
            let is_there = matches!(seen, Observation::Found(task) if *task == TaskId::new("7"));
            assert_eq!((is_there, seen.name() == "not_found"), (n == 7, n != 7), "{n}: {seen:?}");
        }
        let made = requests.load(Ordering::Relaxed);
        assert!(made <= 2, "the first one's, and one for those who asked while it was on its way: {made}");
        assert!(finder.latest.lock().await.is_none(), "no list is kept once nobody waits");

        assert_eq!(finder.find("s-7", async { false }).await.name(), "not_begun");
        finder.find("s-7", async { true }).await;
        assert_eq!(requests.load(Ordering::Relaxed), made + 1, "an older list is not believed");
        Ok(())
    }
}
