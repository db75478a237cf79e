//! `mjq enqueue`: puts a job into the queue, and waits for its end if asked to.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use mjq_producer::{
    ActionJob, ImagineJob, InvalidJob, Producer,
    contract::{Job, OnCapacity, OnUnknown, Priority},
};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    Failure,
    event_view::EventView,
    flags::{ClientFlags, Flags},
    image, output,
    wait::Waiting,
};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Enqueue {
    #[command(subcommand)]
    job: JobArgs,
}

#[derive(Debug, Subcommand)]
enum JobArgs {
    /// Four pictures from a prompt
    Imagine(Imagine),
    /// A button below an earlier result: upscale, vary, reroll
    Action(Action),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the job's id; with --wait, the result. The same --id with the same job is never a second job.

Examples:
  mjq enqueue imagine --prompt 'a lighthouse in a storm --ar 3:2' --wait
  mjq enqueue imagine --prompt - --id order-1842 --then U1 < prompt.txt
  mjq enqueue imagine --prompt 'like this' --image a.png b.jpg --model mj-relax")]
struct Imagine {
    /// What to paint; - reads it from stdin
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: String,
    /// The upstream's model, such as mj-fast or mj-relax
    #[arg(long)]
    model: Option<String>,
    /// The upstream's bot: MID_JOURNEY or NIJI_JOURNEY
    #[arg(long, value_name = "BOT")]
    bot_type: Option<String>,
    /// Pictures to start from: PNG, JPEG, WebP or GIF files
    #[arg(long, value_name = "FILE", num_args = 1..)]
    image: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the job's id; with --wait, the result.

Examples:
  mjq enqueue action --job order-1842 --button U1 --wait
  mjq enqueue action --task 1748339029401828 --custom-id MJ::JOB::upsample::1")]
struct Action {
    /// The earlier job whose button is pressed, as soon as it has completed
    #[arg(long, requires = "button", required_unless_present = "task", conflicts_with_all = ["task", "custom_id"])]
    job: Option<String>,
    /// The button: its label (U1), its emoji or its custom id
    #[arg(long, requires = "job", conflicts_with_all = ["task", "custom_id"])]
    button: Option<String>,
    /// The upstream's task whose button is pressed
    #[arg(long, requires = "custom_id")]
    task: Option<String>,
    /// The button's custom id
    #[arg(long, value_name = "ID", requires = "task")]
    custom_id: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The job's id, its idempotency key: 1 to 128 of A-Z a-z 0-9 . _ : -
    #[arg(long)]
    id: Option<String>,
    /// Text that comes back, byte for byte, in the job's event
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    state: Option<String>,
    /// Which jobs are submitted first: high, normal or low
    #[arg(long, default_value = "normal")]
    priority: Priority,
    /// How long the job may take, such as 90s or 15m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Buttons that are pressed when the job has completed, such as U1
    #[arg(long, value_name = "BUTTON", num_args = 1..)]
    then: Vec<String>,
    /// When nobody can know whether the upstream took the job: fail, or resubmit and perhaps pay twice
    #[arg(long, value_name = "POLICY")]
    on_unknown: Option<OnUnknown>,
    /// When a task failed because the upstream had no capacity: fail, or resubmit, which is a new charge
    #[arg(long, value_name = "POLICY")]
    on_capacity: Option<OnCapacity>,
    /// Wait for the job's event and show it; exits with 1 when the job has no result
    #[arg(long)]
    wait: bool,
    /// Print JSON: the id, or the event with --wait
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Enqueue {
    pub(super) fn flags(&self) -> &Flags {
        &self.job.common().settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let job = self.job.build()?;
        let common = self.job.common();
        let producer = Producer::connect(settings.redis_url.expose_secret(), &settings.queue).await?;
        let producer = producer.with_max_job_bytes(settings.max_job_bytes);
        if !common.wait {
            let id = producer.enqueue(&job).await?;
            let text = if common.json { json!({ "job": id }).to_string() } else { id.to_string() };
            return output::line(&text);
        }

        // The end of the event stream is noted before the job can add an event.
        let waiting = Waiting::begin(settings, job.id.as_ref()).await?;
        let id = producer.enqueue(&job).await?;
        // Without an id of their own choice, users learn the job's id only here.
        let tell = |_: &Failure| eprintln!("{id} is in the queue; `mjq show {id}` tells how it gets on");
        let event = waiting.for_end_of(&id).await.inspect_err(tell)?;
        let view = if common.json { EventView::Json } else { EventView::Report };
        view.print(&event)?;
        if event.event.event_type.as_str() == "completed" { Ok(()) } else { Err(Failure::NoResult) }
    }
}

/// Calls the setters that both builders have.
macro_rules! with_common {
    ($builder:expr, $common:expr) => {{
        let common: &Common = $common;
        let mut builder = $builder.priority(common.priority);
        if let Some(id) = &common.id {
            builder = builder.id(id);
        }
        if let Some(state) = &common.state {
            builder = builder.state(state);
        }
        if let Some(deadline) = common.deadline {
            builder = builder.deadline(deadline);
        }
        if let Some(on_unknown) = common.on_unknown {
            builder = builder.on_unknown(on_unknown);
        }
        if let Some(on_capacity) = common.on_capacity {
            builder = builder.on_capacity(on_capacity);
        }
        for button in &common.then {
            builder = builder.then_button(button);
        }
        builder.build().map_err(|error: InvalidJob| Failure::Usage(error.to_string()))
    }};
}

impl JobArgs {
    fn common(&self) -> &Common {
        match self {
            Self::Imagine(Imagine { common, .. }) | Self::Action(Action { common, .. }) => common,
        }
    }

