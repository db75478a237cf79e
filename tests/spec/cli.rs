//! The command line: what it prints, and what it exits with.

use std::time::Duration;

use anyhow::Context;
use mjq_harness::free_port;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Cli, a_stack, foxes, imagine, one_event_for_each, submitted_once};

#[tokio::test]
async fn enqueue_prints_the_jobs_id() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let plain = Cli::on(&stack, &["enqueue", "imagine", "--prompt", "a red fox", "--id", "order-1842"])?.run().await?;
    let json = Cli::on(&stack, &["enqueue", "imagine", "--prompt", "a blue fox", "--json"])?.run().await?;

    assert_eq!((plain.code, plain.stdout.as_str()), (0, "order-1842\n"));
    let told: Value = serde_json::from_str(&json.stdout)?;
    let id = told["job"].as_str().unwrap_or_default();
    for job in ["order-1842", id] {
        assert_eq!(stack.event_of(job).await?.outcome(), "completed", "{job}");
    }
    Ok(())
}

#[tokio::test]
async fn enqueue_and_wait_shows_the_result_and_exits_with_0() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let words = ["enqueue", "imagine", "--prompt", "a red fox", "--id", "a", "--state", "é\n🦊", "--wait"];

    let plain = Cli::on(&stack, &words)?.run().await?;
    let json = Cli::on(&stack, &[&words[..], &["--json"]].concat())?.run().await?;

    let event = stack.event_of("a").await?;
    assert_eq!((plain.code, json.code), (0, 0), "{plain:?} {json:?}");
    assert!(plain.stdout.contains(event.field("image_url")), "{plain:?}");
    let told: Value = serde_json::from_str(&json.stdout)?;
    assert_eq!((&told["job"], &told["state"], &told["code"]), (&"a".into(), &"é\n🦊".into(), &"ok".into()));
    assert_eq!(told["data"]["task"]["prompt"], "a red fox");
    // The second call was about the same job.
    submitted_once(&stack, 1)
}

#[tokio::test]
async fn who_waits_is_told_that_no_worker_has_taken_the_job() -> anyhow::Result<()> {
    let mut stack = a_stack().workers(0).await?;

    let mut waiting = Cli::on(&stack, &["enqueue", "imagine", "--prompt", "a red fox", "--wait"])?.start()?;
    let mut said = BufReader::new(waiting.stderr.take().context("it is piped")?).lines();
    let said = tokio::time::timeout(Duration::from_secs(30), said.next_line()).await??.unwrap_or_default();

    assert!(said.starts_with("No worker has taken"), "{said}");
    stack.add_worker().await?;
    let output = tokio::time::timeout(Duration::from_secs(30), waiting.wait_with_output()).await??;
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_job_without_a_result_exits_with_1_and_says_why() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let words = ["enqueue", "imagine", "--prompt", "a red fox [sim: fail=\"Job Timeout\"]", "--wait"];
    let failed = Cli::on(&stack, &words)?.run().await?;
    stack.xadd_job(&imagine("taken", "a blue fox")).await?;
    stack.event_of("taken").await?;
    let words = ["enqueue", "imagine", "--prompt", "another", "--id", "taken", "--wait", "--json"];
    let conflict = Cli::on(&stack, &words)?.run().await?;

    assert_eq!((failed.code, conflict.code), (1, 1));
    assert!(failed.stdout.contains("Job Timeout") && failed.stdout.contains("upstream_failed"), "{failed:?}");
    assert!(conflict.stdout.contains("\"conflict\""), "{conflict:?}");
    Ok(())
}

#[tokio::test]
async fn a_button_is_pressed_and_follow_ups_are_asked_for_from_the_command_line() -> anyhow::Result<()> {
    let stack = a_stack().await?;

    let words = ["enqueue", "imagine", "--prompt", "a red fox", "--id", "grid", "--then", "U1", "V2", "--wait"];
    assert_eq!(Cli::on(&stack, &words)?.run().await?.code, 0);
    let by_job = Cli::on(&stack, &["enqueue", "action", "--job", "grid", "--button", "U3", "--wait"])?.run().await?;
    let grid = stack.event_of("grid").await?;
    let custom_id = grid.data()?["buttons"][3]["customId"].as_str().unwrap_or_default().to_owned();
    let words = ["enqueue", "action", "--task", grid.field("task"), "--custom-id", &custom_id, "--wait"];
    let by_task = Cli::on(&stack, &words)?.run().await?;

    assert_eq!((by_job.code, by_task.code), (0, 0), "{by_job:?} {by_task:?}");
    one_event_for_each(&stack, 5).await?;
    submitted_once(&stack, 5)
}

