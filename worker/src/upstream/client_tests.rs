//! The client against servers that misbehave, each a script of bytes on a socket.

use std::time::{Duration, Instant};

use mjq_producer::contract::{Code, Kind, TaskId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use url::Url;

use super::{Batch, Upstream, UpstreamError, UpstreamSettings};
use crate::lifecycle::{Busy, Observation};

const BODY: &str = r#"{"prompt":"cat"}"#;

/// How the server ends a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Reset,
    Hang,
    KeepAlive,
}

/// A server that answers each request with the same bytes, and reports the requests.
struct Server {
    url: Url,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let answer = answer.into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), then, sender.clone()));
            }
        });
        Self { url, requests }
    }

    async fn json(status: &str, body: &str) -> Self {
        Self::start(http(status, "Content-Type: application/json\r\n", body), Then::Close).await
    }

    fn settings(&self) -> UpstreamSettings {
        UpstreamSettings {
            key: Some("sk-secret".into()),
            list_path: Some("/mj/task/list-by-condition".into()),
            cancel_path: Some("/mj/task/{id}/cancel".into()),
            lookup_path: Some("/mj/task/list".into()),
            timeout: Duration::from_secs(10),
            ..UpstreamSettings::new(self.url.clone())
        }
    }

    fn upstream(&self) -> Upstream {
        Upstream::new(&self.settings()).unwrap()
    }

    fn impatient(&self) -> Upstream {
        Upstream::new(&UpstreamSettings { timeout: Duration::from_millis(300), ..self.settings() }).unwrap()
    }

    async fn asked(&mut self) -> String {
        self.requests.recv().await.unwrap()
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, answer: Vec<u8>, then: Then, requests: mpsc::UnboundedSender<String>) {
    loop {
        let Some(request) = read_request(&mut stream).await else { return };
        let _ = requests.send(request);
        let _ = stream.write_all(&answer).await;
        match then {
            Then::KeepAlive => {}
            Then::Close => return,
            Then::Reset => return stream.set_zero_linger().unwrap(),
            Then::Hang => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn task() -> TaskId {
    TaskId::new("7")
}

async fn submit(upstream: &Upstream) -> Observation {
    upstream.submit(Kind::Imagine, BODY.to_owned()).await
}

#[tokio::test]
async fn a_submit_arrives_as_the_caller_wrote_it() {
    let mut server = Server::json("200 OK", r#"{"code":22,"result":98765432109876543210,"properties":{}}"#).await;

    let seen = server.upstream().submit(Kind::Action, "{\"n\": 1.50,\"é\":\"\\u0041\"}".to_owned()).await;

    assert!(
        matches!(seen, Observation::Accepted { task, queue_position: 1 } if task.as_str() == "98765432109876543210")
    );
    let request = server.asked().await;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/mj/submit/action HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("\r\nauthorization: bearer sk-secret"), "{head}");
    assert_eq!(head.matches("content-type: application/json").count(), 1, "{head}");
    assert_eq!(body, "{\"n\": 1.50,\"é\":\"\\u0041\"}");
}

#[tokio::test]
async fn the_key_goes_into_whichever_header_the_upstream_wants() {
    let mut server = Server::json("200 OK", "").await;
    let settings = UpstreamSettings {
        auth_header: "mj-api-secret".into(),
        auth_scheme: String::new(),
        key: Some(" sk-secret\n".into()),
        ..server.settings()
    };

    Upstream::new(&settings).unwrap().fetch(&task()).await;

    let head = server.asked().await.to_lowercase();
    assert!(head.contains("\r\nmj-api-secret: sk-secret\r\n") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let upstream = Upstream::new(&UpstreamSettings::new(url)).unwrap();

    let seen = submit(&upstream).await;

    assert!(matches!(seen, Observation::Refused { busy: Busy::Unreachable, .. }), "{seen:?}");
    assert!(seen.reason().starts_with("cannot connect: Connection refused"), "{seen:?}");
    assert_eq!(upstream.fetch(&task()).await.name(), "no_verdict");
}

#[tokio::test]
async fn a_name_that_nobody_has_and_a_broken_tls_mean_that_nothing_left() {
    let server = Server::start("not TLS", Then::Close).await;
    let tls = server.url.as_str().replace("http://", "https://");
    for url in ["http://no-such-host.invalid/v1", &tls] {
        // Without a network, a resolver takes long to fail.
        let timeout = Duration::from_secs(1);
        let base_url = Url::parse(url).unwrap();
        let upstream = Upstream::new(&UpstreamSettings { timeout, ..UpstreamSettings::new(base_url) }).unwrap();

        let seen = submit(&upstream).await;

        assert!(matches!(seen, Observation::Refused { busy: Busy::Unreachable, .. }), "{url}: {seen:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_finish_connecting_got_nothing() {
    // The TLS handshake hangs: the server listens and sends nothing.
    let server = Server::start("", Then::Hang).await;
    let url = Url::parse(&server.url.as_str().replace("http://", "https://")).unwrap();
    let upstream =
        Upstream::new(&UpstreamSettings { base_url: url, timeout: Duration::from_millis(300), ..server.settings() });

    let seen = submit(&upstream.unwrap()).await;

    assert!(matches!(seen, Observation::Refused { busy: Busy::Unreachable, .. }), "{seen:?}");
    assert_eq!(seen.reason(), "connecting took too long");
}

#[tokio::test]
async fn a_connection_that_ends_after_the_request_leaves_the_outcome_unknown() {
    for then in [Then::Reset, Then::Close] {
        let mut server = Server::start("", then).await;
        let upstream = server.upstream();

        let seen = submit(&upstream).await;

        assert!(matches!(seen, Observation::Unanswered { .. }), "{seen:?}");
        server.asked().await;
        assert_eq!(upstream.fetch(&task()).await.name(), "no_verdict");
        server.asked().await;
        // No further request: nothing was repeated.
        assert!(server.requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_silent_server_leaves_the_outcome_unknown_within_the_time_out() {
    let server = Server::start("", Then::Hang).await;
    let begun = Instant::now();

    let seen = submit(&server.impatient()).await;

    assert!(matches!(&seen, Observation::Unanswered { reason, .. } if reason == "no answer in time"), "{seen:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":1,\"result\":\"17";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"cod\r\n";
    for (answer, then) in [(half, Then::Close), (half, Then::Reset), (half, Then::Hang), (chunked, Then::Close)] {
        let upstream = Server::start(answer, then).await.impatient();

        assert_eq!(submit(&upstream).await.name(), "unanswered");
        assert_eq!(upstream.fetch(&task()).await.name(), "no_verdict");
        assert!(matches!(upstream.fetch_many(&[task()]).await, Batch::Failed(Observation::NoVerdict { .. })));
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_owned();
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat((16 << 20) + 1));
    for answer in [announced, endless] {
        let upstream = Server::start(answer, Then::Hang).await.upstream();

        let seen = submit(&upstream).await;

        assert!(matches!(&seen, Observation::Unanswered { .. }), "{seen:?}");
        assert!(seen.reason().contains("larger than 16777216 bytes"), "{seen:?}");
        assert_eq!(upstream.fetch(&task()).await.name(), "no_verdict");
    }
}

#[tokio::test]
async fn an_answer_is_understood_although_it_is_compressed_or_has_odd_headers() {
    // {"code":1,"result":"7"}
    let gzip: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\xce\x4f\x49\x55\xb2\x32\xd4\x51\x2a\x4a\x2d\x2e\xcd\x29\x51\xb2\x52\x32\x57\xaa\x05\x00\x20\xf5\xfb\x02\x17\x00\x00\x00";
    let zlib: &[u8] = b"\x78\x9c\xab\x56\x4a\xce\x4f\x49\x55\xb2\x32\xd4\x51\x2a\x4a\x2d\x2e\xcd\x29\x51\xb2\x52\x32\x57\xaa\x05\x00\x56\xf6\x07\x07";
    let plain = br#"{"code":1,"result":"7"}"#;
    for (headers, body) in [
        ("Content-Encoding: gzip\r\n", gzip),
        ("Content-Encoding: deflate\r\n", zlib),
        ("X-A : b\r\n", plain),
        ("X-A: b\r\n folded\r\n", plain),
        ("X A: b\r\n", plain),
        ("Set-Cookie: a=\x01\r\n", plain),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        let mut server = Server::start([head.as_bytes(), body].concat(), Then::Close).await;

        let seen = submit(&server.upstream()).await;

        assert!(matches!(seen, Observation::Accepted { .. }), "{headers:?}: {seen:?}");
        let request = server.requests.recv().await.unwrap_or_default().to_lowercase();
        assert!(request.contains("accept-encoding: identity\r\n"), "nobody needs to compress: {request}");
    }
}

#[tokio::test]
async fn polls_at_once_hold_no_more_of_large_answers_than_a_pod_has_memory_for() {
    // Each answer is a task object of 15 MiB that does not end.
    let large = format!("HTTP/1.1 200 OK\r\n\r\n{{\"id\":\"7\",\"x\":\"{}", " ".repeat(15 << 20));
    let settings = Server::start(large, Then::Hang).await.settings();
    let upstream = Upstream::new(&UpstreamSettings { timeout: Duration::from_secs(6), ..settings }).unwrap();

    let polls = (0..8).map(|_| {
        let upstream = upstream.clone();
        tokio::spawn(async move { upstream.fetch(&task()).await })
    });
    let mut refused = 0;
    for poll in polls.collect::<Vec<_>>() {
        refused += u32::from(poll.await.unwrap().reason().contains("too much memory"));
    }

    assert!(refused >= 4, "there is room for four at a time: {refused} of 8 were refused");
    assert!(refused < 8, "the others are read on: {refused}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut target = Server::json("200 OK", r#"{"code":1,"result":"1"}"#).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}/mj/submit/imagine\r\n", target.url);
        let server = Server::start(http(status, &location, ""), Then::Close).await;

        let seen = submit(&server.upstream()).await;

        assert!(matches!(seen, Observation::Refused { busy: Busy::Misaddressed, .. }), "{seen:?}");
        assert!(seen.reason().contains("redirects elsewhere"), "{seen:?}");
    }
    assert!(target.requests.try_recv().is_err());

    // Many servers redirect to another page after they have done what was asked.
    let done = Server::start(http("302 Found", "Location: /tasks\r\n", ""), Then::Close).await;
    assert_eq!(submit(&done.upstream()).await.name(), "unanswered");
}

#[tokio::test]
async fn a_poll_follows_a_redirect_to_the_same_server_and_to_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await.unwrap();
            let answer = match request.starts_with("GET /v2/") {
                true => http("200 OK", "", r#"{"id":"7","status":"SUCCESS","imageUrl":"u"}"#),
                false => http("302 Found", "Location: /v2/mj/task/7/fetch\r\n", ""),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let seen = Upstream::new(&UpstreamSettings::new(url)).unwrap().fetch(&task()).await;
    assert!(matches!(seen, Observation::Succeeded(_)), "{seen:?}");

    let mut target = Server::json("200 OK", r#"{"id":"7","status":"SUCCESS","imageUrl":"u"}"#).await;
    let elsewhere = format!("Location: {}/mj/task/7/fetch\r\n", target.url);
    let server = Server::start(http("302 Found", &elsewhere, ""), Then::Close).await;
    assert_eq!(server.upstream().fetch(&task()).await.name(), "no_verdict");
    assert!(target.requests.try_recv().is_err(), "it would get the key");

    let circle = Server::start(http("302 Found", "Location: /v1/mj/task/7/fetch\r\n", ""), Then::Close).await;
    assert_eq!(circle.upstream().fetch(&task()).await.name(), "no_verdict");
}

#[tokio::test]
async fn a_server_that_refuses_a_large_body_unread_is_heard() {
    // The answer comes while the request is still on its way, as from nginx.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        let answer = http("413 Request Entity Too Large", "Connection: close\r\n", "<html>413</html>");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Lingering: the server goes on reading for a while, so that its answer is not lost to a reset.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    });
    let upstream = Upstream::new(&UpstreamSettings::new(url)).unwrap();

    let seen = upstream.submit(Kind::Imagine, "x".repeat(8 << 20)).await;

    assert!(matches!(seen, Observation::Denied { code: Code::TooLarge, .. }), "{seen:?}");
}

#[tokio::test]
async fn retry_after_is_read_by_the_upstream_s_own_clock() {
    for (headers, wait) in [
        ("Retry-After: 7\r\n", Some(7)),
        ("Date: Sun, 06 Nov 1994 08:49:27 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Some(10)),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ] {
        let upstream = Server::start(http("429 Too Many Requests", headers, ""), Then::Close).await.upstream();
        let wait = wait.map(Duration::from_secs);

        let seen = submit(&upstream).await;
        let polled = upstream.fetch(&task()).await;

        assert!(
            matches!(seen, Observation::Refused { busy: Busy::Saturated, retry_after, .. } if retry_after == wait),
            "{headers}: {seen:?}"
        );
        let wait = wait.or(Some(Duration::from_secs(2)));
        assert!(matches!(polled, Observation::NoVerdict { retry_after, .. } if retry_after == wait), "{polled:?}");
    }
}

#[tokio::test]
async fn a_key_that_the_upstream_repeats_is_taken_out() {
    let server = Server::json("401 Unauthorized", r#"{"error":{"message":"Invalid token: sk-secret"}}"#).await;

    let seen = submit(&server.upstream()).await;

    assert!(matches!(seen, Observation::Refused { busy: Busy::Barred, .. }), "{seen:?}");
    assert_eq!(seen.reason(), "HTTP 401: Invalid token: ***");
    assert!(!format!("{:?} {:?}", server.settings(), server.upstream()).contains("sk-secret"));
}

#[tokio::test]
async fn a_key_that_was_replaced_in_its_file_is_read_once_the_old_one_no_longer_lets_us_in() {
    let mut server = Server::json("401 Unauthorized", "").await;
    let file = std::env::temp_dir().join(format!("mjq-key-{}", std::process::id()));
    let settings = UpstreamSettings { key_file: Some(file.clone()), ..server.settings() };
    let upstream = Upstream::new(&settings).unwrap();
    let mut sent = Vec::new();

    for holds in ["", "not\na\nkey", "sk-new\n", "sk-newer"] {
        std::fs::write(&file, holds).unwrap();
        upstream.fetch(&task()).await;
        let head = server.asked().await;
        sent.push(head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap().to_owned());
    }
    std::fs::remove_file(&file).unwrap();

    assert_eq!(sent, ["sk-secret", "sk-secret", "sk-secret", "sk-new"]);
    assert!(!format!("{upstream:?}").contains("sk-new"));
}

#[tokio::test]
async fn a_picture_without_a_host_is_at_the_upstream() {
    let task = r#"{"id":"7","status":"SUCCESS","imageUrl":"/mj/image/7"}"#;
    let (one, many) = (Server::json("200 OK", task).await, Server::json("200 OK", &format!("[{task}]")).await);

    let Observation::Succeeded(alone) = one.upstream().fetch(&TaskId::new("7")).await else { panic!("alone") };
    let Batch::Seen(listed) = many.upstream().fetch_many(&[TaskId::new("7")]).await else { panic!("listed") };

    assert_eq!(alone.image_url, one.url.join("/mj/image/7").unwrap().as_str());
    let Some(Observation::Succeeded(listed)) = listed.get(&TaskId::new("7")) else { panic!("listed") };
    assert_eq!(listed.image_url, many.url.join("/mj/image/7").unwrap().as_str());
}

#[tokio::test]
async fn one_task_and_many_are_polled() {
    let mut server = Server::json("200 OK", r#"[{"id":"7","status":"SUCCESS","imageUrl":"u"},null]"#).await;
    let upstream = server.upstream();

    let one = upstream.fetch(&TaskId::new("a/../7")).await;
    let many = upstream.fetch_many(&[task(), TaskId::new("8")]).await;

    assert_eq!(one.name(), "stranger");
    assert!(server.asked().await.starts_with("GET /v1/mj/task/a%2F..%2F7/fetch HTTP/1.1\r\n"));
    let Batch::Seen(many) = many else { panic!("{many:?}") };
    assert_eq!((many.len(), many[&task()].name()), (1, "succeeded"));
    let request = server.asked().await;
    assert!(request.starts_with("POST /v1/mj/task/list-by-condition HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(r#"{"ids":["7","8"]}"#), "{request}");
}

#[tokio::test]
async fn an_upstream_without_a_list_is_asked_one_by_one() {
    let server = Server::json("404 Not Found", "").await;
    let without = Upstream::new(&UpstreamSettings { list_path: None, ..server.settings() }).unwrap();

    assert!(matches!(server.upstream().fetch_many(&[task()]).await, Batch::Unsupported(_)));
    assert!(matches!(without.fetch_many(&[task()]).await, Batch::Unsupported(_)));
    assert!(matches!(server.upstream().fetch_many(&[]).await, Batch::Seen(seen) if seen.is_empty()));
}

#[tokio::test]
async fn a_lost_task_is_looked_up_by_its_state() {
    let mut server = Server::json("200 OK", r#"[{"id":123456789012345678901,"state":"token-1"}]"#).await;
    let upstream = server.upstream();

    let list = upstream.list_tasks().await;
    let found = list.find("token-1");

    assert!(matches!(found, Observation::Found(task) if task.as_str() == "123456789012345678901"));
    assert!(server.asked().await.starts_with("GET /v1/mj/task/list HTTP/1.1\r\n"));
    assert_eq!(list.find("token-2").name(), "not_found");
    let without = Upstream::new(&UpstreamSettings { lookup_path: None, ..server.settings() }).unwrap();
    assert_eq!(without.list_tasks().await.find("token-1").name(), "not_found");
}

#[tokio::test]
async fn a_cancel_counts_only_when_the_upstream_agrees() {
    for (status, body, is_cancelled) in [
        ("200 OK", "", true),
        ("200 OK", r#"{"code":1,"description":"成功"}"#, true),
        ("200 OK", r#"{"code":4,"description":"no"}"#, false),
        ("400 Bad Request", "", false),
    ] {
        let mut server = Server::json(status, body).await;

        assert_eq!(server.upstream().cancel(&task()).await, is_cancelled, "{status} {body}");
        assert!(server.asked().await.starts_with("POST /v1/mj/task/7/cancel HTTP/1.1\r\n"));
    }
    let server = Server::json("200 OK", "").await;
    let without = Upstream::new(&UpstreamSettings { cancel_path: None, ..server.settings() }).unwrap();
    assert!(!without.cancel(&task()).await);
}

#[tokio::test]
async fn a_connection_serves_one_exchange_after_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (requests, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // One connection only: a second one would never be accepted.
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, http("200 OK", "", r#"{"code":1,"result":"1"}"#).into(), Then::KeepAlive, requests).await;
    });
    let upstream = Upstream::new(&UpstreamSettings::new(url)).unwrap();

    for _ in 0..3 {
        assert_eq!(submit(&upstream).await.name(), "accepted");
        asked.recv().await.unwrap();
    }
}

#[test]
fn settings_that_cannot_work_are_refused_without_telling_secrets() {
    let good = UpstreamSettings::new(Url::parse("https://api.example/v1").unwrap());
    let refused = |settings: UpstreamSettings| Upstream::new(&settings).unwrap_err();
    let base = |url: &str| UpstreamSettings { base_url: Url::parse(url).unwrap(), ..good.clone() };

    assert!(Upstream::new(&good).is_ok());
    assert!(matches!(refused(base("ftp://api.example")), UpstreamError::Base));
    assert!(matches!(refused(base("https://user:pass@api.example")), UpstreamError::Base));
    let submit = refused(UpstreamSettings { submit_path: "/mj/submit/imagine".into(), ..good.clone() });
    assert!(matches!(submit, UpstreamError::Path { which: "submit", .. }));
    let fetch = refused(UpstreamSettings { fetch_path: "/mj/task/fetch".into(), ..good.clone() });
    assert!(matches!(fetch, UpstreamError::Path { which: "fetch", .. }));
    let key = refused(UpstreamSettings { key: Some("se\ncret".into()), ..good.clone() });
    assert!(matches!(&key, UpstreamError::Key { .. }) && !format!("{key:?} {key}").contains("cret\""));
    let header = refused(UpstreamSettings { auth_header: "a b".into(), ..good.clone() });
    assert!(matches!(header, UpstreamError::Key { .. }));
}
