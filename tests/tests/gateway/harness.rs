//! A gateway in this process, an upstream that is nothing but a socket, and a client that is nothing but a socket.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use chio_http::gateway::{Metered, Metrics, Proxy, ProxyOptions, ServeOptions, Stopped, Target, serve};
use chio_http::{Body, Caller};
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_service::Service;

/// Nothing here takes longer, unless it hangs.
pub const LONG: Duration = Duration::from_secs(30);

/// What arrived at an upstream, one text a request, or what was left of one.
pub type Seen = Arc<Mutex<Vec<String>>>;

/// An upstream on a free port, each of whose connections is handled by this.
pub async fn upstream<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// One that writes down every request, and gives this answer to each.
pub async fn recorder(answer: &'static str) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let address = upstream(move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            while let Some(request) = read_request(&mut stream, &kept).await {
                kept.lock().unwrap().push(request);
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (address, seen)
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request, to the byte; none at the end of the connection. What breaks off is written down, too.
pub async fn read_request(stream: &mut TcpStream, kept: &Seen) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some(end) = text.find("\r\n\r\n") {
            let (head, body) = text.split_at(end + 4);
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let is_whole = match length {
                Some(length) => body.len() >= length,
                None if lower.contains("transfer-encoding: chunked") => {
                    body.contains("0\r\n") && body.ends_with("\r\n\r\n")
                }
                None => true,
            };
            if is_whole {
                return Some(text);
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => {
                if !text.is_empty() {
                    kept.lock().unwrap().push(format!("BROKEN OFF: {text}"));
                }
                return None;
            }
        }
    }
}

/// A gateway before an upstream.
pub struct Gateway {
    pub address: SocketAddr,
    pub metrics: Metrics,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Stopped>,
}

#[derive(Clone)]
pub struct Options {
    pub proxy: ProxyOptions,
    pub serve: ServeOptions,
    pub caller: Option<Caller>,
}

impl Options {
    pub fn to(upstream: SocketAddr) -> Self {
        Self::to_url(&format!("http://{upstream}"))
    }

    pub fn to_url(url: &str) -> Self {
        let proxy = ProxyOptions::new(Target::read(url).unwrap());
        Self { proxy, serve: ServeOptions::default(), caller: None }
    }

    pub async fn start(self) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let proxy = Proxy::new(self.proxy, metrics.clone()).unwrap();
        let service = Metered::new(Says { inner: proxy, caller: self.caller }, metrics.clone());
        let (stop, stopped) = oneshot::channel();
        let stop_it = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, self.serve, service, metrics.clone(), stop_it));
        Gateway { address, metrics, stop: Some(stop), serving }
    }
}

impl Gateway {
    pub async fn before(upstream: SocketAddr) -> Self {
        Options::to(upstream).start().await
    }

    /// Sends bytes, and returns all that comes back until the connection is closed.
    pub async fn exchange(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.write(request).await;
        client.rest().await
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    pub async fn stop(mut self) -> Stopped {
        drop(self.stop.take());
        tokio::time::timeout(LONG, self.serving).await.expect("it stops").unwrap()
    }
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until this was read, and returns all of it.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&text).contains(end) {
                let mut buffer = [0; 1024];
                let count = self.0.read(&mut buffer).await.unwrap();
                assert!(count > 0, "it ended with {:?}", String::from_utf8_lossy(&text));
                text.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(LONG, reading).await.expect("it comes");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// All that comes until the end, be it a good or a bad one.
    pub async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = tokio::time::timeout(LONG, self.0.read_to_end(&mut text)).await.expect("it ends");
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The values of a header in the text of a message.
pub fn values<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// What a guard does to a request that it lets through.
#[derive(Clone)]
struct Says<S> {
    inner: S,
    caller: Option<Caller>,
}

impl<S> Service<Request<Body>> for Says<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        Box::pin(self.inner.call(request))
    }
}
