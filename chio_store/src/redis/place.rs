//! Where the Redis is that has to be written to: at one host, at the first of several that takes writes, where sentinels say
//! that it is, or at the node of a cluster that has the keys.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _};
use redis::{RedisConnectionInfo, Value};
use tokio::time::timeout;

use super::failure::refused;
use super::options::{ConnectError, RedisOptions};
use super::server::Server;

/// The hosts of a URL, and whom to ask for there.
pub(super) struct Place {
    hosts: Vec<ConnectionInfo>,
    /// The name by which sentinels know the primary, where the hosts are sentinels.
    primary: Option<String>,
    /// How long one of several hosts is tried.
    patience: Duration,
}

impl Place {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, ConnectError> {
        let (scheme, rest) = options.url.split_once("://").ok_or(ConnectError::Url)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let host = |host: &str| {
            let url = format!("{scheme}://{user}{at}{host}{path}");
            url.into_connection_info().map_err(|_| ConnectError::Url)
        };
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        let many = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let patience = options.timeout.checked_div(many).unwrap_or(options.timeout);
        Ok(Self { hosts, primary: options.primary.clone(), patience })
    }

    /// Connects to a server that takes writes and can be trusted to remember. `key` is one that is to be kept there.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        key: &[u8],
    ) -> Result<(MultiplexedConnection, Server), ConnectError> {
        let mut why = ConnectError::Url;
        for host in &self.hosts {
            let tried = self.connect_by(host, config, key);
            // One alone has all the time that there is: its caller has a deadline.
            let tried = if self.hosts.len() == 1 { Ok(tried.await) } else { timeout(self.patience, tried).await };
            match tried {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => why = error,
                Err(_) => why = ConnectError::Unreachable("it did not answer in time".into()),
            }
        }
        Err(why)
    }

    async fn connect_by(
        &self,
        host: &ConnectionInfo,
        config: &AsyncConnectionConfig,
        key: &[u8],
    ) -> Result<(MultiplexedConnection, Server), ConnectError> {
        let named = match &self.primary {
            Some(name) => &ask_sentinel(host, config, name).await?,
            None => host,
        };
        let mut connection = open(named, config).await?;
        let mut server = Server::ask(&mut connection).await?;
        if server.is_clustered
            && let Some(owner) = owner(named, &mut connection, key).await?
        {
            connection = open(&owner, config).await?;
            server = Server::ask(&mut connection).await?;
        }
        server.check()?;
        Ok((connection, server))
    }
}

async fn open(at: &ConnectionInfo, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, ConnectError> {
    let client = Client::open(at.clone()).map_err(|_| ConnectError::Url)?;
    client.get_multiplexed_async_connection_with_config(config).await.map_err(|error| refused(&error))
}

/// The same but for the host and the port.
fn moved(from: &ConnectionInfo, to: &str, port: u16) -> ConnectionInfo {
    let addr = match from.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: to.to_owned(), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(to.to_owned(), port),
    };
    from.clone().set_addr(addr)
}

/// Where a sentinel says that the primary is. Sentinels have no passwords and no databases.
async fn ask_sentinel(
    sentinel: &ConnectionInfo,
    config: &AsyncConnectionConfig,
    name: &str,
) -> Result<ConnectionInfo, ConnectError> {
    let unnamed = sentinel.clone().set_redis_settings(RedisConnectionInfo::default());
    let mut connection = open(&unnamed, config).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(name);
    let answer: Option<(String, u16)> = command.query_async(&mut connection).await.map_err(|error| refused(&error))?;
    let (host, port) = answer.ok_or(ConnectError::Unknown("where the primary of this name is: ask its sentinels"))?;
    Ok(moved(sentinel, &host, port))
}

/// The node of a cluster that has a key; nothing where it is the one that was asked.
async fn owner(
    asked: &ConnectionInfo,
    connection: &mut MultiplexedConnection,
    key: &[u8],
) -> Result<Option<ConnectionInfo>, ConnectError> {
    let (mut slot, mut slots) = (redis::cmd("CLUSTER"), redis::cmd("CLUSTER"));
    let slot = slot.arg("KEYSLOT").arg(key).query_async::<u64>(connection).await.map_err(|error| refused(&error))?;
    let slots = slots.arg("SLOTS").query_async::<Vec<Vec<Value>>>(connection).await.map_err(|error| refused(&error))?;
    let owner = slots.into_iter().find_map(|range| {
        let [first, last, node, ..] = range.as_slice() else { return None };
        let (first, last) = (u64::from_redis_value(first.clone()).ok()?, u64::from_redis_value(last.clone()).ok()?);
        let Value::Array(node) = node else { return None };
        let (host, port) = (Option::<String>::from_redis_value(node.first()?.clone()).ok()?, node.get(1)?.clone());
        let port = u16::from_redis_value(port).ok()?;
        (first..=last).contains(&slot).then_some((host.filter(|host| !host.is_empty()), port))
    });
    let (host, port) = owner.ok_or(ConnectError::Unknown("which node has the keys: the cluster is not whole"))?;
    let (asked_host, asked_port) = match asked.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host, *port),
        _ => return Ok(None),
    };
    let host = host.as_ref().unwrap_or(asked_host);
    Ok((host != asked_host || port != asked_port).then(|| moved(asked, host, port)))
}
