//! What all pages have around them.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{SCRIPT, STYLE};
use crate::admin::Admin;

/// The frame of a page.
pub(super) struct Layout {
    queue: String,
    is_draining: bool,
}

impl Layout {
    pub(super) fn of(admin: &Admin) -> Self {
        Self { queue: admin.ledger.queue().as_str().to_owned(), is_draining: admin.health.is_draining() }
    }

    /// A page that shows itself anew every two seconds.
    pub(super) fn live(&self, title: &str, content: Markup) -> Markup {
        self.page(title, content, true)
    }

    /// A page that stays as it is.
    pub(super) fn still(&self, title: &str, content: Markup) -> Markup {
        self.page(title, content, false)
    }

    fn page(&self, title: &str, content: Markup, is_live: bool) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    title { (title) " · mjq " (self.queue) }
                    link rel="icon" href="/favicon.svg";
                    @if is_live {
                        noscript { meta http-equiv="refresh" content="2"; }
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
                    main data-live[is_live] {
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
                    @if is_live {
                        script { (PreEscaped(SCRIPT)) }
                    }
                }
            }
        }
    }
}

/// A page's content when there is nothing but something to say.
pub(super) fn message(title: &str, words: Markup) -> Markup {
    html! {
        div .title { h1 { (title) } }
        p .soft { (words) }
    }
}
