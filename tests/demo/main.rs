//! `cargo demo`: mjq at work, from one command in a clean clone.
//!
//! It starts everything that mjq needs, lets some jobs through, shows them on their way and their events as they come,
//! and then checks what it has shown: a demo that only looks good would prove nothing. Nothing of it stays behind.
//!
//! In reading order: [`args`] says what can be asked for, [`upstream`] which API is talked to, [`stage`] starts the
//! processes, [`story`] is what they are given to do, [`play`] lets it happen before the eyes of a [`board`] on the
//! [`screen`], [`verdict`] judges, [`summary`] tells, and [`stay`] is for those who want to go on by themselves.

mod args;
mod upstream;

mod stage;

mod story;

mod play;

mod board;
mod look;
mod screen;

mod books;
mod summary;
mod verdict;

mod interrupt;
mod stay;

use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use interrupt::Interrupt;
use play::Events;
use screen::Screen;
use stage::Stage;
use story::Story;
use upstream::UpstreamChoice;

/// How a shell tells that a program was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::read();
    let screen = Screen::of_stdout();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&screen, &error.into()),
    };
    let exit = runtime.block_on(run(&args, &screen)).unwrap_or_else(|error| failed(&screen, &error));
    // A build that still runs is not waited for.
    runtime.shutdown_background();
    exit
}

async fn run(args: &Args, screen: &Screen) -> anyhow::Result<ExitCode> {
    let mut interrupt = Interrupt::listen()?;
    let choice = UpstreamChoice::of_environment(args.yes)?;
    screen.line(choice.introduction());
    let Some(stage) = interrupt.or(Stage::start(&choice, screen)).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let stage = stage?;
    let exit = match interrupt.or(show(&stage, screen)).await {
        None => Ok(ExitCode::from(INTERRUPTED)),
        Some(Ok((exit, mut events))) if args.stay => {
            // Ctrl-C is how a demo that stays is meant to end: it does not change the verdict.
            interrupt.or(stay::stay(&stage, &mut events, screen)).await.transpose().map(|_| exit)
        }
        Some(shown) => shown.map(|(exit, _)| exit),
    };
    stage.end().await;
    exit
}

/// Lets the story happen and judges it.
async fn show(stage: &Stage, screen: &Screen) -> anyhow::Result<(ExitCode, Events)> {
    let began = Instant::now();
    let story = Story::of(&stage.upstream);
    let (played, events) = play::play(stage, &story, screen).await?;
    let books = stage.upstream.books();
    let complaints = verdict::complaints(&story, &played, books.as_ref());
    screen.line(&summary::of(&story, &played, books.as_ref(), began.elapsed()));
    if complaints.is_empty() {
        screen.line(&screen.green("✓ All as promised. Play with it yourself: cargo demo -- --stay"));
        return Ok((ExitCode::SUCCESS, events));
    }
    let lines: Vec<String> = complaints.iter().map(|complaint| format!("  - {complaint}")).collect();
    screen.line(&screen.red(&format!("✗ This did not go as it should:\n{}", lines.join("\n"))));
    screen.line(&format!("The worker's last lines:\n{}", stage.last_worker_lines()));
    Ok((ExitCode::FAILURE, events))
}

fn failed(screen: &Screen, error: &anyhow::Error) -> ExitCode {
    screen.line(&screen.red(&format!("✗ {error:#}")));
    ExitCode::FAILURE
}
