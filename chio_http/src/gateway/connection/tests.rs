//! Clients of HTTP/2 that keep up with their answers, and such as do not, by a clock that stands until everybody waits.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use tokio::io::duplex;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::*;

const LONG: usize = 1 << 20;

/// Says when it is given back.
#[derive(Clone, Default)]
struct Permit(Arc<AtomicBool>);

struct Given(Permit);

impl Drop for Given {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// Answers `/long` with much, which a permit goes with, `/never` with nothing, and everything else at once.
#[derive(Clone)]
struct Answers(Permit);

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let permit = self.0.clone();
        Box::pin(async move {
            Ok(Response::new(match request.uri().path() {
                "/long" => Body::whole(held(vec![b'a'; LONG], Given(permit))),
                "/never" => std::future::pending().await,
                _ => Body::whole("short"),
            }))
        })
    }
}

/// A client that takes so much of an answer without being asked, and whether its connection has ended.
async fn client(permit: &Permit, window: u32) -> (SendRequest<Body>, Arc<AtomicBool>) {
    let (near, far) = duplex(1 << 16);
    let (answers, ended) = (Answers(permit.clone()), Arc::<AtomicBool>::default());
    let has_ended = Arc::clone(&ended);
    tokio::spawn(async move {
        let (options, metrics, (_stop, stopped)) = (ServeOptions::default(), Metrics::default(), watch::channel(false));
        let peer = Peer::new("127.0.0.1:1".parse().unwrap(), true);
        connection(far, true, (peer, None), &options, answers, &metrics, stopped).await;
        has_ended.store(true, Ordering::SeqCst);
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let builder = builder.initial_stream_window_size(window).max_frame_size(1 << 14);
    let (sender, connection) = builder.handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    (sender, ended)
}

async fn ask(sender: &mut SendRequest<Body>, path: &str) -> Option<Response<Incoming>> {
    let uri = format!("https://api.example{path}");
    sender.ready().await.ok()?;
    sender.send_request(Request::builder().uri(uri).body(Body::empty()).unwrap()).await.ok()
}

/// Whatever else it asks for: a short answer every half minute, or one that the service takes its time for.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_left_unread_ends_the_connection() {
    for (window, another) in [(0, "/"), (1, "/"), (1 << 14, "/"), ((1 << 20) - 1, "/"), (1 << 14, "/never")] {
        let permit = Permit::default();
        let (mut sender, ended) = client(&permit, window).await;
        let answer = ask(&mut sender, "/long").await.unwrap();
        for _ in 0..6 {
            assert!(ended.load(Ordering::SeqCst) || !permit.0.load(Ordering::SeqCst), "{window} {another}");
            let next = Instant::now() + Duration::from_secs(30);
            drop(timeout_at(next, ask(&mut sender, another)).await);
            sleep_until(next).await;
        }
        assert!(ended.load(Ordering::SeqCst), "{window} {another}");
        assert!(permit.0.load(Ordering::SeqCst), "{window} {another}");
        drop(answer);
    }
}

/// A slow one is waited for, and so is the service.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_slowly_is_not_left_unread() {
    let permit = Permit::default();
    let (mut sender, _) = client(&permit, 1 << 14).await;
    let mut answer = ask(&mut sender, "/long").await.unwrap();
    let mut read = 0;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(answer.body_mut()).poll_frame(context)).await {
        read += frame.unwrap().into_data().unwrap().len();
        sleep(Duration::from_secs(50)).await;
    }
    assert_eq!(read, LONG);
    assert!(permit.0.load(Ordering::SeqCst));
    let (mut sender, ended) = client(&permit, 1 << 14).await;
    assert!(timeout(Duration::from_secs(600), ask(&mut sender, "/never")).await.is_err());
    assert!(!ended.load(Ordering::SeqCst));
}
