//! Routes: what of a service may be asked for at all. What no route names does not exist.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use chio_core::capability::MAX_NAME_BYTES;
use chio_core::error::excerpt;

use crate::target::{check_path, unescaped};

/// One kind of request of a service: a method and a template of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    template: String,
    method_bytes: usize,
    segments: Vec<Segment>,
    scope: Option<String>,
    subcap: Option<String>,
    digest: bool,
    sealed: bool,
    public: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
    Rest(String),
}

impl Segment {
    /// A literal stands before a parameter, and a parameter before the rest.
    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Parameter(_) => 1,
            Self::Rest(_) => 2,
        }
    }

    fn is_same_but_for_names(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => is_same_unescaped(one, other),
            _ => self.rank() == other.rank(),
        }
    }
}

/// Whether two segments are one to a service that unescapes them before it looks for its route.
fn is_same_unescaped(one: &str, other: &str) -> bool {
    one == other || unescaped(one).is_ok_and(|one| unescaped(other).is_ok_and(|other| one == other))
}

impl Route {
    /// Reads a route such as `GET:/orders/:id` or `GET:/files/*path`: `:name` is one whole segment that is not empty, and
    /// `*name`, at the end, is one or more. The text is the name of the tool.
    /// Fails where it is none, or one whose paths are never accepted.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let wrong = || RouteError::Malformed(excerpt(text));
        if text.len() > MAX_NAME_BYTES {
            return Err(wrong());
        }
        let (method, path) = text.split_once(':').ok_or_else(wrong)?;
        let rest = path.strip_prefix('/').ok_or_else(wrong)?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(wrong());
        }
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for segment in rest.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(wrong());
            }
            let (kind, name): (fn(String) -> Segment, _) = match segment.split_at_checked(1) {
                Some((":", name)) => (Segment::Parameter, name),
                Some(("*", name)) => (Segment::Rest, name),
                _ => {
                    segments.push(Segment::Literal(segment.to_owned()));
                    continue;
                }
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) || names.contains(&name) {
                return Err(wrong());
            }
            names.push(name);
            segments.push(kind(name.to_owned()));
        }
        check_path(path).map_err(|_| wrong())?;
        let template = text.to_owned();
        Ok(Self {
            template,
            method_bytes: method.len(),
            segments,
            scope: None,
            subcap: None,
            digest: false,
            sealed: false,
            public: false,
        })
    }

    /// The same route for tokens alone that have this scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The same route for E-Keys alone that name this finer right in their `subcap`.
    #[must_use]
    pub fn subcap(mut self, subcap: impl Into<String>) -> Self {
        self.subcap = Some(subcap.into());
        self
    }

    /// The same route for requests alone whose proof covers the body.
    #[must_use]
    pub fn with_digest(mut self) -> Self {
        self.digest = true;
        self
    }

    /// The same route for requests alone that ask for a sealed answer.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.sealed = true;
        self
    }

    /// The same route for everybody: nothing is verified, and nothing recorded.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// The name of the tool: the method and the template.
    pub fn tool_name(&self) -> &str {
        &self.template
    }

    /// The scope that a token must have.
    pub fn required_scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The finer right that an E-Key must name.
    pub fn required_subcap(&self) -> Option<&str> {
        self.subcap.as_deref()
    }

    /// Whether its answers are sealed, and never sent otherwise.
    pub fn requires_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether the proof must cover the body.
    pub fn requires_digest(&self) -> bool {
        self.digest
    }

    /// Whether it is open to everybody.
    pub fn is_public(&self) -> bool {
        self.public
    }

    fn method(&self) -> &str {
        self.template.get(..self.method_bytes).unwrap_or_default()
    }

    /// Whether a request is of it.
    pub fn is_of(&self, method: &str, path: &str) -> bool {
        self.method() == method && self.matches(path)
    }

    fn matches(&self, path: &str) -> bool {
        self.matches_by(path, |literal, segment| literal == segment)
    }

    fn matches_by(&self, path: &str, is_same: fn(&str, &str) -> bool) -> bool {
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let Some(left) = rest else { return false };
            let (first, after) = left.split_once('/').map_or((left, None), |(first, after)| (first, Some(after)));
            match segment {
                Segment::Literal(literal) if !is_same(literal, first) => return false,
                Segment::Parameter(_) if first.is_empty() => return false,
                Segment::Rest(_) => return !left.is_empty(),
                _ => {}
            }
            rest = after;
        }
        rest.is_none()
    }

    /// Whether it has a parameter where a route has a literal: then that one is narrower, and was made for something of its
    /// own.
    pub(crate) fn passes_over(&self, route: &Self) -> bool {
        let pairs = self.segments.iter().zip(&route.segments);
        pairs.into_iter().any(|pair| matches!(pair, (Segment::Parameter(_), Segment::Literal(_))))
    }

    /// Whether a path is one of it to a service that knows no case of letters, or does not look at a `/` at the end.
    fn is_nearly_of(&self, path: &str) -> bool {
        let is_same = |one: &str, other: &str| {
            let lower = |text| unescaped(text).map(|text| text.to_lowercase());
            one.eq_ignore_ascii_case(other) || lower(one).is_ok_and(|one| lower(other).is_ok_and(|other| one == other))
        };
        let matches = |path: &str| self.matches_by(path, is_same);
        matches(path) || path.strip_suffix('/').map_or_else(|| matches(&format!("{path}/")), matches)
    }

    /// What the parameters of the path stand for.
    pub(crate) fn parameters(&self, path: &str) -> BTreeMap<&str, String> {
        let mut found = BTreeMap::new();
        let mut rest = path.strip_prefix('/');
        let text = |segment: &str| unescaped(segment).map(std::borrow::Cow::into_owned).unwrap_or_default();
        for segment in &self.segments {
            let Some(left) = rest else { break };
            let (first, after) = left.split_once('/').map_or((left, None), |(first, after)| (first, Some(after)));
            match segment {
                Segment::Literal(_) => {}
                Segment::Parameter(name) => {
                    found.insert(&**name, text(first));
                }
                Segment::Rest(name) => {
                    found.insert(&**name, text(left));
                    break;
                }
            }
            rest = after;
        }
        found
    }
}

