//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use mjq_simulator::{Answer, Dialect, IdStyle, Knobs, Odds, Script, Span};

/// A Midjourney-style image API to test against: scriptable, and honest about what it billed.
///
/// Everything here but the address and the log can be changed while it runs: GET and PUT /sim/knobs.
/// GET /sim/ledger lists every task that was created, GET /sim/stats the figures,
/// POST /sim/scripts attaches a script to prompts, POST /sim/reset forgets all tasks.
///
/// A prompt can bring its own script: `a red fox [sim: status=429 times=2 fail="Job Timeout"]`.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "MJQ_SIMULATOR_LISTEN", default_value = "127.0.0.1:8099", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// Tasks that run at once
    #[arg(long, env = "MJQ_SIMULATOR_SLOTS", default_value_t = 3)]
    slots: usize,

    /// Tasks that may wait (code 22); the next one is refused (code 23)
    #[arg(long, env = "MJQ_SIMULATOR_QUEUE", default_value_t = 10)]
    queue: usize,

    /// How long a task runs, such as 8s or 8s..15s
    #[arg(long, env = "MJQ_SIMULATOR_DURATION", default_value = "8s..15s", value_name = "SPAN")]
    duration: Span,

    /// The same for one kind (imagine, upscale …) or speed (fast, relax, turbo); can be repeated
    #[arg(long = "duration-of", value_name = "NAME=SPAN", value_parser = named_span)]
    durations: Vec<(String, Span)>,

    /// Which member of the family answers
    #[arg(long, env = "MJQ_SIMULATOR_DIALECT", value_enum, default_value_t)]
    dialect: Dialect,

    /// What task ids look like; by default as the dialect has them
    #[arg(long, value_enum)]
    id_style: Option<IdStyle>,

    /// How long each answer takes
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    latency: Span,

    /// Key that requests must carry, as a bearer token or in mj-api-secret
    #[arg(long, env = "MJQ_SIMULATOR_KEY", hide_env_values = true)]
    key: Option<String>,

    /// Base of image URLs; by default the host by which a request came
    #[arg(long, env = "MJQ_SIMULATOR_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,

    /// Does not honour notifyHook
    #[arg(long)]
    no_hooks: bool,

    /// Calls back at the end of a task only
    #[arg(long)]
    hook_only_terminal: bool,

    /// Share of callbacks that are lost
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    hook_loss: f64,

    /// Offers no list-by-condition
    #[arg(long)]
    no_list_by_condition: bool,

    /// Share of tasks that fail
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    failure_rate: f64,

    /// Random fault: a rate and the words of a marker, such as "0.01 lose=after"; can be repeated
    #[arg(long = "fault", value_name = "RATE WORDS", value_parser = fault)]
    faults: Vec<RandomFault>,

    /// Script for prompts: a part of the prompt, "=>" and the words of a marker; can be repeated
    #[arg(long = "script", value_name = "PART => WORDS", value_parser = attached)]
    pub(crate) scripts: Vec<AttachedScript>,

    /// Where all chance comes from
    #[arg(long, env = "MJQ_SIMULATOR_SEED", default_value_t = 1)]
    seed: u64,

    /// Appends one JSON line per created task, before the answer leaves
    #[arg(long, env = "MJQ_SIMULATOR_LOG", value_name = "FILE")]
    log: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  mjq-simulator --slots 3 --queue 10 --duration 8s..15s
  mjq-simulator --fault '0.02 lose=after' --fault '0.05 status=503 retry=1' --fault '0.1 fetch=502' --seed 7
  mjq-simulator --script 'fox => status=429 retry=2 times=2'
  curl -X PUT localhost:8099/sim/knobs -H 'Content-Type: application/json' -d '{\"slots\": 12}'

Words of a marker:
  code=24 desc=\"…\" id=no|new|existing     status=503 retry=2|date:2 html     body=empty|broken|html|half
  lose=before|after  reset=before|after  hang=before|after     after  delay=200ms  times=2  uses=5  on=action
  duration=1500ms  fail=\"Job Timeout\"  noimage  cancel  modal  stuck=46%  running=RUNNING
  fetch=502|unknown|empty|broken|html|half|close|reset|hang  fetch_times=3  fetch_delay=1s";

#[derive(Clone, Debug)]
struct RandomFault {
    rate: f64,
    script: Script,
}

/// A script, and the part of a prompt that selects it.
#[derive(Clone, Debug)]
pub(crate) struct AttachedScript {
    pub(crate) needle: String,
    pub(crate) script: Script,
}

impl Flags {
    pub(crate) fn knobs(self) -> Knobs {
        let mut knobs = Knobs {
            slots: self.slots,
            queue: self.queue,
            duration: self.duration,
            durations: self.durations.into_iter().collect(),
            dialect: self.dialect,
            id_style: self.id_style,
            latency: self.latency,
            key: self.key,
            public_url: self.public_url,
            hooks: !self.no_hooks,
            hook_only_terminal: self.hook_only_terminal,
            hook_loss: self.hook_loss,
            list_by_condition: !self.no_list_by_condition,
            failure_rate: self.failure_rate,
            seed: self.seed,
            log: self.log,
            ..Knobs::default()
        };
        for RandomFault { rate, script } in self.faults {
            knobs.submit_faults.extend(script.submit.into_iter().map(|step| Odds { rate, step }));
            knobs.fetch_faults.extend(script.fetch.into_iter().map(|step| Odds { rate, step }));
        }
        knobs
    }
}

fn named_span(text: &str) -> Result<(String, Span), String> {
    let (name, span) = text.split_once('=').ok_or("expected NAME=SPAN, such as relax=60s")?;
    Ok((name.to_owned(), span.parse()?))
}

fn fault(text: &str) -> Result<RandomFault, String> {
    let (rate, words) = text.split_once(' ').ok_or("expected a rate and words, such as \"0.01 lose=after\"")?;
    let rate = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or("expected a rate from 0 to 1")?;
    let script: Script = words.parse()?;
    if script.submit.iter().all(|step| step.answer == Answer::Usual && step.delay_ms == 0) && script.fetch.is_empty() {
        return Err("these words say nothing about an answer; for failing tasks there is --failure-rate".to_owned());
    }
    Ok(RandomFault { rate, script })
}

fn attached(text: &str) -> Result<AttachedScript, String> {
    let (needle, words) = text.split_once("=>").ok_or("expected a part of a prompt, \"=>\" and words")?;
    Ok(AttachedScript { needle: needle.trim().to_owned(), script: words.parse()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_hold_together() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }

    #[test]
    fn a_random_fault_is_a_rate_and_words() {
        let flags = Flags::parse_from(["sim", "--fault", "0.5 lose=after", "--fault", "0.1 fetch=502"]);

        let knobs = flags.knobs();

        assert_eq!((knobs.submit_faults.len(), knobs.fetch_faults.len()), (1, 1));
        assert!(knobs.submit_faults[0].step.after);
    }
}
