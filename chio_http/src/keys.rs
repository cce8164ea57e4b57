//! The keys of an issuer, from where it publishes them: a file, or a URL.
//!
//! What a caller sends can ask for a key that is not known. That leads to one fetch at a time, and to at most one in thirty
//! seconds, and never is a lock held over it that a call with a known key waits for.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chio_core::digest::Digest;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout};

use crate::body::Body;
use crate::client::{Client, ClientError};
use crate::jwk::{Jwk, Jwks, MAX_JWKS_BYTES};
use crate::jws::Unverified;

/// When keys are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// After how long they are read again without need: 10 minutes.
    pub every: Duration,
    /// How long an unknown key waits at least for the next reading: 30 seconds.
    pub unknown: Duration,
    /// How long they are used when they cannot be read again: a day.
    pub until: Duration,
    /// How long one reading may take: 5 seconds.
    pub patience: Duration,
}

impl Default for Refresh {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { every: seconds(600), unknown: seconds(30), until: seconds(24 * 60 * 60), patience: seconds(5) }
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// The issuer has no such key.
    Unknown,
    /// Its keys cannot be had.
    Unavailable(String),
    /// The place is none that keys are read from.
    Place(String),
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the issuer has no such key"),
            Self::Unavailable(why) => write!(f, "the issuer's keys cannot be had: {why}"),
            Self::Place(place) => {
                write!(f, "`{place}` is neither an `https` URL nor an `http` URL of this machine")
            }
        }
    }
}

impl std::error::Error for KeysError {}

enum Source {
    Fixed,
    File(PathBuf),
    Url(Box<Client>),
}

struct Known {
    keys: Jwks,
    text: Option<Digest>,
    generation: u64,
    read_at: Instant,
}

struct Shared {
    source: Source,
    refresh: Refresh,
    known: RwLock<Arc<Known>>,
    /// When it was last tried.
    tried: Mutex<Option<Instant>>,
    flight: tokio::sync::Mutex<()>,
}

/// The keys of an issuer. A clone is another handle to the same keys.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.known().keys.keys().len())
    }
}

impl Keys {
    /// Keys that stay.
    pub fn fixed(keys: Jwks) -> Self {
        Self::new(Source::Fixed, Refresh::default(), keys, None)
    }

    /// The keys in a file, which is read now, and again as `refresh` says.
    /// Fails where it cannot be read, or is no JWK Set.
    pub fn file(path: impl Into<PathBuf>, refresh: Refresh) -> Result<Self, KeysError> {
        let path = path.into();
        let text = read_file(&path)?;
        let keys = Jwks::parse(&text).map_err(|error| KeysError::Unavailable(error.to_string()))?;
        Ok(Self::new(Source::File(path), refresh, keys, Some(Digest::of(&text))))
    }

    /// The keys at a URL: `https`, by the certificates that this machine trusts, or `http` on this machine itself. They are
    /// read when they are first needed; redirections are not followed.
    /// Fails where it is another URL, or there are no certificates to trust.
    pub fn url(url: &str, refresh: Refresh) -> Result<Self, KeysError> {
        let client = Client::new(url).map_err(|error| match error {
            ClientError::Place(place) => KeysError::Place(place),
            error => KeysError::Unavailable(error.to_string()),
        })?;
        Ok(Self::new(Source::Url(Box::new(client)), refresh, Jwks::default(), None))
    }

