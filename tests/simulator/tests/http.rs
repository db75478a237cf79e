//! The simulator seen from outside, over HTTP.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use mjq_simulator::{Dialect, Fault, FetchStep, Knobs, Odds, RetryAfter, Script, Simulator, SubmitStep};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Visitor {
    simulator: Simulator,
    client: reqwest::Client,
}

impl Visitor {
    async fn of(knobs: Knobs) -> anyhow::Result<Self> {
        let simulator = Simulator::start(knobs).await?;
        // Each request has a connection of its own: what is cut here is not noticed there.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build()?;
        Ok(Self { simulator, client })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.simulator.url());
        let request = self.client.request(method, url).header("Content-Type", "application/json");
        request.body(body.map(|body| body.to_string()).unwrap_or_default()).send().await
    }

    async fn imagine(&self, prompt: &str) -> reqwest::Result<Response> {
        self.send(Method::POST, "/v1/mj/submit/imagine", Some(json!({"prompt": prompt}))).await
    }

    async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.send(Method::GET, path, None).await
    }

    async fn ended(&self, id: &str) -> anyhow::Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let task = read(self.get(&format!("/v1/mj/task/{id}/fetch")).await?).await?;
            if ["SUCCESS", "FAILURE", "CANCEL"].contains(&task["status"].as_str().unwrap_or_default()) {
                return Ok(task);
            }
            anyhow::ensure!(Instant::now() < deadline, "task {id} did not end: {task}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn read(response: Response) -> anyhow::Result<Value> {
    let body = response.text().await?;
    serde_json::from_str(&body).with_context(|| format!("{body:?} is no JSON"))
}

fn quick() -> Knobs {
    Knobs { duration: Duration::from_millis(80).into(), ..Knobs::default() }
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_image_is_submitted_polled_looked_at_and_upscaled() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    let submitted = read(visitor.imagine("a red fox").await?).await?;
    let task = visitor.ended(&submitted["result"].to_string()).await?;
    let image_url = task["imageUrl"].as_str().context("no image")?;
    let image = visitor.client.get(image_url).send().await?.bytes().await?;
    let action = json!({"taskId": task["id"], "customId": task["buttons"][0]["customId"]});
    let pressed = read(visitor.send(Method::POST, "/mj/submit/action", Some(action)).await?).await?;
    let upscaled = visitor.ended(&pressed["result"].to_string()).await?;

    assert_eq!(submitted["code"], 1);
    assert!(image.starts_with(b"\x89PNG"));
    assert_eq!(upscaled["action"], "UPSCALE");
    assert_eq!(visitor.simulator.created("a red fox"), 1);
    assert_eq!(visitor.simulator.ledger()[1].parent, Some(submitted["result"].to_string()));
    assert_eq!(visitor.simulator.stats().polls_after_end, 0);
    Ok(())
}

#[tokio::test]
async fn every_speed_and_version_prefix_leads_to_the_same_api() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { slots: 20, ..quick() }).await?;

    for prefix in ["/mj", "/v1/mj", "/mj-fast/mj", "/v1/mj-relax/mj", "/mj-turbo/mj", "/mj-relax"] {
        let path = format!("{prefix}/submit/imagine");
        let answer = read(visitor.send(Method::POST, &path, Some(json!({"prompt": prefix}))).await?).await?;
        assert_eq!(answer["code"], 1, "{prefix}");
    }

    assert_eq!(visitor.simulator.stats().created, 6);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_books_right() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    for words in ["lose=before", "lose=after", "reset=before", "reset=after"] {
        let prompt = format!("fox [sim: {words}]");
        assert!(visitor.imagine(&prompt).await.is_err(), "{words}");
        assert_eq!(visitor.simulator.created(&prompt), usize::from(words.ends_with("after")), "{words}");
        assert_eq!(visitor.simulator.attempted(&prompt), 1);
        assert!(visitor.imagine(&prompt).await?.status().is_success(), "the second answer is not lost");
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_line_ends_and_a_reset_one_is_reset() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    let closed = raw_imagine(&visitor.simulator, "[sim: lose=before]").await;
    let reset = raw_imagine(&visitor.simulator, "[sim: reset=before]").await;

    assert_eq!(closed?, "");
    let reset = reset.err().context("the line was not reset")?;
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    Ok(())
}