    fn build(&self) -> Result<Job, Failure> {
        match self {
            Self::Imagine(imagine) => imagine.build(),
            Self::Action(action) => action.build(),
        }
    }
}

impl Imagine {
    fn build(&self) -> Result<Job, Failure> {
        let prompt = if self.prompt == "-" { prompt_of_stdin()? } else { self.prompt.clone() };
        let mut builder = ImagineJob::new(&prompt);
        if let Some(model) = &self.model {
            builder = builder.model(model);
        }
        if let Some(bot_type) = &self.bot_type {
            builder = builder.bot_type(bot_type);
        }
        for file in &self.image {
            builder = builder.image(&image::data_url(file).map_err(Failure::Usage)?);
        }
        with_common!(builder, &self.common)
    }
}

impl Action {
    fn build(&self) -> Result<Job, Failure> {
        let builder = match (&self.job, &self.button, &self.task, &self.custom_id) {
            (Some(job), Some(button), ..) => ActionJob::button_of(job, button),
            (.., Some(task), Some(custom_id)) => ActionJob::custom_id(task, custom_id),
            _ => return Err(Failure::Usage("expected --job and --button, or --task and --custom-id".to_owned())),
        };
        with_common!(builder, &self.common)
    }
}

fn prompt_of_stdin() -> Result<String, Failure> {
    let mut stdin = io::stdin();
    if stdin.is_terminal() {
        eprintln!("Type the prompt, then press Ctrl-D.");
    }
    let mut prompt = String::new();
    stdin
        .read_to_string(&mut prompt)
        .map_err(|error| Failure::Usage(format!("cannot read the prompt from stdin: {error}")))?;
    Ok(prompt.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        enqueue: Enqueue,
    }

    fn job(arguments: &[&str]) -> Result<Job, Failure> {
        Line::parse_from([&["mjq"], arguments].concat()).enqueue.job.build()
    }

    #[test]
    fn each_option_stands_in_the_job() {
        let arguments = [
            "imagine",
            "--prompt",
            "--ar 1:1 cat",
            "--model",
            "mj-relax",
            "--bot-type",
            "NIJI_JOURNEY",
            "--state",
            "-s",
            "--id",
            "a",
            "--priority",
            "high",
            "--deadline",
            "2m",
            "--then",
            "U1",
            "V2",
            "--on-unknown",
            "resubmit",
            "--on-capacity",
            "resubmit",
        ];

        let job = serde_json::to_string(&job(&arguments).unwrap()).unwrap();

        assert_eq!(
            job,
            r#"{"id":"a","kind":"imagine","request":{"botType":"NIJI_JOURNEY","model":"mj-relax","prompt":"--ar 1:1 cat","state":"-s"},"options":{"priority":"high","deadline_s":120,"on_unknown":"resubmit","on_capacity":"resubmit"},"then":[{"button":"U1"},{"button":"V2"}]}"#
        );
    }

    #[test]
    fn an_action_names_a_job_or_a_task() {
        let by_job = job(&["action", "--job", "a", "--button", "U1"]).unwrap();
        let by_task = job(&["action", "--task", "17", "--custom-id", "c"]).unwrap();

        assert_eq!(by_job.request.as_json(), r#"{"button":"U1","job":"a"}"#);
        assert_eq!(by_task.request.as_json(), r#"{"customId":"c","taskId":"17"}"#);
    }

    #[test]
    fn what_the_worker_would_refuse_is_bad_usage() {
        for arguments in [
            &["imagine", "--prompt", " "][..],
            &["imagine", "--prompt", "cat", "--id", "a b"],
            &["imagine", "--prompt", "cat", "--deadline", "8days"],
            &["imagine", "--prompt", "cat", "--image", "/no/such.png"],
            &["action", "--job", "a b", "--button", "U1"],
        ] {
            assert_eq!(job(arguments).unwrap_err().exit_code(), 64, "{arguments:?}");
        }
    }
}
