//! Connections: as many as a pod can bear, none of which keeps its place by saying nothing.
//!
//! Hooks come in here, from wherever the upstream is: whoever else finds the address must not use up the descriptors
//! that the upstream and Redis are reached with.

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

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connections {
    /// How many there may be; more wait until one ends.
    pub(super) most: usize,
    /// How long a request's head may take, and then again its body with the answer.
    pub(super) patience: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { most: 512, patience: Duration::from_secs(30) }
    }
}

impl Connections {
    /// Serves until `shutdown`, and then until the answers under way are out.
    pub(super) async fn serve(self, listener: TcpListener, routes: Router, shutdown: &CancellationToken) {
        let patience = self.patience;
        let routes = routes.layer(middleware::from_fn(move |request, next| in_time(patience, request, next)));
        let (places, open) = (Arc::new(Semaphore::new(self.most)), GracefulShutdown::new());
        while let Some((place, accepted)) = shutdown.run_until_cancelled(next_connection(&listener, &places)).await {
            let (stream, peer) = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Most often out of descriptors: others may end.
                    warn!(error = %error, "a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Whoever changes anything is noted by it.
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
                // Whoever breaks it off does not want an answer.
                let _ = serving.await;
                drop(place);
            });
        }
        open.shutdown().await;
    }
}

/// Waits for a place, and then for somebody to take it.
async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    // Nobody closes the semaphore.
    let place = Arc::clone(places).acquire_owned().await.ok();
    (place, listener.accept().await)
}

/// Answers within `patience`, however slowly the rest of the request comes.
async fn in_time(patience: Duration, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(patience, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, routing::post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Serves a route that counts the bytes of what it is sent.
    async fn serve(connections: Connections) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
        tokio::spawn(async move { connections.serve(listener, routes, &CancellationToken::new()).await });
        Ok(address)
    }

    /// All that comes until the server ends the connection, which it must do soon.
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

        // One after the other, since there is one place.
        assert_eq!(all_that_comes(&mut silent).await?, "", "it is cut off");
        assert!(all_that_comes(&mut halting).await?.starts_with("HTTP/1.1 408 "));
        assert!(all_that_comes(&mut whole).await?.ends_with("\r\n\r\n4"));
        Ok(())
    }
}
