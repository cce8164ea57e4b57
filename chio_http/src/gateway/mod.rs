//! The reverse proxy: listeners, one upstream, and what an operator sees of them.
//!
//! ```text
//! serve ─▶ Metered ─▶ the guard, a layer ─▶ Proxy ─▶ the upstream
//! serve ─▶ Admin                                          (another address)
//! ```

mod problem;

mod names;

mod peer;

mod headers;

mod admit;

mod flow;

mod limits;

mod upstream;

mod tunnel;

mod metrics;

mod desks;

mod proxy;

pub mod config;

mod tls;

mod connection;

mod serve;

mod workers;

mod admin;

pub use self::admin::{Admin, Readiness};
pub use self::desks::{Desk, DesksLayer, WithDesks};
pub use self::limits::ServeOptions;
pub use self::metrics::{Metered, Metrics};
pub use self::peer::Peer;
pub use self::proxy::{Proxy, ProxyOptions};
pub use self::serve::{Stopped, serve};
pub use self::tls::{ClientCertificates, NoTls, server as tls_server};
pub use self::upstream::{NoUpstream, Target};
pub use self::workers::Workers;
