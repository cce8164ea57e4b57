//! How many requests a second pass through the gateway, and through nginx doing plain proxying: to the same upstream, on the same
//! cores, in turns.
//!
//! `cargo bench -p chio_tests --bench gateway`. The upstream is another nginx; the load is `wrk`'s. Both have to be there
//! (`apt-get install nginx-light wrk`). All of them share the cores, so what is compared is what a request costs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chio_http::gateway::{Metered, Metrics, Proxy, ProxyOptions, ServeOptions, Target, Workers};
use chio_http::origin::Origin;
use chio_http::route::{Route, Routes};
use chio_http::{GuardLayer, GuardedService, HttpGuard};
use chio_kernel::Kernel;
use tower_layer::Layer as _;

const ROUNDS: usize = 7;
const SECONDS: &str = "2s";
const CONNECTIONS: &str = "32";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to, and not when it is killed.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

fn started(command: &mut Command, address: SocketAddr) -> Running {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().expect("it starts");
    let running = Running(child);
    assert!((0..2_000_000).any(|_| std::net::TcpStream::connect(address).is_ok()), "it does not listen");
    running
}

fn nginx(at: &Path, name: &str, address: SocketAddr, server: &str) -> Running {
    let directory = at.join(name);
    std::fs::create_dir(&directory).expect("a directory");
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths: String = paths.iter().map(|name| format!("{name}_temp_path {name};\n")).collect();
    let config = format!(
        "daemon off; pid nginx.pid; error_log stderr; worker_processes 2;\nevents {{ worker_connections 1024; }}\n\
         http {{ {paths} access_log off; keepalive_requests 1000000; {} }}\n",
        server.replace("LISTEN", &format!("listen {address};"))
    );
    std::fs::write(directory.join("nginx.conf"), config).expect("a file");
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(&directory).arg("-c").arg(directory.join("nginx.conf")).args(["-e", "stderr"]);
    started(&mut nginx, address)
}

/// Requests a second, by wrk; and that all were answered.
fn load(address: SocketAddr) -> f64 {
    let url = format!("http://{address}/orders/42");
    let done = Command::new("wrk").args(["-t1", "-c", CONNECTIONS, "-d", SECONDS, &url]).output().expect("wrk");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect("a rate");
    line.trim().parse().expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The gateway, in a process of its own, as `chio gateway` runs it.
fn gateway(address: &str, upstream: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let (metrics, limits) = (Metrics::default(), ServeOptions::default());
        let options = ProxyOptions::new(Target::read(upstream).expect("a URL"));
        let count = Workers::count_for(limits.max_connections);
        let proxies = Proxy::several(count, &options, &metrics).expect("proxies");
        let kernel = Kernel::builder().build().expect("a kernel");
        let service = GuardedService {
            origins: vec![Origin::parse(&format!("http://{address}")).expect("an origin")],
            routes: Routes::new([Route::parse("GET:/orders/:id").expect("a route").public()]).expect("routes"),
            body_limit: 1 << 20,
        };
        let guard = GuardLayer::new(HttpGuard::new(kernel, service, Vec::new()).expect("a guard"));
        let services = proxies.into_iter().map(|proxy| Metered::new(guard.layer(proxy), metrics.clone())).collect();
        let workers = Workers::start(count).expect("threads");
        workers.serve(listener, &limits, services, &metrics, std::future::pending()).await.expect("it is served");
    });
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, address, upstream] = words.as_slice()
        && word == "gateway"
    {
        return gateway(address, upstream);
    }
    // `cargo test --all-targets` runs it to see that it runs, and no longer.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    for program in ["nginx", "wrk"] {
        if Command::new(program).arg("-v").output().is_err() {
            println!("not run: there is no {program}");
            return;
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (behind, before, ours) = (free(), free(), free());
    let body = "x".repeat(256);
    let _upstream = nginx(directory.path(), "upstream", behind, &format!("server {{ LISTEN return 200 \"{body}\"; }}"));
    let proxying = format!(
        "upstream u {{ server {behind}; keepalive 64; keepalive_requests 1000000; }}\n\
         server {{ LISTEN location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }} }}"
    );
    let _nginx = nginx(directory.path(), "proxy", before, &proxying);
    let mut chio = Command::new(std::env::current_exe().expect("a name"));
    let _chio = started(chio.args(["gateway", &ours.to_string(), &format!("http://{behind}")]), ours);
    let (mut theirs, mut own, mut ratios, mut alone) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (nginx, chio) = (load(before), load(ours));
        alone.push(load(behind));
        theirs.push(nginx);
        own.push(chio);
        ratios.push(chio / nginx);
    }
    println!("the upstream alone  {:>9.0} requests a second", median(alone));
    println!("through nginx       {:>9.0}", median(theirs));
    println!("through the gateway {:>9.0}", median(own));
    println!("ratio               {:>9.2}  (aim: at least 0.70)", median(ratios));
}
