//! The issuer of E-Keys beside the service: its one path is answered by it, and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::Body;
use crate::ekey::EKeyIssuer;
use crate::ekey::issue::PATH;
use crate::origin::Origin;
use crate::shape::shape;

/// Puts an issuer beside a service, or nothing.
#[derive(Clone, Debug)]
pub struct IssuingLayer(Option<(EKeyIssuer, Origin)>);

impl IssuingLayer {
    /// With this issuer, at this origin.
    pub fn new(issuer: Option<EKeyIssuer>, origin: Origin) -> Self {
        Self(issuer.map(|issuer| (issuer, origin)))
    }
}

impl<S> Layer<S> for IssuingLayer {
    type Service = Issuing<S>;

    fn layer(&self, inner: S) -> Issuing<S> {
        Issuing { issuer: self.0.clone(), inner }
    }
}

/// A service, and an issuer beside it.
#[derive(Clone, Debug)]
pub struct Issuing<S> {
    issuer: Option<(EKeyIssuer, Origin)>,
    inner: S,
}

impl<S> Service<Request<Body>> for Issuing<S>
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
        match &self.issuer {
            Some((issuer, origin)) if request.uri().path() == PATH => {
                let (issuer, origin) = (issuer.clone(), origin.clone());
                Box::pin(async move {
                    let (parts, body) = request.into_parts();
                    if let Err(refusal) = shape(&parts, std::slice::from_ref(&origin)) {
                        return Ok(refusal.answer());
                    }
                    Ok(issuer.answer(Request::from_parts(parts, body)).await)
                })
            }
            _ => Box::pin(self.inner.call(request)),
        }
    }
}
