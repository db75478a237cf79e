//! The judge: whether what was seen is what mjq promises.

use mjq_producer::contract::{Event, EventType, Job};

use crate::books::Books;
use crate::story::{Story, id};

/// Everything that is not as it should be, in words; nothing when all is well.
pub(crate) fn complaints(story: &Story, events: &[Event], books: Option<&Books>) -> Vec<String> {
    let of_jobs = story.jobs.iter().flat_map(|job| complaints_about(job, events));
    let strangers = events.iter().filter(|event| story.jobs.iter().all(|job| id(job) != event.job));
    let strangers = strangers.map(|event| format!("an event came for {:?}, which nobody enqueued", event.job));
    let of_books = books.map(|books| complaints_about_money(story, books)).unwrap_or_default();
    of_jobs.chain(strangers).chain(of_books).collect()
}

fn complaints_about(job: &Job, events: &[Event]) -> Vec<String> {
    let (id, state) = (id(job), job.request.state().unwrap_or_default());
    let its: Vec<&Event> = events.iter().filter(|event| event.job == id).collect();
    let mut complaints = Vec::new();
    match its.len() {
        0 => complaints.push(format!("{id}: no event came")),
        1 => {}
        count => complaints.push(format!("{id}: {count} events came, expected one")),
    }
    for event in its {
        if event.event_type != EventType::Completed {
            let Event { event_type, code, data, .. } = event;
            complaints.push(format!("{id}: {event_type} with {code}: {}", data.reason));
        } else if event.image_url.is_empty() {
            complaints.push(format!("{id}: completed without a picture"));
        }
        if event.state != state {
            complaints.push(format!("{id}: the state came back as {:?}, expected {state:?}", event.state));
        }
    }
    complaints
}

fn complaints_about_money(story: &Story, books: &Books) -> Vec<String> {
    let jobs = story.jobs.len() as u64;
    let mut complaints = Vec::new();
    if books.created != jobs {
        complaints.push(format!("the API created {} tasks for {jobs} jobs", books.created));
    }
    if books.created_again > 0 {
        complaints.push(format!("{} jobs were paid for more than once", books.created_again));
    }
    if books.in_line == 0 {
        complaints.push("no submit was answered with code 22, which this demo is to show".to_owned());
    }
    complaints
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Code, EventData};

    use super::*;
    use crate::story::tests::a_story;

    const BOOKS: Books = Books { created: 3, created_again: 0, submits: 3, in_line: 1 };

    fn an_event(job: &Job) -> Event {
        Event {
            event_type: EventType::Completed,
            job: id(job).to_owned(),
            kind: job.kind.as_str().to_owned(),
            state: job.request.state().unwrap_or_default(),
            task: "17".to_owned(),
            status: "SUCCESS".to_owned(),
            code: Code::Ok,
            image_url: "http://sim/17.png".to_owned(),
            data: EventData::default(),
        }
    }

    fn events(story: &Story) -> Vec<Event> {
        story.jobs.iter().map(an_event).collect()
    }

    #[test]
    fn one_good_event_for_each_job_is_all_that_is_asked_for() {
        let story = a_story();

        assert_eq!(complaints(&story, &events(&story), Some(&BOOKS)), [""; 0]);
        assert_eq!(complaints(&story, &events(&story), None), [""; 0]);
    }

    #[test]
    fn an_event_that_is_missing_and_one_too_many_are_told() {
        let story = a_story();
        let mut events = events(&story);
        events[0] = events[1].clone();

        let complaints = complaints(&story, &events, None);

        assert_eq!(complaints, ["fox: no event came", "lighthouse: 2 events came, expected one"]);
    }

    #[test]
    fn a_state_that_came_back_otherwise_is_told() {
        let story = a_story();
        let mut events = events(&story);
        events[0].state.push(' ');

        let complaints = complaints(&story, &events, None);

        assert_eq!(complaints, [r#"fox: the state came back as "order 1842 🦊 ", expected "order 1842 🦊""#]);
    }

    #[test]
    fn a_failure_is_told_with_its_reason() {
        let story = a_story();
        let mut events = events(&story);
        (events[1].event_type, events[1].code) = (EventType::Failed, Code::UpstreamFailed);
        events[1].data.reason = "Job Timeout".to_owned();

        let complaints = complaints(&story, &events, None);

        assert_eq!(complaints, ["lighthouse: failed with upstream_failed: Job Timeout"]);
    }

    #[test]
    fn more_tasks_than_jobs_are_told_whatever_the_events_say() {
        let story = a_story();
        let books = Books { created: 4, created_again: 1, ..BOOKS };

        let complaints = complaints(&story, &events(&story), Some(&books));

        assert_eq!(complaints, ["the API created 4 tasks for 3 jobs", "1 jobs were paid for more than once"]);
    }
}
