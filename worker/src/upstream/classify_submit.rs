//! What the answer to a submit means. Money is lost or saved here.
//!
//! The rule behind the table: an answer is a refusal only if it says that no task was made. An accepting code with an
//! id is an acceptance, whatever the HTTP status; any other doubt is `Unanswered`. Words never decide that a submit was
//! accepted.
//!
//! | answer | observation |
//! |---|---|
//! | 1, 22, 21 with an id; without `code`, a task object | accepted |
//! | 22 without an id | refused: without id |
//! | 24 with any HTTP status, 4, 413, other 4xx; 3, 4, 9, 410 about the parent of an action | denied |
//! | words of a relay that lost an answer, whatever stands beside them; 503 after ten seconds | unanswered |
//! | 1 or 21 without an id, 22 with one that cannot be read, 3 or 9 with one, an unknown code | unanswered |
//! | 23, 30, queue full, no account, "try again"; 423, 425, 429, 499, 503 | refused: saturated |
//! | 401, 402, 403, 407, quota; 401 and 407 whatever the words | refused: barred |
//! | not sent; 521, 523, 525, 526, 530 | refused: unreachable |
//! | 301, 307, 308; 404, 405, 410, 421 or 426 that is not the family's; a page with 400 | refused: misaddressed |
//! | 9; a relay's words that it has not sent it | refused: fault |
//! | sent and lost; 302, 303, 408, 409, 424, other 5xx; HTML, nothing, broken JSON with 200 | unanswered |
//!
//! An unanswered submit may still have an id in its answer: a lead, which a poll of that task proves or refutes.

use std::time::Duration;

use mjq_producer::contract::{Code, Kind, TaskId};

use super::{
    Answer, Exchange, Failure,
    json::Json,
    refusal_text::{
        Tenor, says_answer_was_lost, says_field_is_missing, says_model_is_barred, says_queue_is_full,
        says_relay_lost_it, says_something_failed, says_task_is_unknown, says_time_ran_out, says_try_again,
        speaks_of_capacity, speaks_of_parent, tenor,
    },
    said::{Said, reason_of},
    salvage::{id_in, object_in},
    tidy::tidy,
};
use crate::lifecycle::{Busy, Observation};

/// What an answer may repeat of the request.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The prompt.
    pub prompt: Option<String>,
    /// The task that an action acts upon.
    pub parent: Option<String>,
}

impl Sent {
    /// Reads it from the request's body.
    #[must_use]
    pub fn in_body(body: &str) -> Self {
        let fields = Json::unread(body).fields();
        let text = |name: &str| fields.as_ref()?.get(name)?.string();
        // Callers may write the id as a number.
        let parent = || Some(fields.as_ref()?.get("taskId")?.scalar_id()?.as_str().to_owned());
        Self { prompt: text("prompt"), parent: parent() }
    }
}

/// Says what the answer to the submit of a job of this kind means.
#[must_use]
pub fn classify_submit(kind: Kind, sent: &Sent, exchange: &Exchange) -> Observation {
    let prompt = sent.prompt.as_deref().unwrap_or_default();
    let answer = match exchange {
        Ok(answer) => answer,
        Err(Failure::NotSent(reason)) => {
            return Observation::Refused { busy: Busy::Unreachable, retry_after: None, reason: tidy(reason) };
        }
        Err(Failure::Lost(reason)) => return Observation::Unanswered { reason: tidy(reason), lead: None },
    };
    let text = answer.text();
    let mut said = Said::read(&text);
    if said.is_none()
        && let Some(mended) = answer.mended()
    {
        return classify_submit(kind, sent, &Ok(mended));
    }
    if let Some(accepted) = said.as_ref().and_then(|said| accepted(answer, said)) {
        return accepted;
    }
    if let Some(said) = &mut said {
        said.words = without(prompt, &said.words);
    }
    let reason = without(prompt, &reason_of(answer, said.as_ref()));
    let page = if said.is_none() { text.to_lowercase() } else { String::new() };
    Reading { kind, sent, answer, text: &text, said: said.unwrap_or_default(), page, reason }.meaning()
}

