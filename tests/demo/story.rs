//! What the worker is given to do: some pictures, and the upscale of the first.

use mjq_producer::contract::Job;
use mjq_producer::{ActionJob, ImagineJob, InvalidJob};

use crate::upstream::Upstream;

/// The jobs, in the order in which they are enqueued.
pub(crate) struct Story {
    pub(crate) jobs: Vec<Job>,
}

/// Job, prompt and state. States are the caller's own; whatever is in them has to come back.
const PICTURES: [(&str, &str, &str); 8] = [
    ("fox", "a red fox in fresh snow, soft morning light --ar 3:2", "order 1842 🦊"),
    ("lighthouse", "a lighthouse in a storm, oil on canvas", r#"{"customer":7,"page":"home"}"#),
    ("teapot", "a teapot shaped like an elephant, studio photo", "line one\nline two"),
    ("city", "a city inside a glass bottle, isometric", r#"she said "as big as you can""#),
    ("orchard", "an orchard of paper trees, origami", "Zoë & Søren"),
    ("whale", "a whale that swims through clouds at dusk", "鲸鱼"),
    ("library", "a library at the bottom of the sea", r"C:\pictures\library"),
    ("robot", "a small robot that waters a cactus", "\ttabbed"),
];

/// The button below the first picture.
pub(crate) const BUTTON: &str = "U1";

impl Story {
    /// Enough jobs to see the simulated API's line, and as few as possible where they cost money.
    pub(crate) fn of(upstream: &Upstream) -> Self {
        let pictures = match upstream {
            Upstream::Simulated(_) => &PICTURES[..],
            Upstream::Real { .. } => &PICTURES[..1],
        };
        Self::with(pictures).unwrap_or_else(|error| unreachable!("the jobs of the story are constants: {error}"))
    }

    fn with(pictures: &[(&str, &str, &str)]) -> Result<Self, InvalidJob> {
        let picture = |(id, prompt, state): &(&str, &str, &str)| {
            ImagineJob::new(prompt).model("mj-fast").bot_type("MID_JOURNEY").id(id).state(state).build()
        };
        let mut jobs = pictures.iter().map(picture).collect::<Result<Vec<_>, _>>()?;
        if let Some((first, ..)) = pictures.first() {
            // Enqueued with the others: it waits for the picture by itself.
            let upscale = ActionJob::button_of(first, BUTTON).id(&format!("{first}.upscale"));
            jobs.push(upscale.state("the upscale of order 1842 🦊").build()?);
        }
        Ok(Self { jobs })
    }

    /// How many jobs are pictures.
    pub(crate) fn pictures(&self) -> usize {
        self.jobs.len().saturating_sub(1)
    }
}

/// The id of a job of a story, all of which have one.
pub(crate) fn id(job: &Job) -> &str {
    job.id.as_ref().map_or("", |id| id.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn a_story() -> Story {
        Story::with(&PICTURES[..2]).unwrap()
    }

    #[test]
    fn all_its_jobs_are_valid_and_have_ids_of_their_own() {
        let story = Story::with(&PICTURES).unwrap();

        let mut ids: Vec<&str> = story.jobs.iter().map(id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 9);
        assert_eq!(story.pictures(), 8);
    }
}