#[tokio::test]
async fn half_an_answer_ends_in_the_middle() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    let answer = visitor.imagine("[sim: body=half after]").await?;

    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.is_err());
    assert_eq!(visitor.simulator.created("[sim: body=half after]"), 1);
    Ok(())
}

async fn raw_imagine(simulator: &Simulator, prompt: &str) -> std::io::Result<String> {
    let address = simulator.url().replace("http://", "");
    let mut line = TcpStream::connect(address).await?;
    let body = json!({"prompt": prompt}).to_string();
    let head = format!("POST /mj/submit/imagine HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n", body.len());
    line.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    line.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_rate_limit_tells_when_to_come_back_in_both_forms() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;
    let limited = |when| Fault::Status { status: 429, retry_after: Some(when), html: false };
    let steps = [RetryAfter::Seconds(7), RetryAfter::Date(7)].map(|when| SubmitStep::fault(limited(when)));
    visitor.simulator.script("fox", Script::submits(steps));

    let mut heard = Vec::new();
    for _ in 0..3 {
        let answer = visitor.imagine("fox").await?;
        let wait = answer.headers().get("retry-after").map(|value| value.to_str().map(str::to_owned)).transpose()?;
        heard.push((answer.status().as_u16(), wait));
    }

    assert_eq!(heard[0], (429, Some("7".to_owned())));
    assert!(heard[1].1.as_ref().is_some_and(|date| date.ends_with("GMT")), "{heard:?}");
    assert_eq!(heard[2], (200, None));
    Ok(())
}

#[tokio::test]
async fn bodies_can_be_empty_broken_or_somebody_elses_page() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;
    let text = async |words: &str| visitor.imagine(&format!("[sim: {words}]")).await?.text().await;

    assert_eq!(text("body=empty").await?, "");
    assert!(text("body=html").await?.starts_with("<html>"));
    assert!(serde_json::from_str::<Value>(&text("body=broken").await?).is_err());
    assert!(text("status=502 html").await?.contains("502 Bad Gateway"));
    Ok(())
}

#[tokio::test]
async fn a_black_hole_never_answers() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    let answer = tokio::time::timeout(Duration::from_millis(200), visitor.imagine("[sim: hang=after]")).await;

    assert!(answer.is_err());
    assert_eq!(visitor.simulator.created("[sim: hang=after]"), 1);
    Ok(())
}

#[tokio::test]
async fn a_task_fails_with_the_reason_that_its_prompt_asks_for() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;

    let submitted = read(visitor.imagine("[sim: fail=\"Job Timeout\" duration=1ms]").await?).await?;
    let task = visitor.ended(&submitted["result"].to_string()).await?;

    assert_eq!((&task["status"], &task["failReason"]), (&json!("FAILURE"), &json!("Job Timeout")));
    Ok(())
}

#[tokio::test]
async fn polls_can_be_scripted_by_prompt() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;
    let gateway = Fault::Status { status: 502, retry_after: None, html: true };
    visitor.simulator.script("fox", Script::fetches([FetchStep::unknown().times(2), FetchStep::fault(gateway)]));

    let id = read(visitor.imagine("fox").await?).await?["result"].to_string();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = visitor.get(&format!("/mj/task/{id}/fetch")).await?;
        seen.push((answer.status().as_u16(), answer.text().await?.is_empty()));
    }

    assert_eq!(seen, [(200, true), (200, true), (502, false), (200, false)]);
    Ok(())
}

#[tokio::test]
async fn who_has_no_key_is_not_let_in() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { key: Some("sesame".to_owned()), ..quick() }).await?;
    let url = format!("{}/mj/submit/imagine", visitor.simulator.url());
    let status = async |name: &str, value: &str| {
        let request = visitor.client.post(&url).header(name, value).body(r#"{"prompt":"fox"}"#);
        request.send().await.map(|answer| answer.status().as_u16())
    };

    assert_eq!(visitor.imagine("fox").await?.status(), 401);
    assert_eq!(status("Authorization", "Bearer mellon").await?, 401);
    assert_eq!(status("Authorization", "Bearer sesame").await?, 200);
    assert_eq!(status("mj-api-secret", "sesame").await?, 200);
    assert_eq!(visitor.simulator.stats().created, 2);
    Ok(())
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_too_large() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { max_body_bytes: 100, ..quick() }).await?;

    assert_eq!(visitor.imagine(&"fox ".repeat(100)).await?.status(), 413);
    Ok(())
}

