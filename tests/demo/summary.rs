//! What has happened, in figures.

use std::time::Duration;

use mjq_producer::contract::{Event, EventType};

use crate::books::Books;
use crate::story::Story;

/// The closing lines.
pub(crate) fn of(story: &Story, events: &[Event], books: Option<&Books>, took: Duration) -> String {
    let completed = events.iter().filter(|event| event.event_type == EventType::Completed).count();
    let mut rows = vec![
        ("jobs", format!("{}: {} and the upscale of one", story.jobs.len(), pictures(story))),
        ("events", format!("{}, of them {completed} completed", events.len())),
    ];
    match books {
        Some(books) => rows.extend([
            ("tasks", format!("{} created by the API, by its own books{}", books.created, duplicates(books))),
            (
                "code 22",
                format!(
                    "answered to {} of {} submits: accepted, but in line; so never sent again",
                    books.in_line, books.submits
                ),
            ),
        ]),
        None => rows.push(("tasks", format!("{}, by their ids in the events", different_tasks(events)))),
    }
    rows.push(("time", format!("{:.1} s from the first job to the last event", took.as_secs_f64())));
    let rows: Vec<String> = rows.iter().map(|(name, what)| format!("  {name:9} {what}")).collect();
    format!("\n{}", rows.join("\n"))
}

fn pictures(story: &Story) -> String {
    match story.pictures() {
        1 => "1 picture".to_owned(),
        count => format!("{count} pictures"),
    }
}

fn duplicates(books: &Books) -> String {
    match books.created_again {
        0 => ": none twice".to_owned(),
        count => format!(": {count} MORE THAN ONCE"),
    }
}

fn different_tasks(events: &[Event]) -> usize {
    let mut tasks: Vec<&str> = events.iter().map(|event| event.task.as_str()).filter(|it| !it.is_empty()).collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks.len()
}
