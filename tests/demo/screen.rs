//! Where the demo is seen: a terminal with live lines at its lower end, or a plain sequence of lines.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Standard output.
pub(crate) struct Screen {
    live: Option<MultiProgress>,
    has_colours: bool,
}

/// Takes a live line away when dropped.
pub(crate) struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Screen {
    pub(crate) fn of_stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let live = is_terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        let has_colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        Self { live, has_colours }
    }

    /// Prints a line, above all live lines.
    pub(crate) fn line(&self, text: &str) {
        let print = || {
            // A reader who has seen enough (`| head`) is no reason to stop in the middle.
            let _ = writeln!(std::io::stdout(), "{text}");
        };
        match &self.live {
            Some(live) => live.suspend(print),
            None => print(),
        }
    }

    /// The live lines, if this is a terminal.
    pub(crate) fn live(&self) -> Option<&MultiProgress> {
        self.live.as_ref()
    }

    /// Says what is being done: with a spinner while it lasts, or with a line.
    pub(crate) fn working(&self, what: &str) -> Option<Cleared> {
        let Some(live) = &self.live else {
            self.line(what);
            return None;
        };
        let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let spinner = live.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        spinner.enable_steady_tick(Duration::from_millis(100));
        Some(Cleared(spinner))
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.painted("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.painted("2", text)
    }

    pub(crate) fn red(&self, text: &str) -> String {
        self.painted("31", text)
    }

    pub(crate) fn green(&self, text: &str) -> String {
        self.painted("32", text)
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.has_colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Text from outside must not steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
