//! For those who want to go on by themselves: everything runs on, and this says what to try.

use mjq_harness::mjq;

use crate::board::show_event;
use crate::play::Events;
use crate::screen::Screen;
use crate::stage::Stage;
use crate::upstream::Upstream;

/// Says what to try and shows events as they come, until it is dropped.
pub(crate) async fn stay(stage: &Stage, events: &mut Events, screen: &Screen) -> anyhow::Result<()> {
    screen.line(&what_to_try(stage)?);
    while let Some(event) = events.recv().await {
        match event {
            Ok(event) => show_event(screen, &event),
            Err(error) => screen.line(&screen.red(&format!("{:#}", anyhow::Error::new(error)))),
        }
    }
    Ok(())
}

/// Commands that can be copied as they are.
fn what_to_try(stage: &Stage) -> anyhow::Result<String> {
    let program = mjq()?;
    let here = std::env::current_dir().unwrap_or_default();
    let program = program.strip_prefix(here).unwrap_or(program).display();
    // The URL of somebody's Redis may hold a password, and is in their environment anyhow.
    let redis = if stage.is_guest { r#""$MJQ_REDIS_URL""# } else { stage.redis.url() };
    let admin = stage.worker.admin_url();
    let queue = &stage.queue;
    let settings = [
        (!stage.is_guest).then(|| format!("MJQ_REDIS_URL={redis}")),
        stage.is_guest.then(|| format!("MJQ_QUEUE={queue}")),
        Some(format!("MJQ_ADMIN_ADDR={}", admin.trim_start_matches("http://"))),
    ];
    let settings = settings.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let books = match &stage.upstream {
        Upstream::Simulated(simulator) => {
            format!("\n  API's books  {}/sim/ledger  (figures: /sim/stats)", simulator.url())
        }
        Upstream::Real { .. } => String::new(),
    };
    Ok(format!(
        "\nEverything runs on until Ctrl-C. Look at\n  \
           dashboard    {admin}/\n  \
           metrics      {admin}/metrics{books}\n\n\
         A job is one Redis command, from any language; its event comes up here:\n  \
           redis-cli -u {redis} XADD 'mjq:{{{queue}}}:jobs' '*' v 1 job '{{\"kind\":\"imagine\",\"request\":{{\"prompt\":\"a blue cat\",\"state\":\"mine\"}}}}'\n  \
           redis-cli -u {redis} XRANGE 'mjq:{{{queue}}}:events' - +\n\n\
         Or by the program:\n  \
           export {settings}\n  \
           {program} enqueue imagine --prompt 'a blue cat' --then U1 --wait\n  \
           {program} events\n"
    ))
}
