//! `chio gateway`

mod guard;

mod reload;

mod report;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use chio_http::Guarded;
use chio_http::gateway::config::{AdminAt, Clients, Config, ConfigError, Host, Listen, Reference, Tls, UpstreamAt};
use chio_http::gateway::{
    Admin, ClientCertificates, Desk, DesksLayer, Metered, Metrics, Proxy, ProxyOptions, Readiness, ServeOptions,
    Target, WithDesks, Workers, serve, tls_server,
};
use chio_http::rollout::Rollouts;
use chio_kernel::Kernel;
use chio_kernel::config::Mode;
use chio_kernel::store::RevocationStore;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use toml::Spanned;
use tower_layer::Layer as _;
use zeroize::Zeroizing;

use self::reload::Reload;
use super::{at, log};
use crate::args::{Gateway, GatewayCommand};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::interrupt;
use crate::print::{GREEN, Printer, RESET};
use crate::source::{Source, place_in};
use crate::state::{self, Place};

const WHAT: &str = "the configuration";
const MAX_CONFIG_BYTES: usize = 1 << 20;
const MAX_PEM_BYTES: usize = 1 << 20;

pub(crate) fn run(args: &Gateway, printer: &Printer) -> Result<Exit, Failure> {
    if let Some(GatewayCommand::Report(args)) = &args.command {
        return report::run(args, printer);
    }
    let from = args.config.as_ref().unwrap_or(&Source::StandardInput);
    let text = text(from)?;
    let config = configuration(from, &text)?;
    let rollouts = Rollouts::new(reload::rollout(from, &text, &config)?);
    let options = serve_options(&config)?;
    let metrics = Metrics::default();
    let count = Workers::count_for(options.max_connections);
    let proxies = Proxy::several(count, &proxy_options(config.upstream.get_ref()), &metrics).map_err(|error| {
        Failure::new(error, "name the file of who signs its certificate as `ca_file` in [upstream], in PEM")
    })?;
    let key = config.kernel.key.as_ref().map(|key| files::read_key(&source(key))).transpose()?;
    let issuer = guard::issuer(&config)?;
    let read = guard::read(&config, issuer.as_ref(), &rollouts)?;
    for (what, help) in config.device.iter().flat_map(|device| device.get_ref().warnings()) {
        printer.warning(what, help);
    }
    if args.check {
        let (routes, address) = (config.route.len(), config.listen.address);
        let lenient = reload::not_enforced(&rollouts.now());
        let upstream = config.upstream.get_ref().url.0.to_string();
        let mut text = format!("{GREEN}ok{RESET}     {routes} routes\n");
        for one in &lenient {
            let _ = writeln!(text, "       {one}");
        }
        let value = json!({
            "address": address.to_string(), "not_enforced": lenient, "routes": routes, "upstream": upstream,
        });
        printer.answer(&value, &text)?;
        return Ok(Exit::Done);
    }
    log();
    let no_thread = |error| Failure::new(error, "this machine has no room for another thread");
    // For the operator; what clients ask for is answered by the workers.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(no_thread)?;
    let settings = guard::settings(&config);
    let mut builder = Kernel::builder();
    let (stores, records, key) = state::of_kernel(place(&config).as_ref(), key, &settings, at(None)?)?;
    if let Some(key) = key {
        builder = builder.signing_key(key);
    }
    let mode = Mode::from(config.kernel.mode);
    let (revocations, standings) = (Arc::clone(&stores.revocations), Arc::clone(&stores.standings));
    let kept = guard::Kept { records, revocations: Arc::clone(&revocations), usage: Arc::clone(&stores.usage) };
    let origin = config.listen.origin.0.as_str();
    let kernel = builder.settings(settings).stores(stores).tool_server_elsewhere(origin).mode(origin, mode).build();
    let kernel = kernel.map_err(|error| Failure::new(error, "set the clock of this machine"))?;
    let readiness = readiness(revocations, config.upstream.get_ref());
    let (guard, mut desks) = read.guard(&kernel, &kept, &standings)?;
    if let Some(issuer) = &issuer {
        issuer.traces_of(kernel.clone());
    }
    desks.extend(issuer.map(|issuer| -> Box<dyn Desk> { Box::new(issuer) }));
    let desks = DesksLayer::new(desks, config.listen.origin.0.clone());
    let service = |proxy| Metered::new(desks.layer(guard.layer(proxy)), metrics.clone());
    let services = proxies.into_iter().map(service).collect();
    let workers = Workers::start(count).map_err(no_thread)?;
    reload::warn(&rollouts.now());
    let reload = Reload::new(from.clone(), text, rollouts);
    let served = runtime.block_on(listen(&config, (&workers, &options), services, &metrics, (readiness, reload)));
    drop(workers);
    runtime.shutdown_background();
    if let Err(error) = pollster::block_on(kernel.flush()) {
        printer.warning(&format!("the last receipt cannot be written: {error}"), "check the disk of the state");
    }
    served
}

