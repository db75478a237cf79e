//! The stream of progress: what polls of open tasks showed, for those who ask for it.

use mjq_harness::Stack;
use redis::streams::StreamRangeReply;

use crate::support::{a_stack, imagine, submitted_once, with};

/// The entries of the stream of progress, as pairs of field and value.
async fn progress(stack: &Stack) -> anyhow::Result<Vec<Vec<(String, String)>>> {
    let mut redis = stack.wire.redis().await?;
    let reply: StreamRangeReply =
        redis::cmd("XRANGE").arg(stack.wire.key("progress")).arg("-").arg("+").query_async(&mut redis).await?;
    let fields = |entry: &redis::streams::StreamId| {
        let names = entry.map.keys().filter_map(|name| Some((name.clone(), entry.get(name)?)));
        names.collect::<Vec<(String, String)>>()
    };
    Ok(reply.ids.iter().map(fields).collect())
}

fn field<'a>(entry: &'a [(String, String)], name: &str) -> &'a str {
    entry.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn polls_that_show_something_new_are_published_where_it_is_asked_for() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_PROGRESS_EVENTS", 1000).set("MJQ_POLL_MIN_MS", 100).await?;
    let job = imagine("order-1842", "a red fox [sim: duration=3s]");
    stack.xadd_job(&with(job, "/request/state", "customer 7")).await?;
    // A long state is not repeated with each poll.
    let other = imagine("order-1843", "a blue fox [sim: duration=2s]");
    stack.xadd_job(&with(other, "/request/state", "x".repeat(5000))).await?;

    let (end, other_end) = (stack.event_of("order-1842").await?, stack.event_of("order-1843").await?);

    let shown = progress(&stack).await?;
    let own: Vec<_> = shown.iter().filter(|entry| field(entry, "job") == "order-1842").collect();
    assert!(own.len() >= 2, "{shown:?}");
    for entry in &own {
        let told = ["v", "type", "kind", "state", "task"].map(|name| field(entry, name));
        assert_eq!(told, ["1", "progress", "imagine", "customer 7", end.field("task")], "{entry:?}");
    }
    let percents: Vec<u8> = own.iter().filter_map(|entry| field(entry, "progress").parse().ok()).collect();
    assert!(percents.len() == own.len() && percents.is_sorted(), "{own:?}");
    let news: Vec<_> = own.iter().map(|entry| (field(entry, "status"), field(entry, "progress"))).collect();
    assert!(news.windows(2).all(|pair| pair[0] != pair[1]), "each shows something new: {news:?}");
    let mut other = shown.iter().filter(|entry| field(entry, "job") == "order-1843").peekable();
    assert!(other.peek().is_some() && other.all(|entry| field(entry, "state").is_empty()));
    assert_eq!((end.state(), other_end.state().len()), ("customer 7", 5000));
    assert_eq!(stack.events().await?.len(), 2, "progress is no event");
    submitted_once(&stack, 2)
}

#[tokio::test]
async fn progress_is_not_published_unless_it_is_asked_for() -> anyhow::Result<()> {
    let stack = a_stack().set("MJQ_POLL_MIN_MS", 100).await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: duration=2s]")).await?;

    stack.event_of("order-1842").await?;

    assert!(progress(&stack).await?.is_empty());
    Ok(())
}