/// The acceptance, if the answer is one.
fn accepted(answer: &Answer, said: &Said) -> Option<Observation> {
    let Said { code, task, task_object, queue_position, .. } = said;
    match code {
        Some(1 | 21) => Some(Observation::Accepted { task: task.clone()?, queue_position: 0 }),
        // A queued task has at least one task before it, even if the upstream does not tell how many.
        Some(22) => Some(Observation::Accepted { task: task.clone()?, queue_position: queue_position.unwrap_or(1) }),
        None if answer.status < 300 => Some(Observation::Accepted { task: task_object.clone()?, queue_position: 0 }),
        _ => None,
    }
}

/// The words without the prompt, which says nothing of what became of the job and must not appear in a log.
fn without(prompt: &str, words: &str) -> String {
    /// A shorter prompt may be part of other words by chance.
    const UNMISTAKABLE: usize = 16;
    /// Chinese says more with a character.
    const UNMISTAKABLE_CHINESE: usize = 4;
    let prompt = prompt.trim();
    let is_unmistakable =
        prompt.len() >= UNMISTAKABLE || prompt.chars().filter(|c| !c.is_ascii()).count() >= UNMISTAKABLE_CHINESE;
    if is_unmistakable { words.replace(prompt, "…") } else { words.to_owned() }
}

/// An answer while it is being read.
struct Reading<'a> {
    kind: Kind,
    sent: &'a Sent,
    answer: &'a Answer,
    text: &'a str,
    said: Said,
    /// The body in lower case, if it is not a JSON object.
    page: String,
    reason: String,
}