fn text(source: &Source) -> Result<String, Failure> {
    let bytes = source.read(WHAT, MAX_CONFIG_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{WHAT} {source} is not a text"), "it is TOML, in UTF-8"))
}

fn configuration(source: &Source, text: &str) -> Result<Config, Failure> {
    Config::parse(text).map_err(|error| wrong_at(source, text, error))
}

fn wrong_at(source: &Source, text: &str, error: ConfigError) -> Failure {
    let place = error.at.map_or_else(String::new, |at| format!(", {}", place_in(text, at)));
    Failure::new(format!("{WHAT} {source}{place}: {}", error.what), error.help)
}

fn source(reference: &Reference) -> Source {
    reference.as_str().parse().unwrap_or(Source::StandardInput)
}

fn place(config: &Config) -> Option<Place> {
    let state = config.kernel.state.as_deref().filter(|state| *state != "memory")?;
    Some(if state.starts_with("env:") { Place::read(state) } else { Place::of(state, "hidden") })
}

fn proxy_options(upstream: &UpstreamAt) -> ProxyOptions {
    ProxyOptions {
        target: upstream.url.0.clone(),
        keeps_host: upstream.host == Host::Keep,
        connect_timeout: upstream.connect_timeout_ms.duration(),
        response_timeout: upstream.response_timeout_ms.duration(),
        idle_timeout: upstream.idle_timeout_ms.duration(),
        tunnel_idle_timeout: upstream.websocket_idle_timeout_ms.duration(),
        idle_connection_timeout: upstream.idle_connection_timeout_ms.duration(),
        idle_connections: upstream.idle_connections.size(),
        max_body_bytes: u64::from(upstream.max_body_bytes.count()),
        ca_file: upstream.ca_file.clone(),
    }
}

fn serve_options(config: &Config) -> Result<ServeOptions, Failure> {
    let Listen { max_connections, max_streams, max_head_bytes, .. } = config.listen;
    Ok(ServeOptions {
        tls: config.tls.as_ref().map(Spanned::get_ref).map(tls).transpose()?,
        max_connections: max_connections.size(),
        max_streams: max_streams.count(),
        handshake_timeout: config.listen.handshake_timeout_ms.duration(),
        head_timeout: config.listen.head_timeout_ms.duration(),
        idle_timeout: config.listen.idle_timeout_ms.duration(),
        max_head_bytes: max_head_bytes.size(),
        stop_timeout: config.listen.stop_timeout_ms.duration(),
    })
}

fn tls(tls: &Tls) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let key = source(&tls.private_key);
    if let Source::File(path) = &key {
        files::check_private(path)?;
    }
    let pem = Zeroizing::new(key.read("the private key of TLS", MAX_PEM_BYTES)?);
    let clients = match (tls.client_certificates, &tls.client_ca_file) {
        (Clients::Required, Some(path)) => ClientCertificates::Required(path.clone()),
        (Clients::Optional, Some(path)) => ClientCertificates::Optional(path.clone()),
        _ => ClientCertificates::None,
    };
    tls_server(&tls.certificate_file, &pem, &clients).map_err(|error| Failure::new(&error, &error.help))
}

/// Whether requests could be decided and answered: the state and the upstream can be reached.
fn readiness(revocations: Arc<dyn RevocationStore>, upstream: &UpstreamAt) -> Readiness {
    let (target, patience): (Target, Duration) = (upstream.url.0.clone(), upstream.connect_timeout_ms.duration());
    Arc::new(move || {
        let (revocations, (host, port)) = (Arc::clone(&revocations), target.host_and_port());
        Box::pin(async move {
            let some = [chio_core::digest::Digest::of(b"readyz")];
            if revocations.first_revoked(&some).await.is_err() {
                return Err("the state cannot be reached".to_owned());
            }
            match tokio::time::timeout(patience, tokio::net::TcpStream::connect((host.as_str(), port))).await {
                Ok(Ok(_)) => Ok(()),
                _ => Err("the upstream cannot be reached".to_owned()),
            }
        })
    })
}

async fn listen(
    config: &Config,
    (workers, options): (&Workers, &ServeOptions),
    services: Vec<Metered<WithDesks<Guarded<Proxy>>>>,
    metrics: &Metrics,
    (readiness, reload): (Readiness, Reload),
) -> Result<Exit, Failure> {
    let (stop, mut stopped) = watch::channel(false);
    // Before anybody is told that it runs: until then each of these signals ends it.
    let end = end();
    reload.on_hangup()?;
    interrupt::hand_over();
    let listener = bind(config.listen.address).await?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let admin = match config.admin.as_ref().map(Spanned::get_ref) {
        None => None,
        Some(AdminAt { address, .. }) => Some(bind(*address).await?),
    };
    announce("listening", scheme, &listener);
    let operator = admin.map(|listener| {
        announce("admin", "http", &listener);
        let admin = Admin::new(metrics.clone(), readiness, Duration::from_secs(5));
        let limits =
            ServeOptions { max_connections: 64, stop_timeout: Duration::from_secs(1), ..ServeOptions::default() };
        let mut stopped = stopped.clone();
        // It answers until the last request is done, so that its health is not asked of a process that is told to end.
        tokio::spawn(serve(listener, limits, admin, Metrics::default(), async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }))
    });
    let told = async {
        end.await;
        tracing::info!("told to stop");
    };
    let ended = workers.serve(listener, options, services, metrics, told).await;
    let ended = ended.map_err(|error| Failure::new(error, "start it again"))?;
    if ended.cut_off > 0 {
        tracing::warn!("{} connections were cut off", ended.cut_off);
    }
    let _ = stop.send(true);
    let _ = stopped.changed().await;
    if let Some(operator) = operator {
        let _ = operator.await;
    }
    Ok(Exit::Done)
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let help = "name an address of this machine, and a port that is free; 0 stands for any";
        Failure::new(format!("{address} cannot be listened at: {error}"), help)
    })
}

fn announce(what: &str, scheme: &str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        crate::print::aside(&format!("{what} on {scheme}://{address}\n"));
    }
}

/// The process is told to end. To be called within a runtime, from when on it minds that.
fn end() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let on = |kind| {
        let signal = signal(kind);
        async move {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
    };
    let (terminate, interrupt) = (on(SignalKind::terminate()), on(SignalKind::interrupt()));
    async move {
        tokio::select! {
            () = terminate => {}
            () = interrupt => {}
        }
    }
}
