//! Connections: at most as many as a pod can bear. A silent connection does not keep its place.
//!
//! Hooks come in here from the upstream, so the address may be public. Strangers must not use up the file descriptors
//! that the pod needs to reach the upstream and Redis.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::warn;

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connections {
    /// How many connections may be open; further ones wait until one ends.
    pub(super) most: usize,
    /// How long the head of a request may take. Its body together with the answer may take as long again.
    pub(super) patience: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { most: 512, patience: Duration::from_secs(30) }
    }
}

impl Connections {
    /// Serves until `shutdown`, and then until all answers under way have been sent.
    pub(super) async fn serve(self, listener: TcpListener, routes: Router, shutdown: &CancellationToken) {
        let patience = self.patience;
        let routes = routes.layer(middleware::from_fn(move |request, next| in_time(patience, request, next)));
        let (places, open) = (Arc::new(Semaphore::new(self.most)), GracefulShutdown::new());
        while let Some((place, accepted)) = shutdown.run_until_cancelled(next_connection(&listener, &places)).await {
            let (stream, peer) = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Most often the process is out of file descriptors. Open connections may end soon and free some.
                    warn!(error = %error, "a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // The address is kept, because the log names it when somebody changes anything.
            let routes = routes.clone().map_request(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                request
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.patience)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
            let serving = open.watch(serving);
            tokio::spawn(async move {
                // An error means that the client broke the connection off, so it needs no answer.
                let _ = serving.await;
                drop(place);
            });
        }
        open.shutdown().await;
    }
}

/// Waits for a free place, and then for a client.
async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    (place, listener.accept().await)
}

/// Answers within `patience`, even if the rest of the request comes slowly.
async fn in_time(patience: Duration, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(patience, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, routing::post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Serves a route that answers with the size of the request's body.
    async fn serve(connections: Connections) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
        tokio::spawn(async move { connections.serve(listener, routes, &CancellationToken::new()).await });
        Ok(address)
    }

    /// Everything that the server sends until it ends the connection, which it must do soon.
    async fn all_that_comes(stream: &mut TcpStream) -> anyhow::Result<String> {
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await??;
        Ok(answer)
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_of_it_gets_no_place_for_long() -> anyhow::Result<()> {
        let address = serve(Connections { most: 1, patience: Duration::from_millis(200) }).await?;
        let mut silent = TcpStream::connect(address).await?;
        let mut halting = TcpStream::connect(address).await?;
        halting.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab").await?;
        let mut whole = TcpStream::connect(address).await?;
        whole.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nabcd").await?;

        // The connections are served one after the other, because there is only one place.
        assert_eq!(all_that_comes(&mut silent).await?, "", "it is cut off");
        assert!(all_that_comes(&mut halting).await?.starts_with("HTTP/1.1 408 "));
        assert!(all_that_comes(&mut whole).await?.ends_with("\r\n\r\n4"));
        Ok(())
    }
}
