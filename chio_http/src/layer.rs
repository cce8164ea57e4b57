//! The guard as a layer around a service: what it lets through is what the kernel has allowed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use chio_core::receipt::OutcomeStatus;
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{Body, BodyError};
use crate::caller::Caller;
use crate::decided::Decided;
use crate::denied::NONCE;
use crate::guard::{Admitted, HttpGuard};
use crate::outcome::{Watched, status_of};

/// Puts a guard around a service.
#[derive(Clone, Debug)]
pub struct GuardLayer(HttpGuard);

impl GuardLayer {
    /// A layer of this guard.
    pub fn new(guard: HttpGuard) -> Self {
        Self(guard)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.0.clone(), inner }
    }
}

/// A service that is called for what the guard lets through alone.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: HttpGuard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
    R: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let guard = self.guard.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = match guard.admit(&parts, body).await {
                Ok(admitted) => admitted,
                Err(answer) => return Ok(answer),
            };
            let Admitted { decided, body, nonce, room, seal, is_bare } = admitted;
            guard.take_out(&mut parts.headers, decided.is_some(), is_bare);
            let Some((caller, mut pending)) = decided else {
                parts.extensions.remove::<Caller>();
                return Ok(inner.call(Request::from_parts(parts, body)).await?.map(Body::coming));
            };
            let decided = Decided { scheme: caller.scheme, is_allowed: true, code: "" };
            // In the place of any that came with it: nobody but this guard says who calls.
            parts.extensions.insert(caller);
            let is_head = parts.method == Method::HEAD;
            let response = inner.call(Request::from_parts(parts, body)).await?;
            let said = response.extensions().get::<OutcomeStatus>().copied();
            let status = status_of(response.status(), said);
            if status == OutcomeStatus::NotReached {
                pending.finish(status, None);
            }
            drop(room);
            let response = response.map(|body| Watched::new(body, pending, status, is_head));
            let mut response = match seal {
                Some(seal) => seal.seal(response).await,
                None => response.map(Body::coming),
            };
            response.extensions_mut().insert(decided);
            if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
                response.headers_mut().insert(NONCE, nonce);
            }
            Ok(response)
        })
    }
}
