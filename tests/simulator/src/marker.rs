//! Markers: scripts in a few words, so that a prompt, a state or a flag can contain one.
//!
//! `[sim: status=429 retry=2 times=2]` in a prompt (or in `state`) scripts the job of that prompt. The same words
//! without the brackets are a [`Script`]'s text form. Values with spaces are quoted.
//!
//! | words | meaning |
//! |---|---|
//! | `on=action` | only for requests of this kind; in a prompt without it: the prompt's own request, not its follow-ups |
//! | `uses=5` | serves five submits in all |
//! | `code=24` `desc="…"` `id=no\|new\|existing` | answers with a code |
//! | `status=503` `retry=2` or `retry=date:2` `html` | answers with an HTTP status |
//! | `body=empty\|broken\|html\|half` | answers 200 with such a body |
//! | `lose=before\|after` `reset=…` `hang=…` | closes, resets or never answers, before or after the creation |
//! | `after` | the task is created before the fault |
//! | `delay=200ms` | answers later |
//! | `times=2` | the first two submits (1 by default, 0 is for ever) |
//! | `duration=1500ms` | how long the task runs |
//! | `fail="Job Timeout"` `noimage` `cancel` `modal` | how the task ends |
//! | `stuck=46%` `running=RUNNING` | what its progress looks like |
//! | `fetch=502\|unknown\|renumbered\|empty\|broken\|html\|half\|close\|reset\|hang` `fetch_times=3` `fetch_delay=1s` | what polls see |

use std::str::FromStr;

use crate::script::{Answer, Coded, Fault, FetchStep, Outcome, RetryAfter, Script, Sight, SubmitStep, WithId};

const OPEN: &str = "[sim:";

/// The script in the first marker of `text`. An invalid marker is ignored.
pub(crate) fn find(text: &str) -> Option<Script> {
    let (_, rest) = text.split_once(OPEN)?;
    let (words, _) = rest.split_once(']')?;
    words.parse().ok()
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut draft = Draft::default();
        for (key, value) in words(text)? {
            draft.take(&key, &value).map_err(|why| format!("{key}={value:?}: {why}"))?;
        }
        Ok(draft.finish())
    }
}

/// A script under construction. Its words may come in any order.
#[derive(Default)]
struct Draft {
    script: Script,
    step: SubmitStep,
    has_step: bool,
    fetch: FetchStep,
    has_fetch: bool,
    html: bool,
    retry_after: Option<RetryAfter>,
    description: Option<String>,
    id: WithId,
}

impl Draft {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "on" => self.script.on = Some(value.to_owned()),
            "uses" => self.script.uses = Some(number(value)?),
            "code" => self.answer(Answer::Code(Coded { code: number(value)?, ..Coded::default() })),
            "desc" => self.description = Some(value.to_owned()),
            "id" => self.id = with_id(value)?,
            "status" => self.fault(status(number(value)?)),
            "retry" => self.retry_after = Some(retry_after(value)?),
            "html" => self.html = true,
            "body" => self.fault(body(value)?),
            "lose" => self.fault_around(Fault::Close, value)?,
            "reset" => self.fault_around(Fault::Reset, value)?,
            "hang" => self.fault_around(Fault::Hang, value)?,
            "after" => self.step.after = true,
            "delay" => {
                self.has_step = true;
                self.step.delay_ms = millis(value)?;
            }
            "times" => self.step.times = number(value)?,
            "duration" => self.script.duration = Some(value.parse()?),
            "fail" => self.script.outcome = Some(Outcome::Failure(value.to_owned())),
            "noimage" => self.script.outcome = Some(Outcome::NoImage),
            "cancel" => self.script.outcome = Some(Outcome::Cancel),
            "modal" => self.script.outcome = Some(Outcome::Modal),
            "stuck" => self.script.stuck = Some(value.to_owned()),
            "running" => self.script.running_status = Some(value.to_owned()),
            "fetch" => {
                self.has_fetch = true;
                self.fetch.answer = sight(value)?;
            }
            "fetch_times" => self.fetch.times = number(value)?,
            "fetch_delay" => {
                self.has_fetch = true;
                self.fetch.delay_ms = millis(value)?;
            }
            _ => return Err("no such word".to_owned()),
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer) {
        self.has_step = true;
        self.step.answer = answer;
    }

    fn fault(&mut self, fault: Fault) {
        self.answer(Answer::Fault(fault));
    }

    fn fault_around(&mut self, fault: Fault, when: &str) -> Result<(), String> {
        self.step.after = match when {
            "before" => false,
            "after" => true,
            _ => return Err("expected before or after".to_owned()),
        };
        self.fault(fault);
        Ok(())
    }

    fn finish(mut self) -> Script {
        match &mut self.step.answer {
            Answer::Code(coded) => (coded.description, coded.id) = (self.description, self.id),
            Answer::Fault(Fault::Status { retry_after, html, .. }) => {
                (*retry_after, *html) = (self.retry_after, self.html);
            }
            Answer::Usual | Answer::Fault(_) => {}
        }
        if let Sight::Fault(Fault::Status { retry_after, html, .. }) = &mut self.fetch.answer {
            (*retry_after, *html) = (self.retry_after, self.html);
        }
        if self.has_step {
            self.script.submit.push(self.step);
        }
        if self.has_fetch {
            self.script.fetch.push(self.fetch);
        }
        self.script
    }
}

