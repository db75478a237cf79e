//! `mjq modal`: gives a task the input that it waits for.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use mjq_producer::{
    Producer,
    contract::{Command, JobId, ModalInput},
};
use secrecy::ExposeSecret;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    image,
    open_ledger::{job_of_command, not_ended},
    output,
};
use crate::{lifecycle::Phase, settings::Settings};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").args(["prompt", "mask", "unchanged"]).required(true).multiple(true))]
#[command(after_help = "\
For a job that `mjq show` calls held. The command travels through the queue like a job; with a mask alone, the \
upstream takes the prompt that it has.

Examples:
  mjq modal order-1842 --prompt 'a lighthouse, at night'
  mjq modal order-1842 --prompt 'a boat' --mask boat.png
  mjq modal order-1842 --unchanged")]
pub(super) struct Modal {
    /// The job whose task waits
    #[arg(value_name = "JOB")]
    job: JobId,
    /// What to paint
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Where to paint: a PNG that is white where the picture is painted anew
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Let the task go on with what it has
    #[arg(long, conflicts_with_all = ["prompt", "mask"])]
    unchanged: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Modal {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let command = self.command()?;
        if let Some(view) = job_of_command(settings, &self.job).await? {
            not_ended(&view)?;
            if view.phase != Phase::Held {
                let job = &self.job;
                return Err(Failure::NotDone(format!("{job} waits for no input: it is {}", view.phase)));
            }
        }
        let producer = Producer::connect(settings.redis_url.expose_secret(), &settings.queue).await?;
        producer.send(&command).await?;
        output::line(&format!(
            "the input for {} is in the queue; `mjq show {}` tells what becomes of it",
            self.job, self.job
        ))
    }

    fn command(&self) -> Result<Command, Failure> {
        let mask_base64 = self.mask.as_deref().map(image::png_data_url).transpose().map_err(Failure::Usage)?;
        Ok(Command::Modal(ModalInput { job: self.job.clone(), prompt: self.prompt.clone(), mask_base64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        modal: Modal,
    }

    fn json(arguments: &[&str]) -> Result<String, Failure> {
        let command = Line::parse_from([&["mjq"], arguments].concat()).modal.command()?;
        Ok(serde_json::to_string(&command).unwrap())
    }

    #[test]
    fn the_input_stands_in_the_command() {
        let mask = std::env::temp_dir().join(format!("mjq-mask-{}.png", std::process::id()));
        std::fs::write(&mask, b"\x89PNG\r\n\x1a\n").unwrap();
        let mask = mask.to_str().unwrap();

        assert_eq!(json(&["a", "--unchanged"]).unwrap(), r#"{"modal":{"job":"a"}}"#);
        assert!(json(&["a", "--mask", mask]).unwrap().starts_with(r#"{"modal":{"job":"a","maskBase64":"#));
        assert_eq!(
            json(&["a", "--prompt", "--no fog", "--mask", mask]).unwrap(),
            r#"{"modal":{"job":"a","prompt":"--no fog","maskBase64":"data:image/png;base64,iVBORw0KGgo="}}"#
        );
    }

    #[test]
    fn a_mask_that_is_no_png_is_bad_usage() {
        let mask = std::env::temp_dir().join(format!("mjq-mask-{}.gif", std::process::id()));
        std::fs::write(&mask, b"GIF89a").unwrap();

        for file in [mask.to_str().unwrap(), "/no/such.png"] {
            assert_eq!(json(&["a", "--mask", file]).unwrap_err().exit_code(), 64, "{file}");
        }
    }
}
