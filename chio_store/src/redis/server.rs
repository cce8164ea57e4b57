//! What a server says of itself, and whether it can be trusted to remember.

use redis::aio::MultiplexedConnection;

use super::failure::refused;
use super::options::ConnectError;

/// What matters of a server's `INFO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Drawn at random by the server whenever it starts, and the history that it has: drawn anew whenever a replica becomes
    /// the primary.
    pub(super) run: String,
    /// Whether it writes every change to a file.
    pub(super) appends: bool,
    /// How many bytes it takes.
    pub(super) bytes: Option<u64>,
    /// Whether it is a node of a cluster.
    pub(super) is_clustered: bool,
    /// What it does when its memory is full, where it says so.
    policy: Option<String>,
    is_replica: bool,
    version: String,
}

/// The first version that is good enough.
const OLDEST: u64 = 6;

impl Server {
    /// Reads the answer to `INFO`.
    fn parse(info: &str) -> Result<Self, ConnectError> {
        let of = |name: &str| {
            let values = info.lines().filter_map(|line| line.trim_end().split_once(':'));
            values.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
        };
        let known = |name, what| of(name).filter(|id| !id.is_empty()).ok_or(ConnectError::Unknown(what));
        let run = known("run_id", "which run it is (run_id)")?;
        let history = known("master_replid", "which history it has (master_replid)")?;
        Ok(Self {
            run: format!("{run} {history}"),
            appends: of("aof_enabled").is_some_and(|enabled| enabled == "1"),
            bytes: of("used_memory").and_then(|bytes| bytes.parse().ok()),
            is_clustered: of("cluster_enabled").is_some_and(|enabled| enabled == "1"),
            policy: of("maxmemory_policy"),
            is_replica: of("role").is_some_and(|role| role != "master"),
            version: of("redis_version").ok_or(ConnectError::Unknown("its version (redis_version)"))?,
        })
    }

    /// Asks a server for it.
    pub(super) async fn ask(connection: &mut MultiplexedConnection) -> Result<Self, ConnectError> {
        let info: String = redis::cmd("INFO").query_async(connection).await.map_err(|error| refused(&error))?;
        let mut server = Self::parse(&info)?;
        if server.policy.is_none() {
            let mut command = redis::cmd("CONFIG");
            let answer = command.arg("GET").arg("maxmemory-policy").query_async::<Vec<String>>(connection).await;
            server.policy = answer.ok().and_then(|answer| answer.into_iter().nth(1));
        }
        Ok(server)
    }

    /// Refuses a server that is too old, a replica, or one that would drop what it is to remember.
    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let major = self.version.split('.').next().and_then(|major| major.parse::<u64>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Err(ConnectError::Version(self.version.clone()));
        }
        if self.is_replica {
            return Err(ConnectError::Replica);
        }
        match self.policy.as_deref() {
            Some("noeviction") => Ok(()),
            Some(policy) => Err(ConnectError::Eviction(policy.to_owned())),
            None => Err(ConnectError::Unknown("what it does when its memory is full (maxmemory-policy)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:ab12\r\n\r\n# Memory\r\nused_memory:77\r\n\
                        maxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\nmaster_replid:cd34\r\n";

    fn checked(from: &str, to: &str) -> Result<(), ConnectError> {
        assert!(INFO.contains(from));
        Server::parse(&INFO.replace(from, to))?.check()
    }

    #[test]
    fn a_server_that_could_forget_is_refused() {
        let server = Server::parse(INFO).unwrap();
        assert_eq!((server.run.as_str(), server.appends, server.bytes), ("ab12 cd34", true, Some(77)));
        assert_eq!(checked("7.0", "7.0"), Ok(()));
        assert_eq!(checked("7.0.15", "6.0.0"), Ok(()));
        assert_eq!(checked("7.0.15", "5.0.14"), Err(ConnectError::Version("5.0.14".into())));
        assert!(matches!(checked("7.0.15", "x"), Err(ConnectError::Version(_))));
        assert_eq!(checked("role:master", "role:slave"), Err(ConnectError::Replica));
        assert_eq!(checked("noeviction", "allkeys-lru"), Err(ConnectError::Eviction("allkeys-lru".into())));
        for hidden in ["run_id", "master_replid", "redis_version", "maxmemory_policy"] {
            assert!(matches!(checked(hidden, "x"), Err(ConnectError::Unknown(_))), "{hidden}");
        }
    }
}
