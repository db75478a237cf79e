//! Chooses the script of a submit: the first attached script that fits, else the marker in the request.

use std::{collections::HashMap, sync::Arc};

use crate::{marker, script::Script};

/// The parts of a request by which its script is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cue<'a> {
    /// `IMAGINE`, `UPSCALE` …
    pub(crate) kind: &'a str,
    /// Whether the request refers to another task (action, change, modal).
    pub(crate) is_follow_up: bool,
    /// The request's prompt, or that of the parent task.
    pub(crate) prompt: &'a str,
    pub(crate) state: &'a str,
    pub(crate) custom_id: &'a str,
    /// Two requests with the same subject are the same job.
    pub(crate) subject: &'a str,
}

/// The scripts in force.
#[derive(Debug, Default)]
pub(crate) struct Playbook {
    attached: Vec<Attached>,
    /// How many submits each job with a marker has made.
    marked: HashMap<String, u32>,
}

#[derive(Debug)]
struct Attached {
    needle: String,
    script: Arc<Script>,
    used: u32,
    positions: HashMap<String, u32>,
}

impl Playbook {
    /// Attaches a script to every job whose prompt, state or custom id contains `needle`.
    pub(crate) fn attach(&mut self, needle: &str, script: Script) {
        self.attached.push(Attached {
            needle: needle.to_owned(),
            script: Arc::new(script),
            used: 0,
            positions: HashMap::new(),
        });
    }

    /// The script for this submit, and how many of the job's earlier submits it has answered.
    pub(crate) fn take(&mut self, cue: Cue<'_>) -> Option<(Arc<Script>, u32)> {
        match self.attached.iter_mut().find(|attached| attached.fits(cue)) {
            Some(attached) => {
                attached.used += 1;
                Some((attached.script.clone(), count(&mut attached.positions, cue.subject)))
            }
            None => {
                let script = marked_script(cue)?;
                Some((Arc::new(script), count(&mut self.marked, cue.subject)))
            }
        }
    }
}

impl Attached {
    fn fits(&self, cue: Cue<'_>) -> bool {
        let is_used_up = self.script.uses.is_some_and(|uses| self.used >= uses);
        let texts = [cue.prompt, cue.state, cue.custom_id];
        !is_used_up && is_meant(&self.script, cue, true) && texts.iter().any(|text| text.contains(&self.needle))
    }
}

fn marked_script(cue: Cue<'_>) -> Option<Script> {
    // Follow-ups inherit their parent's prompt. So a marker in it applies to them only if it says so.
    let from_prompt = marker::find(cue.prompt).filter(|script| is_meant(script, cue, !cue.is_follow_up));
    from_prompt.or_else(|| marker::find(cue.state).filter(|script| is_meant(script, cue, true)))
}

fn is_meant(script: &Script, cue: Cue<'_>, by_default: bool) -> bool {
    match script.on.as_deref() {
        None => by_default,
        Some(on) => on.eq_ignore_ascii_case(cue.kind) || (on == "action" && cue.is_follow_up),
    }
}

fn count(positions: &mut HashMap<String, u32>, subject: &str) -> u32 {
    let position = positions.entry(subject.to_owned()).or_default();
    *position += 1;
    *position - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagine(prompt: &str) -> Cue<'_> {
        Cue { kind: "IMAGINE", is_follow_up: false, prompt, state: "", custom_id: "", subject: prompt }
    }

    #[test]
    fn each_job_begins_a_script_at_its_first_step() {
        let mut playbook = Playbook::default();
        playbook.attach("fox", "status=429 times=2".parse().unwrap());

        let mut position = |prompt| playbook.take(imagine(prompt)).map(|(_, position)| position);

        assert_eq!(position("a red fox"), Some(0));
        assert_eq!(position("a red fox"), Some(1));
        assert_eq!(position("a blue fox"), Some(0));
        assert_eq!(position("a cat"), None);
    }

    #[test]
    fn a_script_that_is_used_up_gives_way_to_the_next() {
        let mut playbook = Playbook::default();
        playbook.attach("", "code=23 uses=1".parse().unwrap());
        playbook.attach("", "code=9".parse().unwrap());

        let first = playbook.take(imagine("x")).unwrap().0;
        let second = playbook.take(imagine("x")).unwrap().0;

        assert_eq!((first.uses, second.uses), (Some(1), None));
    }

    #[test]
    fn a_marker_in_a_prompt_does_not_script_the_follow_ups_unless_it_says_so() {
        let follow_up = |prompt| Cue { kind: "UPSCALE", is_follow_up: true, ..imagine(prompt) };
        let mut playbook = Playbook::default();

        assert!(playbook.take(follow_up("fox [sim: code=3]")).is_none());
        assert!(playbook.take(follow_up("fox [sim: on=action code=3]")).is_some());
        assert!(playbook.take(imagine("fox [sim: on=action code=3]")).is_none());
    }
}