#[tokio::test]
async fn events_are_shown_as_lines_of_json_without_being_taken_from_anybody() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.wire.xadd_jobs(&[imagine("a", "a red fox"), imagine("b", "a blue fox [sim: fail=no]")]).await?;
    one_event_for_each(&stack, 2).await?;

    let shown = Cli::on(&stack, &["events", "--json"])?.run().await?;
    let consumed = Cli::on(&stack, &["events", "--json", "--group", "billing"])?.run().await?;
    let again = Cli::on(&stack, &["events", "--json", "--group", "billing"])?.run().await?;
    let plain = Cli::on(&stack, &["events"])?.run().await?;

    for run in [&shown, &consumed] {
        let events: Vec<Value> = run.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let mut told: Vec<_> =
            events.iter().filter_map(|event| Some((event["job"].as_str()?, event["code"].as_str()?))).collect();
        told.sort_unstable();
        assert_eq!((run.code, told.as_slice()), (0, &[("a", "ok"), ("b", "upstream_failed")][..]));
    }
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    assert_eq!((plain.code, plain.stdout.lines().count()), (0, 2));
    Ok(())
}

#[tokio::test]
async fn cancel_ends_a_job_from_the_command_line() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("order-1842", "a red fox [sim: stuck=46%]")).await?;

    assert_eq!(Cli::on(&stack, &["cancel", "order-1842"])?.run().await?.code, 0);

    assert_eq!(stack.event_of("order-1842").await?.code(), "cancelled");
    Ok(())
}

#[tokio::test]
async fn bad_usage_exits_with_64_and_says_what_was_expected() -> anyhow::Result<()> {
    for (words, said) in [
        (&["dream"][..], "dream"),
        (&["enqueue", "imagine"], "--prompt"),
        (&["enqueue", "imagine", "--prompt", ""], "prompt"),
        (&["enqueue", "imagine", "--prompt", "x", "--id", "a b"], "job id"),
        (&["enqueue", "imagine", "--prompt", "x", "--image", "/nowhere.png"], "/nowhere.png"),
        (&["enqueue", "action", "--job", "a"], "--button"),
        (&["worker", "--dream"], "--dream"),
    ] {
        let run = Cli::new(words)?.run().await?;

        assert_eq!(run.code, 64, "{words:?} {run:?}");
        assert!(run.stderr.contains(said) && run.stdout.is_empty(), "{words:?} {run:?}");
    }
    Ok(())
}

