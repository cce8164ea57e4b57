//! What an operator asks: at an address of its own, where nothing else is.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tower_service::Service;

use super::metrics::Metrics;
use super::problem::Problem;
use crate::body::Body;

/// Whether all that requests need can be reached; else, what cannot.
pub type Readiness = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// `/healthz`, `/readyz` and `/metrics`.
#[derive(Clone)]
pub struct Admin {
    metrics: Metrics,
    readiness: Readiness,
    patience: Duration,
}

impl Admin {
    /// The service. What it takes longer than `patience` to find out is not ready.
    pub fn new(metrics: Metrics, readiness: Readiness, patience: Duration) -> Self {
        Self { metrics, readiness, patience }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return Problem::Method.answer();
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match tokio::time::timeout(self.patience, (self.readiness)()).await {
                Ok(Ok(())) => text(StatusCode::OK, "ready\n".to_owned()),
                Ok(Err(what)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")),
                Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "it takes too long to find out\n".to_owned()),
            },
            "/metrics" => text(StatusCode::OK, self.metrics.text()),
            _ => Problem::NoRoute.answer(),
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl Service<Request<Body>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request).await) })
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}