    fn new(source: Source, refresh: Refresh, keys: Jwks, text: Option<Digest>) -> Self {
        let known = RwLock::new(Arc::new(Known { keys, text, generation: 0, read_at: Instant::now() }));
        Self(Arc::new(Shared {
            source,
            refresh,
            known,
            tried: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
        }))
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which keys these are: another number where they are others, or can no longer be relied upon. What was verified with
    /// others is to be verified again.
    pub fn generation(&self) -> Option<u64> {
        let known = self.known();
        self.is_usable(&known).then_some(known.generation)
    }

    fn is_usable(&self, known: &Known) -> bool {
        match self.0.source {
            Source::Fixed => true,
            Source::File(_) | Source::Url(..) => known.text.is_some() && known.read_at.elapsed() < self.0.refresh.until,
        }
    }

    fn is_due(&self, known: &Known) -> bool {
        !matches!(self.0.source, Source::Fixed) && known.read_at.elapsed() >= self.0.refresh.every
    }

    /// Reads the keys again in the background where they are due. To be called within a runtime.
    pub fn keep_fresh(&self) {
        if self.is_due(&self.known()) && self.may_try() {
            let keys = self.clone();
            tokio::spawn(async move { keys.refresh(true).await });
        }
    }

    fn may_try(&self) -> bool {
        let tried = *self.0.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.is_none_or(|tried| tried.elapsed() >= self.0.refresh.unknown)
    }

    /// The key that a token was signed with, by its own word, and the generation that it is of.
    /// Fails where there is none, or none can be had.
    pub async fn find(&self, token: &Unverified<'_>) -> Result<(Jwk, u64), KeysError> {
        let known = self.known();
        let is_usable = self.is_usable(&known);
        if is_usable && let Some(key) = pick(&known.keys, token) {
            self.keep_fresh();
            return Ok((key.clone(), known.generation));
        }
        if matches!(self.0.source, Source::Fixed) {
            return Err(KeysError::Unknown);
        }
        let refreshed = self.refresh(false).await;
        let known = self.known();
        if !self.is_usable(&known) {
            return Err(refreshed.err().unwrap_or_else(|| KeysError::Unavailable("they were tried just now".into())));
        }
        pick(&known.keys, token).map(|key| (key.clone(), known.generation)).ok_or(KeysError::Unknown)
    }

    /// Reads the keys once more, unless that was tried just now: by whoever had the flight before, or long ago.
    async fn refresh(&self, only_if_due: bool) -> Result<(), KeysError> {
        let _flight = self.0.flight.lock().await;
        if !self.may_try() || only_if_due && !self.is_due(&self.known()) {
            return Ok(());
        }
        *self.0.tried.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let read = timeout(self.0.refresh.patience, self.read()).await;
        let read = read.unwrap_or_else(|_| Err(KeysError::Unavailable("it took too long".into())));
        let parsed = read.and_then(|text| match Jwks::parse(&text) {
            Ok(keys) => Ok((keys, Digest::of(&text))),
            Err(error) => Err(KeysError::Unavailable(error.to_string())),
        });
        match parsed {
            Ok((keys, text)) => {
                let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
                let is_same = known.text == Some(text);
                let generation = known.generation.saturating_add(u64::from(!is_same));
                *known = Arc::new(Known { keys, text: Some(text), generation, read_at: Instant::now() });
                Ok(())
            }
            Err(error) => {
                tracing::warn!("an issuer's keys were not refreshed: {error}");
                Err(error)
            }
        }
    }

    async fn read(&self) -> Result<Vec<u8>, KeysError> {
        match &self.0.source {
            Source::Fixed => Err(KeysError::Unknown),
            Source::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.unwrap_or_else(|error| Err(KeysError::Unavailable(error.to_string())))
            }
            Source::Url(client) => {
                let mut request = Request::new(Body::empty());
                request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
                let answer = client.send(request, self.0.refresh.patience, MAX_JWKS_BYTES).await;
                let answer = answer.map_err(|error| KeysError::Unavailable(error.to_string()))?;
                if answer.status != StatusCode::OK {
                    let why = format!("the answer has the status {}", answer.status.as_u16());
                    return Err(KeysError::Unavailable(why));
                }
                Ok(answer.body.into())
            }
        }
    }
}