#[tokio::test]
async fn hooks_tell_the_whole_life_of_a_task() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { duration: Duration::from_millis(400).into(), ..Knobs::default() }).await?;
    let (hook, heard) = receiver().await?;

    let body = json!({"prompt": "fox", "notifyHook": hook, "state": "order \"1\"\n🦊"});
    visitor.send(Method::POST, "/mj/submit/imagine", Some(body)).await?;
    eventually("the hook hears the end", || tasks(&heard).iter().any(|task| task["status"] == "SUCCESS")).await;

    let told = tasks(&heard);
    assert!(told.len() > 4, "steps are told too: {told:?}");
    assert!(told.iter().all(|task| task["state"] == "order \"1\"\n🦊"));
    assert!(told.iter().any(|task| task["status"] == "IN_PROGRESS" && task["imageUrl"].is_string()));
    assert_eq!(visitor.simulator.stats().polls, 0);
    Ok(())
}

#[tokio::test]
async fn hooks_can_be_told_the_end_only_or_be_lost() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { hook_only_terminal: true, ..quick() }).await?;
    let (hook, heard) = receiver().await?;
    let imagine = |prompt: &str| json!({"prompt": prompt, "notifyHook": hook});

    visitor.send(Method::POST, "/mj/submit/imagine", Some(imagine("fox"))).await?;
    eventually("the end is told", || visitor.simulator.stats().hooks_sent == 1).await;
    visitor.simulator.knobs(|knobs| knobs.hook_loss = 1.0);
    visitor.send(Method::POST, "/mj/submit/imagine", Some(imagine("cat"))).await?;
    eventually("the other is lost", || visitor.simulator.stats().hooks_lost == 1).await;

    assert_eq!(tasks(&heard).len(), 1);
    assert_eq!(tasks(&heard)[0]["status"], "SUCCESS");
    Ok(())
}

type Heard = Arc<Mutex<Vec<Value>>>;

fn tasks(heard: &Heard) -> Vec<Value> {
    heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Takes callbacks and remembers their bodies.
async fn receiver() -> anyhow::Result<(String, Heard)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let heard = Heard::default();
    let remembered = heard.clone();
    let take = axum::routing::post(move |body: String| async move {
        let task = serde_json::from_str(&body).unwrap_or_default();
        remembered.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    });
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/hook", take)).await });
    Ok((url, heard))
}

#[tokio::test]
async fn a_paused_simulator_refuses_connections_and_comes_back_on_its_port() -> anyhow::Result<()> {
    let mut visitor = Visitor::of(quick()).await?;
    let id = read(visitor.imagine("fox").await?).await?["result"].to_string();

    visitor.simulator.pause().await;
    let refused = visitor.imagine("cat").await;
    visitor.simulator.resume().await?;

    assert!(refused.is_err_and(|why| why.is_connect()));
    assert_eq!(visitor.ended(&id).await?["status"], "SUCCESS");
    assert_eq!(visitor.simulator.created("cat"), 0);
    Ok(())
}

#[tokio::test]
async fn other_processes_turn_knobs_attach_scripts_and_read_the_books() -> anyhow::Result<()> {
    let visitor = Visitor::of(quick()).await?;
    let put = async |path: &str, body: Value| visitor.send(Method::PUT, path, Some(body)).await;

    let knobs = read(put("/sim/knobs", json!({"slots": 1, "queue": 0, "duration": "10s"})).await?).await?;
    let misspelt = put("/sim/knobs", json!({"slotz": 1})).await?;
    let words = json!({"when": "cat", "words": "code=24"});
    let attached = visitor.send(Method::POST, "/sim/scripts", Some(words)).await?;
    for prompt in ["fox", "dog", "cat"] {
        visitor.imagine(prompt).await?;
    }
    let ledger = read(visitor.get("/sim/ledger?prompt=fox").await?).await?;
    let stats = read(visitor.get("/sim/stats").await?).await?;
    let reset = visitor.send(Method::POST, "/sim/reset", None).await?;

    assert_eq!((&knobs["slots"], &knobs["duration"]), (&json!(1), &json!("10s")));
    assert_eq!(misspelt.status(), 400);
    assert_eq!((attached.status().as_u16(), reset.status().as_u16()), (200, 204));
    assert_eq!(ledger["created"][0]["prompt"], "fox");
    assert_eq!(stats["answers"], json!({"1": 1, "24": 1, "refused: full": 1}));
    assert_eq!(visitor.simulator.stats().created, 0);
    Ok(())
}

