//! The frame around all pages.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{SCRIPT, STYLE};
use crate::admin::Admin;

/// The frame of a page.
pub(super) struct Layout {
    queue: String,
    is_draining: bool,
}

impl Layout {
    /// How often a page refreshes itself while something changes on it.
    const BRISK: Duration = Duration::from_secs(2);
    /// The same where little changes: only ages, and now and then a retry.
    const CALM: Duration = Duration::from_secs(10);

    pub(super) fn of(admin: &Admin) -> Self {
        Self { queue: admin.ledger.queue().as_str().to_owned(), is_draining: admin.health.is_draining() }
    }

    /// A page that refreshes itself every two seconds.
    pub(super) fn live(&self, title: &str, content: Markup) -> Markup {
        self.page(title, content, Some(Self::BRISK))
    }

    /// A page that refreshes itself every ten seconds.
    pub(super) fn calm(&self, title: &str, content: Markup) -> Markup {
        self.page(title, content, Some(Self::CALM))
    }

    /// A page that does not refresh itself.
    pub(super) fn still(&self, title: &str, content: Markup) -> Markup {
        self.page(title, content, None)
    }

    fn page(&self, title: &str, content: Markup, every: Option<Duration>) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    title { (title) " · mjq " (self.queue) }
                    link rel="icon" href="/favicon.svg";
                    @if let Some(every) = every {
                        noscript { meta http-equiv="refresh" content=(every.as_secs()); }
                    }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        a .logo href="/" { img src="/favicon.svg" alt=""; "mjq" }
                        span .queue { (self.queue) }
                        form action="/jobs" {
                            input type="search" name="id" placeholder="Find a job by its id" aria-label="Job id"
                                maxlength="128" autocomplete="off" spellcheck="false";
                        }
                    }
                    main data-live=[every.map(|every| every.as_millis())] {
                        @if self.is_draining {
                            div .banner { b { "This pod is stopping." } "It finishes what it holds and takes nothing new." }
                        }
                        (content)
                    }
                    footer {
                        span { "mjq " (env!("CARGO_PKG_VERSION")) }
                        a href="/api/v1/queue" { "API" }
                        a href="/metrics" { "Metrics" }
                        a href="/readyz" { "Readiness" }
                    }
                    @if every.is_some() {
                        script { (PreEscaped(SCRIPT)) }
                    }
                }
            }
        }
    }
}

/// The content of a page that has only a message.
pub(super) fn message(title: &str, words: Markup) -> Markup {
    html! {
        div .title { h1 { (title) } }
        p .soft { (words) }
    }
}