/// The one key that a token names; where it names none, the one that it can be of.
fn pick<'k>(keys: &'k Jwks, token: &Unverified<'_>) -> Option<&'k Jwk> {
    let mut could_be = keys.keys().iter().filter(|key| token.could_be_of(key));
    if token.header.get("kid").is_some() {
        let kid = token.header_text("kid")?;
        return could_be.find(|key| key.kid() == Some(kid));
    }
    let only = could_be.next()?;
    could_be.next().is_none().then_some(only)
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, KeysError> {
    use std::io::Read as _;
    let unavailable = |error: std::io::Error| KeysError::Unavailable(error.to_string());
    let limit = u64::try_from(MAX_JWKS_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    std::fs::File::open(path).map_err(unavailable)?.take(limit).read_to_end(&mut text).map_err(unavailable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::public_jwk;
    use crate::jws::{Alg, MAX_TOKEN_BYTES, sign};
    use chio_core::crypto::Keypair;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn set(keys: &[(&str, &Keypair)]) -> String {
        let keys: Vec<_> = keys
            .iter()
            .map(|(kid, key)| public_jwk(&key.public_key()).replacen('{', &format!(r#"{{"kid":"{kid}","#), 1))
            .collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    fn token(key: &Keypair, kid: Option<&str>) -> String {
        sign(key, &kid.map(|kid| format!(r#""kid":"{kid}""#)).unwrap_or_default(), b"{}").unwrap()
    }

    async fn find(keys: &Keys, token: &str) -> Result<u64, KeysError> {
        let token = Unverified::parse(token, MAX_TOKEN_BYTES, &Alg::OF_ISSUERS).unwrap();
        keys.find(&token).await.map(|(_, generation)| generation)
    }

    #[tokio::test]
    async fn a_token_names_its_key_or_can_be_of_one_alone() {
        let (a, b) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let keys = |text: String| Keys::fixed(Jwks::parse(text.as_bytes()).unwrap());
        let both = keys(set(&[("a", &a), ("b", &b)]));
        assert_eq!(find(&both, &token(&a, Some("a"))).await, Ok(0));
        assert_eq!(find(&both, &token(&a, Some("c"))).await, Err(KeysError::Unknown));
        assert_eq!(find(&both, &token(&a, None)).await, Err(KeysError::Unknown));
        let one = keys(set(&[("a", &a)]));
        assert_eq!(find(&one, &token(&a, None)).await, Ok(0));
        let wrong = sign(&a, r#""kid":1"#, b"{}").unwrap();
        assert_eq!(find(&one, &wrong).await, Err(KeysError::Unknown));
        let other_type = token(&Keypair::generate_for(chio_core::crypto::Algorithm::P256).unwrap(), Some("a"));
        assert_eq!(find(&one, &other_type).await, Err(KeysError::Unknown));
    }

    #[test]
    fn keys_come_from_https_or_from_this_machine() {
        for url in ["http://127.0.0.1:1/jwks", "http://[::1]/jwks", "https://issuer.example/jwks"] {
            assert!(!matches!(Keys::url(url, Refresh::default()), Err(KeysError::Place(_))), "{url}");
        }
        for url in [
            "http://issuer.example/jwks",
            "http://localhost/jwks",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "/jwks",
            "",
            "https://user:secret@issuer.example/",
            "http://127.0.0.1@evil.example/",
        ] {
            let error = Keys::url(url, Refresh::default()).unwrap_err();
            assert!(matches!(error, KeysError::Place(_)) && !error.to_string().contains("secret"), "{url}");
        }
    }

    /// A server of keys that counts how often it is asked.
    struct Server {
        url: String,
        asked: Arc<AtomicUsize>,
        answer: Arc<Mutex<(u16, String)>>,
    }

    async fn server(text: String) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new((200, text))));
        let (count, said) = (Arc::clone(&asked), Arc::clone(&answer));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let (status, text) = said.lock().unwrap().clone();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nlocation: /other\r\n\r\n", text.len());
                let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
            }
        });
        Server { url, asked, answer }
    }

    #[tokio::test]
    async fn keys_are_fetched_once_and_again_when_one_is_unknown() {
        let (a, b) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let server = server(set(&[("a", &a)])).await;
        let at_once = Refresh { unknown: Duration::ZERO, ..Refresh::default() };
        let keys = Keys::url(&server.url, Refresh::default()).unwrap();
        assert_eq!(keys.generation(), None);
        let (first, second) = (token(&a, Some("a")), token(&b, Some("b")));
        let many = futures_of(&keys, &first, 8).await;
        assert!(many.iter().all(|found| found == &Ok(1)), "{many:?}");
        assert_eq!(server.asked.load(Ordering::SeqCst), 1);
        // An unknown key right after a fetch asks for none.
        assert_eq!(futures_of(&keys, &second, 8).await, vec![Err(KeysError::Unknown); 8]);
        assert_eq!(server.asked.load(Ordering::SeqCst), 1);

        let keys = Keys::url(&server.url, at_once).unwrap();
        assert_eq!(find(&keys, &first).await, Ok(1));
        *server.answer.lock().unwrap() = (200, set(&[("b", &b)]));
        assert_eq!(find(&keys, &second).await, Ok(2));
        assert_eq!(find(&keys, &first).await, Err(KeysError::Unknown), "a key that is gone is gone");
        for broken in
            [(500, String::new()), (302, set(&[("a", &a)])), (200, "{}".into()), (200, " ".repeat(MAX_JWKS_BYTES + 1))]
        {
            *server.answer.lock().unwrap() = broken;
            assert_eq!(find(&keys, &first).await, Err(KeysError::Unknown));
            assert_eq!((find(&keys, &second).await, keys.generation()), (Ok(2), Some(2)), "the old ones are kept");
        }
    }

    async fn futures_of(keys: &Keys, token: &str, count: usize) -> Vec<Result<u64, KeysError>> {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (keys, token) = (keys.clone(), token.to_owned());
            tasks.spawn(async move { find(&keys, &token).await });
        }
        tasks.join_all().await
    }

    #[tokio::test]
    async fn keys_that_cannot_be_had_are_not_used_beyond_their_bound() {
        let a = Keypair::from_seed(&[1; 32]);
        let server = server(set(&[("a", &a)])).await;
        let refresh = Refresh { until: Duration::ZERO, unknown: Duration::ZERO, ..Refresh::default() };
        let keys = Keys::url(&server.url, refresh).unwrap();
        let token = token(&a, Some("a"));
        assert!(matches!(find(&keys, &token).await, Err(KeysError::Unavailable(_))));
        assert_eq!(keys.generation(), None);
        let nowhere = Keys::url("http://127.0.0.1:1/", Refresh::default()).unwrap();
        assert!(matches!(find(&nowhere, &token).await, Err(KeysError::Unavailable(_))));
        assert!(
            matches!(find(&nowhere, &token).await, Err(KeysError::Unavailable(_))),
            "it is not asked again at once"
        );
    }
}