/// The routes of a service.
///
/// Of several that match a path, the one counts that is the most literal at the first segment at which they differ: a
/// literal before a parameter, a parameter before the rest. No two can be equal in that.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// By method, in the order of precedence.
    by_method: HashMap<String, Vec<Route>>,
}

impl Routes {
    /// The routes of a service.
    /// Fails where two of them are the same but for the names of their parameters.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, RouteError> {
        let mut by_method: HashMap<String, Vec<Route>> = HashMap::new();
        for route in routes {
            by_method.entry(route.method().to_owned()).or_default().push(route);
        }
        for routes in by_method.values_mut() {
            let is_same = |one: &Route, other: &Route| {
                let pairs = one.segments.iter().zip(&other.segments);
                one.segments.len() == other.segments.len()
                    && pairs.into_iter().all(|(one, other)| one.is_same_but_for_names(other))
            };
            for (index, route) in routes.iter().enumerate() {
                if let Some(other) = routes.iter().take(index).find(|other| is_same(route, other)) {
                    return Err(RouteError::Same(other.template.clone(), route.template.clone()));
                }
            }
            // Those that match one path and have the same ranks are the same but for names.
            routes.sort_by_cached_key(|route| route.segments.iter().map(Segment::rank).collect::<Vec<_>>());
        }
        Ok(Self { by_method })
    }

    /// The route of a request. The method is compared exactly, `HEAD` is not `GET`. There is none where a service that
    /// unescapes the path first would take another, `%40me` for `@me`; nor is one that is open to everybody that of a path
    /// which differs from those of a more literal, guarded one by the case of its letters or a `/` at the end alone.
    pub fn find(&self, method: &str, path: &str) -> Option<&Route> {
        let routes = self.by_method.get(method)?;
        let at = routes.iter().position(|route| route.matches(path))?;
        let is_before = |route: &Route| route.matches_by(path, is_same_unescaped);
        if path.contains('%') && routes.iter().take(at).any(is_before) {
            return None;
        }
        let found = routes.get(at)?;
        // Nobody comes in unasked by a spelling that many services take for that of a more literal route, which is guarded.
        let is_guarded = |route: &Route| !route.public && route.is_nearly_of(path);
        if found.public && routes.iter().take(at).any(is_guarded) { None } else { Some(found) }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.by_method.values().flatten()
    }

    /// The route of that tool name.
    pub fn of_tool(&self, tool_name: &str) -> Option<&Route> {
        let (method, _) = tool_name.split_once(':')?;
        self.by_method.get(method)?.iter().find(|route| route.template == tool_name)
    }
}