#[tokio::test]
async fn help_and_version_exit_with_0() -> anyhow::Result<()> {
    for words in [&["--help"][..], &["--version"], &["worker", "--help"], &["enqueue", "imagine", "--help"]] {
        let run = Cli::new(words)?.run().await?;

        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
        assert!(run.stdout.contains("mjq"), "{words:?} {run:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_redis_that_cannot_be_reached_exits_with_69_and_does_not_print_its_password() -> anyhow::Result<()> {
    let nowhere = format!("redis://:hunter2@127.0.0.1:{}/", free_port()?);

    for words in [&["enqueue", "imagine", "--prompt", "x"][..], &["events"], &["cancel", "a"]] {
        let run = Cli::new(words)?.set("MJQ_REDIS_URL", &nowhere).run().await?;

        assert_eq!(run.code, 69, "{words:?} {run:?}");
        assert!(run.stderr.contains("Redis") && !run.stderr.contains("hunter2"), "{words:?} {run:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_setting_exits_with_78_and_names_variable_value_and_what_was_expected() -> anyhow::Result<()> {
    for (variable, value, expected) in [
        ("MJQ_LEASE_MS", "soon", "number"),
        ("MJQ_LEASE_MS", "999", "1000"),
        ("MJQ_SLOTS", "0", "1"),
        ("MJQ_QUEUE", "a b", "characters"),
        ("MJQ_UPSTREAM_URL", "nowhere", "URL"),
        ("MJQ_UPSTREAM_SUBMIT_PATH", "/mj/submit", "{action}"),
        ("MJQ_ON_UNKNOWN", "hope", "fail"),
        ("MJQ_UPSTREAM_STATE", "both", "token"),
        ("MJQ_ADMIN_ADDR", "8081", "8081"),
        ("MJQ_RETENTION", "1 fortnight", "24h"),
    ] {
        for words in [&["worker"][..], &["check-config"]] {
            let run = Cli::new(words)?.set(variable, value).run().await?;

            assert_eq!(run.code, 78, "{words:?} {variable}={value} {run:?}");
            for said in [variable, value, "expected", expected] {
                assert!(run.stderr.contains(said), "{words:?} {variable}={value}: no {said:?} in {}", run.stderr);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_bad_setting_is_named_at_once_and_no_secret_is_shown() -> anyhow::Result<()> {
    let check = Cli::new(&["check-config"])?.set("MJQ_SLOTS", "many").set("MJQ_POLL_MIN_MS", "-1");
    let check = check.set("MJQ_REDIS_URL", "http://:hunter2@redis").set("MJQ_UPSTREAM_KEY", "hunter2\n");

    let run = check.run().await?;

    assert_eq!(run.code, 78, "{run:?}");
    for variable in ["MJQ_SLOTS", "MJQ_POLL_MIN_MS", "MJQ_REDIS_URL"] {
        assert!(run.stderr.contains(variable), "{variable} {run:?}");
    }
    assert!(!run.stderr.contains("hunter2") && !run.stdout.contains("hunter2"), "{run:?}");
    Ok(())
}

#[tokio::test]
async fn check_config_shows_what_counts_and_where_it_comes_from_without_secrets() -> anyhow::Result<()> {
    let dir = std::env::temp_dir();
    let (config, key) = (dir.join(mjq_harness::unique_queue()), dir.join(mjq_harness::unique_queue()));
    std::fs::write(&config, "slots = 7\nlease_ms = 2000\nupstream_max_open = 3\n")?;
    std::fs::write(&key, "hunter2\n")?;
    let words = ["check-config", "--json", "--lease-ms", "4000", "--config", &config.display().to_string()];
    let check = Cli::new(&words)?.set("MJQ_LEASE_MS", "3000").set("MJQ_UPSTREAM_MAX_OPEN", "5");
    let check = check.set("MJQ_UPSTREAM_KEY_FILE", &key.display().to_string());

    let run = check.set("MJQ_REDIS_URL", "redis://user:hunter2@redis.example:6379").run().await?;

    std::fs::remove_file(config)?;
    std::fs::remove_file(key)?;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{run:?}");
    let told: Value = serde_json::from_str(&run.stdout)?;
    // Flags before variables before the file before defaults.
    for (setting, value) in [("lease_ms", "4000"), ("upstream_max_open", "5"), ("slots", "7"), ("queue", "default")] {
        assert_eq!(told["settings"][setting]["value"], value, "{setting}");
    }
    assert!(run.stdout.contains("redis.example"), "{run:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_cannot_listen_where_it_should_ends_and_says_so() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    let taken = stack.workers[0].admin_url().trim_start_matches("http://").to_owned();

    let mut second = stack.another_worker().set("MJQ_ADMIN_ADDR", &taken).quiet().start()?;

    assert!(!second.exited(Duration::from_secs(20)).await?.success());
    assert!(second.logs().contains(&taken), "{}", second.logs());
    Ok(())
}

#[tokio::test]
async fn jobs_finds_each_failed_job_however_many_have_completed_since() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.xadd_job(&imagine("dead", "a red fox [sim: fail=\"Job Timeout\"]")).await?;
    stack.event_of("dead").await?;
    let jobs = foxes(1_100);
    stack.wire.xadd_jobs(&jobs).await?;
    one_event_for_each(&stack, 1_101).await?;

    let run = Cli::on(&stack, &["jobs", "--failed", "--json"])?.run().await?;

    let lines: Vec<Value> = run.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(
        lines.iter().map(|line| (&line["id"], &line["code"])).collect::<Vec<_>>(),
        [(&Value::from("dead"), &Value::from("upstream_failed"))]
    );
    Ok(())
}

#[tokio::test]
async fn a_retried_job_is_no_dead_letter_any_more() -> anyhow::Result<()> {
    let stack = a_stack().await?;
    stack.simulator.script("dead", "uses=1 fail=\"Job Timeout\"".parse().map_err(anyhow::Error::msg)?);
    stack.wire.xadd_jobs(&[imagine("dead", "dead"), imagine("fine", "fine")]).await?;
    one_event_for_each(&stack, 2).await?;
    let failed = async || Ok::<_, anyhow::Error>(Cli::on(&stack, &["jobs", "--failed"])?.run().await?.stdout);
    assert!(failed().await?.contains("dead"));

    let run = Cli::on(&stack, &["retry", "dead"])?.run().await?;
    assert_eq!(run.code, 0, "{run:?}");
    stack.eventually("it has ended again", async |stack| Ok(stack.events().await?.len() == 3)).await?;

    assert_eq!(failed().await?, "");
    Ok(())
}
