//! What has to come of a submit, by where the worker dies, how the answer is lost, and what is then done about it.
//!
//! ARCHITECTURE.md shows this table; [`crate::matrix`] shows that the worker keeps to it.

/// What becomes of a submit whose fate nobody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    /// It fails, and the task cannot be found.
    Fail,
    /// It is made again, and the task cannot be found.
    Resubmit,
    /// The task is searched for by its `state`; if there is none, it fails.
    Lookup,
    /// The upstream's callbacks tell of the task; if there are none, it fails.
    Hook,
}

/// All policies, in the order of the table.
pub(crate) const POLICIES: [Policy; 4] = [Policy::Fail, Policy::Resubmit, Policy::Lookup, Policy::Hook];

/// How the first submit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// As usual: the task is created, and its id comes back.
    Given,
    /// Not at all, or in no useful way; nothing was created.
    LostBefore(usize),
    /// The same, and the task was created.
    LostAfter(usize),
}

/// The end of a job as everybody can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: String,
    pub(crate) billed: usize,
    pub(crate) attempts: u64,
    pub(crate) possible_duplicate: bool,
    pub(crate) adopted: bool,
}

/// The points at which the worker can die, in the order in which it comes by them; `None` is that it does not.
pub(crate) const CRASH_POINTS: [Option<&str>; 7] = [
    None,
    Some("after_claim"),
    Some("before_post"),
    Some("after_post"),
    Some("after_answer"),
    Some("before_settle"),
    Some("after_settle"),
];

/// The kinds of lost answers by name.
pub(crate) const LOST: [&str; 10] = ["close", "reset", "empty", "half", "broken", "html", "500", "502", "504", "hang"];

/// What has to come of it.
pub(crate) fn expected(policy: Policy, crash: Option<&str>, answer: Answer) -> Outcome {
    let creates = |answer| usize::from(!matches!(answer, Answer::LostBefore(_)));
    let never_sent = matches!(crash, Some("after_claim" | "before_post"));
    let was_written = matches!(crash, None | Some("after_settle"));
    let billed = if never_sent { 0 } else { creates(answer) };
    let completed = |billed, attempts, possible_duplicate, adopted| Outcome {
        code: "ok".to_owned(),
        billed,
        attempts,
        possible_duplicate,
        adopted,
    };
    if answer == Answer::Given && was_written {
        return completed(1, 1, false, false);
    }
    // From here on nobody knows: the intent is written down, and an answer is not.
    match policy {
        Policy::Lookup | Policy::Hook if billed == 1 => completed(1, 1, false, true),
        Policy::Fail | Policy::Lookup | Policy::Hook => Outcome {
            code: "submit_unknown".to_owned(),
            billed,
            attempts: 1,
            possible_duplicate: false,
            adopted: false,
        },
        // What was never sent could not lose its answer: the second submit does.
        Policy::Resubmit if never_sent && answer != Answer::Given => completed(creates(answer) + 1, 3, true, false),
        Policy::Resubmit => completed(billed + 1, 2, true, false),
    }
}

/// All answers that a first submit can get.
pub(crate) fn answers() -> Vec<Answer> {
    let lost = 0..LOST.len();
    let lost = lost.flat_map(|kind| [Answer::LostBefore(kind), Answer::LostAfter(kind)]);
    [Answer::Given].into_iter().chain(lost).collect()
}

/// An outcome in a few words.
pub(crate) fn words(outcome: &Outcome) -> String {
    let Outcome { code, billed, attempts, possible_duplicate, adopted } = outcome;
    let duplicate = if *possible_duplicate { " dup?" } else { "" };
    let adopted = if *adopted { " adopted" } else { "" };
    format!("{code}, billed {billed}, attempts {attempts}{duplicate}{adopted}")
}

/// The whole table as ARCHITECTURE.md shows it: what comes to the same is one row.
#[cfg(test)]
fn document() -> String {
    let routes = |policy| match policy {
        Policy::Fail => "`fail`, no route",
        Policy::Resubmit => "`resubmit`, no route",
        Policy::Lookup => "`fail`, found by `state`",
        Policy::Hook => "`fail`, told by hook",
    };
    // By what comes of the three kinds of answers: which crash points, under which policies.
    let mut rows: Vec<([String; 3], Vec<&str>, Vec<&str>)> = Vec::new();
    for policy in POLICIES {
        let mut of_policy: Vec<([String; 3], Vec<&str>)> = Vec::new();
        for crash in CRASH_POINTS {
            let kinds = [Answer::Given, Answer::LostBefore(0), Answer::LostAfter(0)];
            let cells = kinds.map(|answer| words(&expected(policy, crash, answer)));
            let crash = crash.unwrap_or("not");
            match of_policy.iter_mut().find(|(same, _)| *same == cells) {
                Some((_, crashes)) => crashes.push(crash),
                None => of_policy.push((cells, vec![crash])),
            }
        }
        for (cells, crashes) in of_policy {
            match rows.iter_mut().find(|(same, dies, _)| *same == cells && *dies == crashes) {
                Some((_, _, policies)) => policies.push(routes(policy)),
                None => rows.push((cells, crashes, vec![routes(policy)])),
            }
        }
    }
    let mut table =
        "| unknown | dies at | answered | lost, no task was made | lost, a task was made |\n|---|---|---|---|---|\n"
            .to_owned();
    for ([given, before, after], crashes, policies) in rows {
        let (policies, crashes) = (policies.join("; "), crashes.join(", "));
        table.push_str(&format!("| {policies} | {crashes} | {given} | {before} | {after} |\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_billed_twice_unless_the_policy_allows_it_and_the_event_says_so() {
        for policy in POLICIES {
            for crash in CRASH_POINTS {
                for answer in answers() {
                    let outcome = expected(policy, crash, answer);

                    assert!(outcome.billed <= 1 || (policy == Policy::Resubmit && outcome.possible_duplicate));
                    assert!(outcome.billed as u64 <= outcome.attempts);
                }
            }
        }
    }

    #[test]
    fn the_architecture_page_shows_this_table() -> std::io::Result<()> {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md"))?;
        let table = document();

        assert!(page.contains(&table), "ARCHITECTURE.md has to contain\n{table}");
        Ok(())
    }
}
