//! An upstream that writes down what it is sent, byte for byte, and answers everything alike.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A recorder; it stops when dropped.
pub(crate) struct Recorder {
    url: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
    server: JoinHandle<()>,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Recorder {
    /// Starts one that answers each request with this JSON.
    pub(crate) async fn answering(json: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let requests: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let book = requests.clone();
        let server = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let book = book.clone();
                tokio::spawn(async move {
                    if let Ok(request) = serve(tcp, json).await {
                        book.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    }
                });
            }
        });
        Ok(Self { url, requests, server })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut tcp: TcpStream, json: &str) -> anyhow::Result<Recorded> {
    let mut bytes = Vec::new();
    let head_ends = loop {
        tcp.read_buf(&mut bytes).await?;
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(bytes[..head_ends].to_vec())?;
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let ends = head_ends + length.unwrap_or(0_usize);
    while bytes.len() < ends {
        tcp.read_buf(&mut bytes).await?;
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        json.len()
    );
    tcp.write_all(answer.as_bytes()).await.context("could not answer")?;
    Ok(Recorded { head, body: bytes[head_ends..ends].to_vec() })
}