#[tokio::test]
async fn the_relay_strips_hooks_and_has_no_list() -> anyhow::Result<()> {
    let visitor = Visitor::of(Knobs { dialect: Dialect::NewApi, slots: 1, ..quick() }).await?;
    let (hook, heard) = receiver().await?;

    let body = json!({"prompt": "fox", "notifyHook": hook});
    let first = visitor.send(Method::POST, "/mj/submit/imagine", Some(body)).await?;
    let content_type = first.headers()["content-type"].to_str()?.to_owned();
    let first = read(first).await?;
    let second = read(visitor.imagine("cat").await?).await?;
    visitor.ended(first["result"].as_str().context("an id in words")?).await?;

    assert!(content_type.starts_with("text/plain"));
    assert_eq!(second["code"], 1, "22 is hidden");
    assert_eq!(visitor.get("/mj/task/list").await?.status(), 404);
    assert_eq!(visitor.get("/mj/task/999/fetch").await?.status(), 400);
    assert!(tasks(&heard).is_empty());
    Ok(())
}

#[tokio::test]
async fn every_creation_is_in_the_log_when_its_answer_arrives() -> anyhow::Result<()> {
    let log = std::env::temp_dir().join(format!("mjq-simulator-{}.jsonl", std::process::id()));
    let visitor = Visitor::of(Knobs { log: Some(log.clone()), ..quick() }).await?;

    for prompt in ["fox", "cat [sim: lose=after]"] {
        let _ = visitor.imagine(prompt).await;
    }
    let lines = std::fs::read_to_string(&log)?;
    std::fs::remove_file(&log)?;

    let prompts: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(prompts.iter().map(|line| &line["prompt"]).collect::<Vec<_>>(), ["fox", "cat [sim: lose=after]"]);
    Ok(())
}

#[tokio::test]
async fn random_faults_keep_to_their_rate_and_the_books_stay_right() -> anyhow::Result<()> {
    let lost = Odds { rate: 0.2, step: SubmitStep::fault(Fault::Reset).after_creation() };
    let visitor = Visitor::of(Knobs { slots: 200, submit_faults: vec![lost], ..quick() }).await?;

    let mut unanswered = 0;
    for n in 0..200 {
        unanswered += usize::from(visitor.imagine(&format!("fox {n}")).await.is_err());
    }

    assert!((20..60).contains(&unanswered), "{unanswered} of 200 at a rate of 0.2");
    assert_eq!(visitor.simulator.stats().created, 200);
    assert_eq!(visitor.simulator.stats().created_again, 0);
    Ok(())
}

#[tokio::test]
async fn the_csharp_one_has_its_own_words_for_full_unknown_and_a_long_state() -> anyhow::Result<()> {
    let knobs = Knobs { dialect: Dialect::CSharp, slots: 1, queue: 0, ..Knobs::default() };
    let visitor = Visitor::of(knobs).await?;
    let long = json!({"prompt": "fox", "state": "x".repeat(256)});

    let refused = read(visitor.send(Method::POST, "/mj/submit/imagine", Some(long)).await?).await?;
    let taken = read(visitor.imagine("fox").await?).await?;
    let full = read(visitor.imagine("cat").await?).await?;

    assert_eq!((&refused["code"], &taken["code"], &full["code"]), (&json!(4), &json!(1), &json!(3)));
    assert_eq!(full["description"], "无可用的账号实例");
    assert_eq!(visitor.get("/mj/task/999/fetch").await?.status(), 204);
    Ok(())
}