/// Splits `key=value flag key="a value"`. Commas between the parts are allowed.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(separator);
    while !rest.is_empty() {
        let key_ends = rest.find(|c| separator(c) || c == '=').unwrap_or(rest.len());
        let (key, after_key) = rest.split_at(key_ends);
        let (value, after) = match after_key.strip_prefix('=') {
            None => ("", after_key),
            Some(quoted) if quoted.starts_with('"') => {
                quoted[1..].split_once('"').ok_or_else(|| format!("{key} has a quote that does not end"))?
            }
            Some(plain) => plain.split_at(plain.find(separator).unwrap_or(plain.len())),
        };
        found.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start_matches(separator);
    }
    Ok(found)
}

fn separator(c: char) -> bool {
    c.is_whitespace() || c == ','
}

fn number<N: FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| "expected a number".to_owned())
}

fn millis(value: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(value).map_err(|why| why.to_string())?;
    u64::try_from(duration.as_millis()).map_err(|why| why.to_string())
}

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after: None, html: false }
}

fn body(value: &str) -> Result<Fault, String> {
    match value {
        "empty" => Ok(Fault::Empty),
        "broken" => Ok(Fault::Broken),
        "html" => Ok(Fault::Html),
        "half" => Ok(Fault::Half),
        _ => Err("expected empty, broken, html or half".to_owned()),
    }
}

fn with_id(value: &str) -> Result<WithId, String> {
    match value {
        "no" => Ok(WithId::No),
        "new" => Ok(WithId::New),
        "existing" => Ok(WithId::Existing),
        _ => Err("expected no, new or existing".to_owned()),
    }
}

fn retry_after(value: &str) -> Result<RetryAfter, String> {
    match value.strip_prefix("date:") {
        Some(seconds) => Ok(RetryAfter::Date(number(seconds)?)),
        None => Ok(RetryAfter::Seconds(number(value)?)),
    }
}

fn sight(value: &str) -> Result<Sight, String> {
    match value {
        "unknown" => Ok(Sight::Unknown),
        "renumbered" => Ok(Sight::Renumbered),
        "truth" => Ok(Sight::Truth),
        "close" => Ok(Sight::Fault(Fault::Close)),
        "reset" => Ok(Sight::Fault(Fault::Reset)),
        "hang" => Ok(Sight::Fault(Fault::Hang)),
        other => match other.parse() {
            Ok(code) => Ok(Sight::Fault(status(code))),
            Err(_) => body(other).map(Sight::Fault),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_in_a_prompt_is_a_script() {
        let script =
            find("a red fox [sim: fail=\"Job Timeout\", duration=1500ms lose=after times=2] --ar 16:9").unwrap();

        assert_eq!(script.outcome, Some(Outcome::Failure("Job Timeout".to_owned())));
        assert_eq!(script.duration.unwrap().pick_ms(0), 1500);
        assert_eq!(script.submit, [SubmitStep::fault(Fault::Close).after_creation().times(2)]);
    }

    #[test]
    fn words_may_come_in_any_order() {
        let one: Script = "retry=date:3 html status=429 times=0".parse().unwrap();
        let other: Script = "times=0 status=429 html retry=date:3".parse().unwrap();

        assert_eq!(one, other);
        let fault = Fault::Status { status: 429, retry_after: Some(RetryAfter::Date(3)), html: true };
        assert_eq!(one.submit, [SubmitStep::fault(fault).times(0)]);
    }

    #[test]
    fn polls_are_scripted_apart_from_submits() {
        let script: Script = "fetch=502 fetch_times=3".parse().unwrap();

        assert!(script.submit.is_empty());
        assert_eq!(script.fetch, [FetchStep::fault(status(502)).times(3)]);
    }

    #[test]
    fn a_word_that_nobody_knows_is_told() {
        assert!("statsu=500".parse::<Script>().unwrap_err().contains("statsu"));
        assert!(find("[sim: statsu=500]").is_none());
    }
}
