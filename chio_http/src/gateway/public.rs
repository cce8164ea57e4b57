//! Routes that need no proof: what is not one of them is not passed on.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::problem::Problem;
use crate::body::Body;

/// A route: a method and a path in which a segment `:name` stands for any one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRoute {
    method: String,
    segments: Vec<Option<String>>,
}

impl PublicRoute {
    /// Reads `GET:/orders/:id`.
    /// Fails with what is wrong with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (method, path) = text.split_once(':').ok_or("it is written as METHOD:/path")?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("a method is written in capitals, such as GET");
        }
        let path = path.strip_prefix('/').ok_or("a path begins with `/`")?;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            let name = segment.strip_prefix(':');
            if name.is_some_and(str::is_empty) || name.is_none() && !path.is_empty() && !is_plain(segment) {
                return Err("a segment is `:name`, or of letters, digits, `-`, `_`, `~` and single dots");
            }
            segments.push(Some(segment.to_owned()).filter(|_| name.is_none()));
        }
        Ok(Self { method: method.to_owned(), segments })
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/').filter(|_| self.method == method) else { return false };
        let mut segments = path.split('/');
        let all = self.segments.iter().all(|wanted| {
            segments.next().is_some_and(|segment| match wanted {
                Some(wanted) => wanted == segment,
                None => is_plain(segment),
            })
        });
        all && segments.next().is_none()
    }
}

/// A segment that every reader takes for the same one: nothing in it is encoded, and it is no step up.
fn is_plain(segment: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte);
    !segment.is_empty() && segment.bytes().all(is_plain) && segment != "." && segment != ".."
}

/// Lets requests of public routes through, and nothing else.
#[derive(Clone, Debug)]
pub struct PublicOnly<S> {
    inner: S,
    routes: Arc<[PublicRoute]>,
}

/// Puts [`PublicOnly`] around a service.
#[derive(Clone, Debug)]
pub struct PublicLayer {
    routes: Arc<[PublicRoute]>,
}

impl PublicLayer {
    /// Of these routes.
    pub fn new(routes: Vec<PublicRoute>) -> Self {
        Self { routes: routes.into() }
    }
}

impl<S> Layer<S> for PublicLayer {
    type Service = PublicOnly<S>;

    fn layer(&self, inner: S) -> PublicOnly<S> {
        PublicOnly { inner, routes: Arc::clone(&self.routes) }
    }
}

impl<S> Service<Request<Body>> for PublicOnly<S>
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
        let (method, path) = (request.method().as_str(), request.uri().path());
        if self.routes.iter().any(|route| route.matches(method, path)) {
            return Box::pin(self.inner.call(request));
        }
        Box::pin(std::future::ready(Ok(Problem::NoRoute.answer())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_path_or_none() {
        let route = PublicRoute::read("GET:/orders/:id").unwrap();
        for path in ["/orders/42", "/orders/a.b", "/orders/~x"] {
            assert!(route.matches("GET", path), "{path}");
        }
        for path in [
            "/orders",
            "/orders/",
            "/orders//",
            "//orders/42",
            "/orders/42/",
            "/orders/..",
            "/orders/.",
            "/Orders/42",
            "/orders/%2e%2e",
            "/orders/4%32",
            "/orders/42;a",
            "/orders/4\\2",
            "/orders/42/x",
            "/orders%2f42",
            "orders/42",
        ] {
            assert!(!route.matches("GET", path), "{path}");
        }
        assert!(!route.matches("POST", "/orders/42") && !route.matches("get", "/orders/42"));
        assert!(PublicRoute::read("GET:/").unwrap().matches("GET", "/"));
        for text in ["GET", "get:/a", "GET:a", "GET:/a//b", "GET:/:", "GET:/a/", "GET:/..", ":/a", "GET:/a%20"] {
            assert!(PublicRoute::read(text).is_err(), "{text}");
        }
    }
}