/// Why there is no such route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The text is no route.
    Malformed(String),
    /// Two are the same but for the names of their parameters.
    Same(String, String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => write!(f, "`{text}` is no route such as `GET:/orders/:id`"),
            Self::Same(one, other) => write!(f, "the routes `{one}` and `{other}` are for the same paths"),
        }
    }
}

impl std::error::Error for RouteError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(texts: &[&str]) -> Result<Routes, RouteError> {
        Routes::new(texts.iter().map(|text| Route::parse(text).unwrap()))
    }

    #[test]
    fn a_route_is_a_method_and_a_template() {
        for text in
            ["GET:/", "GET:/orders/:id", "M-SEARCH:/a", "GET:/files/*rest", "GET:/a/", "GET:/:a/b/:c", "GET:/caf%C3%A9"]
        {
            assert_eq!(Route::parse(text).unwrap().tool_name(), text);
        }
        for text in [
            "",
            "/a",
            "GET",
            "GET:",
            "GET:a",
            ":/a",
            "get:/a",
            "GET :/a",
            "GET:/a//b",
            "GET:/../a",
            "GET:/:",
            "GET:/*",
            "GET:/:a/:a",
            "GET:/*a/b",
            "GET:/*a/*b",
            "GET:/:a-b",
            "GET:/a;b",
            "GET:/%61",
            "GET:/a?b",
            "GET:/é",
        ] {
            assert!(Route::parse(text).is_err(), "{text}");
        }
        assert!(Route::parse(&format!("GET:/{}", "a".repeat(MAX_NAME_BYTES))).is_err());
    }

    #[test]
    fn at_most_one_route_is_that_of_a_path() {
        let all = [
            "GET:/",
            "GET:/*rest",
            "GET:/orders",
            "GET:/orders/",
            "GET:/orders/:id",
            "GET:/orders/latest",
            "GET:/:kind/latest",
            "GET:/:kind/:id/lines",
            "GET:/orders/:id/*rest",
            "POST:/orders",
        ];
        for texts in [all.to_vec(), all.iter().rev().copied().collect()] {
            let routes = routes(&texts).unwrap();
            for (method, path, tool) in [
                ("GET", "/", Some("GET:/")),
                ("GET", "/orders", Some("GET:/orders")),
                ("GET", "/orders/", Some("GET:/orders/")),
                ("GET", "/orders/1", Some("GET:/orders/:id")),
                ("GET", "/orders/latest", Some("GET:/orders/latest")),
                ("GET", "/users/latest", Some("GET:/:kind/latest")),
                ("GET", "/users/1/lines", Some("GET:/:kind/:id/lines")),
                ("GET", "/orders/1/lines", Some("GET:/orders/:id/*rest")),
                ("GET", "/orders/1/", Some("GET:/*rest")),
                ("GET", "/ORDERS", Some("GET:/*rest")),
                ("POST", "/orders", Some("POST:/orders")),
                ("POST", "/orders/", None),
                ("HEAD", "/orders", None),
                ("get", "/orders", None),
            ] {
                assert_eq!(routes.find(method, path).map(Route::tool_name), tool, "{method} {path}");
                assert!(tool.is_none_or(|tool| routes.of_tool(tool).is_some()));
            }
        }
        for same in [["GET:/a/:b", "GET:/a/:c"], ["GET:/*a", "GET:/*b"], ["GET:/a", "GET:/a"]] {
            assert!(matches!(routes(&same), Err(RouteError::Same(..))), "{same:?}");
        }
        assert!(routes(&["GET:/a/:b", "POST:/a/:c", "GET:/b/:c"]).is_ok());
    }

    #[test]
    fn parameters_are_what_the_service_reads() {
        let of = |route: &str, path: &str| {
            let route = Route::parse(route).unwrap();
            assert!(route.matches(path));
            serde_json::to_string(&route.parameters(path)).unwrap()
        };
        assert_eq!(of("GET:/a/:b/c/:d", "/a/1/c/x%20y"), r#"{"b":"1","d":"x y"}"#);
        assert_eq!(of("GET:/a/*rest", "/a/b/c/"), r#"{"rest":"b/c/"}"#);
        assert_eq!(of("GET:/a", "/a"), "{}");
    }
}