impl Reading<'_> {
    fn meaning(self) -> Observation {
        match (self.answer.status, self.said.code) {
            // Code 24 comes from a server that has read the prompt, which must not be sent again.
            (_, Some(24)) => self.banned(),
            // A server that refuses the key has done nothing, whatever timed out there ("登录超时").
            (401 | 407, _) | (200..=299, Some(401)) => self.refused(Busy::Barred),
            // Whatever the code or status: a server behind the relay may have taken the job.
            _ if self.says_answer_was_lost() => self.unanswered(),
            (200..=299, Some(code)) => self.by_code(code),
            (200..=299, None) if self.said.is_error && !self.said.shows_an_id => self.by_words_or(Self::unanswered),
            // HTML, nothing, broken JSON: a gateway before the upstream spoke, or the answer broke off.
            (200..=299, None) => self.unanswered(),
            // Relays wrap the family's codes in these statuses.
            (400 | 404..=406 | 409..=412 | 414..=424 | 426..=428, Some(code)) if is_family_code(code) => {
                self.by_code(code)
            }
            // Some servers report a full queue as an error of their own. If code and words agree, it took nothing.
            (500..=599, Some(23 | 30)) if tenor(&self.said.words) == Some(Tenor::Saturated) => {
                self.refused(Busy::Saturated)
            }
            (status, _) => self.by_status(status),
        }
    }

    fn says_answer_was_lost(&self) -> bool {
        let words = self.said.all_words();
        // A refusal for want of room may tell how long one waits for room.
        let is_about_room = self.answer.status == 429 || matches!(self.said.code, Some(23 | 30));
        says_answer_was_lost(&self.page) || says_relay_lost_it(&words) || !is_about_room && says_time_ran_out(&words)
    }

    /// Reads a code that is not an acceptance: [`accepted`] has handled those.
    fn by_code(self, code: i64) -> Observation {
        let is_about_parent = self.has_parent() && says_task_is_unknown(&self.said.words);
        match code {
            3 | 4 | 9 if is_about_parent => self.denied(Code::ParentGone),
            3 | 9 if self.said.task.is_some() => self.not_to_be_followed("a task id beside a refusal"),
            // The upstream has taken the job, now or before, but mjq cannot follow the task.
            1 | 21 => self.not_to_be_followed("no task id"),
            22 if self.said.shows_an_id => self.not_to_be_followed("a task id that cannot be read"),
            22 => self.refused(Busy::WithoutId),
            23 | 30 => self.refused(Busy::Saturated),
            3 => self.not_found(),
            4 => self.by_words_or(Self::invalid),
            5 => self.relay_trouble(),
            9 if says_queue_is_full(&self.said.words) => self.refused(Busy::Saturated),
            9 => self.by_words_or(|reading| reading.refused(Busy::Fault)),
            _ => self.by_unknown_code(code),
        }
    }

    fn not_to_be_followed(self, why: &str) -> Observation {
        let reason = tidy(&format!("{} ({why})", self.reason));
        Observation::Unanswered { lead: self.lead(), reason }
    }

    /// An id that may be the new task's, read from the JSON or salvaged.
    fn lead(&self) -> Option<TaskId> {
        let salvaged = || {
            let said = Said::read(&object_in(self.text)?)?;
            said.task.or(said.lead)
        };
        // The words about an action may name its parent, and a page contains other numbers.
        let is_about_one_task = !self.has_parent() && !self.page.starts_with('<');
        let lead = if self.page.is_empty() { self.said.lead.clone() } else { salvaged() };
        let lead = lead.or_else(|| is_about_one_task.then(|| id_in(self.text))?);
        lead.filter(|task| !self.is_parent(task))
    }

    /// Reads code 3: for a new task it means "no account available", which is C#'s way to say full; for an action "no
    /// such parent".
    fn not_found(self) -> Observation {
        let words = &self.said.words;
        if self.has_parent() && !speaks_of_capacity(words) && speaks_of_parent(words) {
            return self.denied(Code::ParentGone);
        }
        self.refused(Busy::Saturated)
    }

    /// Whether this is the task that an action acts upon, and so not the new task. (An input is for that task itself.)
    fn is_parent(&self, task: &TaskId) -> bool {
        self.kind == Kind::Action && self.sent.parent.as_deref() == Some(task.as_str())
    }

    /// Whether the job acts upon an earlier task, which may be gone.
    fn has_parent(&self) -> bool {
        matches!(self.kind, Kind::Action | Kind::Modal)
    }

    /// Reads code 5, new-api's "unknown": nearly all its causes come after its own request has left.
    fn relay_trouble(self) -> Observation {
        const BEFORE_SENDING: [&str; 7] = [
            "read_request_body_failed",
            "get_request_body_failed",
            "marshal_request_body_failed",
            "create_request_failed",
            // one-hub's, when it has no provider for the job.
            "无法获取provider",
            "无法获取midjourney provider",
            "无法解析模型",
        ];
        if BEFORE_SENDING.iter().any(|text| self.said.words.contains(text)) {
            return self.refused(Busy::Fault);
        }
        self.by_words_or(Self::unanswered)
    }

    /// Reads C#'s answer to a request that it refuses by an exception: -1, `"success": false` and the exception's
    /// words.
    fn exception(self) -> Observation {
        const NO_REASON: &str = "操作失败";
        if self.said.words.is_empty() || self.said.words == NO_REASON {
            return self.unanswered();
        }
        self.by_words_or(Self::invalid)
    }

    /// Reads an unknown code, which may be a success in an unknown dialect.
    fn by_unknown_code(self, code: i64) -> Observation {
        let looks_like_success = code == 0 || (200..300).contains(&code);
        if self.said.task.is_some() || looks_like_success {
            return self.unanswered();
        }
        if code == -1 && self.said.is_no_success && !self.said.shows_an_id {
            return self.exception();
        }
        match u16::try_from(code) {
            // `{"code": 401}` with HTTP 200: the body has the status.
            Ok(status @ 400..600) => self.by_status(status),
            _ => self.by_words_or(Self::unanswered),
        }
    }

    fn by_status(self, status: u16) -> Observation {
        match status {
            // A server answers "see other", often as 302, once it has done what was asked.
            302 | 303 => self.unanswered(),
            300..=399 => {
                let reason = format!("{}: the address redirects elsewhere, and nothing was submitted", self.reason);
                Observation::Refused { busy: Busy::Misaddressed, retry_after: None, reason: tidy(&reason) }
            }
            403 if tenor(&self.said.all_words()) == Some(Tenor::Banned) => self.banned(),
            // The breaker stays closed: it would make other jobs wait for a model that only this job asks for.
            403 if says_model_is_barred(&self.said.words) => self.denied(Code::InvalidRequest),
            401 | 402 | 403 | 407 => self.refused(Busy::Barred),
            404 if self.has_parent() && says_task_is_unknown(&self.said.words) => self.denied(Code::ParentGone),
            410 if self.has_parent() => self.denied(Code::ParentGone),
            404 | 405 | 410 | 421 | 426 => {
                let reason = tidy(&format!("{}: there is no such address; check the submit path", self.reason));
                Observation::Refused { busy: Busy::Misaddressed, retry_after: self.answer.retry_after, reason }
            }
            // Cloudflare's: the origin refuses connections, cannot be reached, fails at TLS, or has no address.
            521 | 523 | 525 | 526 | 530 => self.refused(Busy::Unreachable),
            413 => self.denied(Code::TooLarge),
            503 if self.came_too_late_for_a_refusal() => self.unanswered(),
            423 | 425 | 429 | 499 | 503 => self.refused(Busy::Saturated),
            // Too slow; "being done already"; a server behind it failed.
            408 | 409 | 424 => self.unanswered(),
            // A body that broke off may have been a relay's "I lost the answer".
            400..=499 if self.answer.flaw.is_some() => self.unanswered(),
            // The family answers in JSON: a page comes from a gateway that does not serve this host, or that wants
            // HTTPS.
            400..=499 if self.page.starts_with('<') => self.refused(Busy::Misaddressed),
            // The answer says only that something went wrong.
            400 if self.said.code == Some(0) && self.said.words.is_empty() => self.unanswered(),
            400..=499 => self.by_words_or(Self::invalid),
            // new-api reads its own database, and chooses among its channels, before it sends anything.
            _ if self.said.name == "new_api_error" => match tenor(&self.said.words) {
                Some(Tenor::NotSent) => self.refused(Busy::Fault),
                Some(Tenor::Barred) => self.refused(Busy::Barred),
                Some(Tenor::Saturated) => self.refused(Busy::Saturated),
                _ => self.unanswered(),
            },
            500 if self.said.code == Some(4) && tenor(&self.said.words) == Some(Tenor::Barred) => {
                self.refused(Busy::Barred)
            }
            // A fork of one-api checks requests, and answers invalid ones with 500.
            500 if self.said.code == Some(4) && says_field_is_missing(&self.said.words) => {
                self.denied(Code::InvalidRequest)
            }
            _ => self.unanswered(),
        }
    }

    /// Whether a 503 is rather a gateway's time-out: a server without room says so at once, or in words, or names a
    /// time.
    fn came_too_late_for_a_refusal(&self) -> bool {
        const AT_ONCE: Duration = Duration::from_secs(10);
        let says_why = || tenor(&self.said.all_words()).is_some() || says_try_again(&self.said.words);
        self.answer.took >= AT_ONCE && self.answer.retry_after.is_none() && !says_why()
    }

    fn by_words_or(self, otherwise: impl FnOnce(Self) -> Observation) -> Observation {
        match tenor(&self.said.all_words()) {
            Some(Tenor::MaybeTaken) => self.unanswered(),
            Some(Tenor::NotSent) => self.refused(Busy::Fault),
            Some(Tenor::Barred) => self.refused(Busy::Barred),
            Some(Tenor::Saturated) => self.refused(Busy::Saturated),
            Some(Tenor::Banned) => self.banned(),
            None => otherwise(self),
        }
    }

    fn invalid(self) -> Observation {
        let words = self.said.all_words();
        if says_something_failed(&words) {
            return self.unanswered();
        }
        if says_try_again(&words) {
            return self.refused(Busy::Saturated);
        }
        self.denied(Code::InvalidRequest)
    }

    fn banned(self) -> Observation {
        let reason = match &self.said.banned_word {
            Some(word) => tidy(&format!("{} ({word})", self.reason)),
            None => self.reason,
        };
        Observation::Denied { code: Code::BannedPrompt, reason }
    }

    fn refused(self, busy: Busy) -> Observation {
        Observation::Refused { busy, retry_after: self.answer.retry_after, reason: self.reason }
    }

    fn denied(self, code: Code) -> Observation {
        Observation::Denied { code, reason: self.reason }
    }

    fn unanswered(self) -> Observation {
        Observation::Unanswered { lead: self.lead(), reason: self.reason }
    }
}

/// Whether the family uses this code. Other codes beside an HTTP error only repeat its status.
fn is_family_code(code: i64) -> bool {
    matches!(code, 1 | 3 | 4 | 5 | 9 | 21 | 22 | 23 | 24 | 30)
}
