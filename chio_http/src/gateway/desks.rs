//! What a gateway answers itself, beside the service: where credentials come from. Its own paths, and nothing else.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chio_kernel::clock::BoxFuture;
use hyper::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::peer::Peer;
use crate::body::Body;
use crate::device::EnrollmentDesk;
use crate::ekey::EKeyIssuer;
use crate::ekey::issue::PATH;
use crate::opaque::SessionDesk;
use crate::origin::Origin;
use crate::shape::shape;

/// Where clients get credentials.
pub trait Desk: Send + Sync {
    /// Whether a path is its own, as the client wrote it.
    fn has(&self, path: &str) -> bool;

    /// Answers a request for one of its paths, whose shape and host have been found good.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>>;
}

impl Desk for EKeyIssuer {
    fn has(&self, path: &str) -> bool {
        path == PATH
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(Self::answer(self, request))
    }
}

impl Desk for EnrollmentDesk {
    fn has(&self, path: &str) -> bool {
        Self::has(path)
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(Self::answer(self, request))
    }
}

impl Desk for SessionDesk {
    fn has(&self, path: &str) -> bool {
        Self::has(self, path)
    }

    fn answer(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        let address = request.extensions().get::<Peer>().map(|peer| peer.address().ip());
        Box::pin(Self::answer(self, request, address))
    }
}

/// Puts desks beside a service.
#[derive(Clone)]
pub struct DesksLayer(Arc<Desks>);

struct Desks {
    desks: Vec<Box<dyn Desk>>,
    origin: Origin,
}

impl fmt::Debug for DesksLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DesksLayer({} at {})", self.0.desks.len(), self.0.origin.as_str())
    }
}

impl DesksLayer {
    /// With these, at this origin.
    pub fn new(desks: Vec<Box<dyn Desk>>, origin: Origin) -> Self {
        Self(Arc::new(Desks { desks, origin }))
    }
}

impl<S> Layer<S> for DesksLayer {
    type Service = WithDesks<S>;

    fn layer(&self, inner: S) -> WithDesks<S> {
        WithDesks { desks: self.clone(), inner }
    }
}

/// A service, and desks beside it.
#[derive(Clone, Debug)]
pub struct WithDesks<S> {
    desks: DesksLayer,
    inner: S,
}

impl<S> Service<Request<Body>> for WithDesks<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let Some(index) = self.desks.0.desks.iter().position(|desk| desk.has(path)) else {
            return Box::pin(self.inner.call(request));
        };
        let desks = Arc::clone(&self.desks.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            if let Err(refusal) = shape(&parts, std::slice::from_ref(&desks.origin)) {
                return Ok(refusal.answer());
            }
            match desks.desks.get(index) {
                Some(desk) => Ok(desk.answer(Request::from_parts(parts, body)).await),
                None => Ok(crate::denied::Refusal::Unknown.answer()),
            }
        })
    }
}
