//! The arguments of `chio device`.

use clap::{Args as ClapArgs, Subcommand};

use super::StateName;
use super::values::seconds;

/// What is done to the devices in a state. A gateway that works with it minds what is changed from its next request on.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// List devices
    List(DeviceList),
    /// Show a device: whose it is, its key, and whether it is turned away
    Show(DeviceWho),
    /// Turn a device away for a while
    Suspend(DeviceSuspend),
    /// Turn a device away: it stays so when its key is enrolled again
    Ban(DeviceWho),
    /// Welcome a device again, and forgive its failed signatures
    Reinstate(DeviceWho),
    /// Forget a device, so that its owner has room for another
    ///
    /// Gateways that work with the state forget it within a minute: ban it first where that is too long. Its key can be
    /// enrolled again, unless it is banned.
    Remove(DeviceWho),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeviceList {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// Only those of this issuer's …
    #[arg(long, value_name = "NAME", requires = "subject")]
    pub(crate) issuer: Option<String>,
    /// … subject
    #[arg(long, value_name = "NAME", requires = "issuer")]
    pub(crate) subject: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeviceWho {
    #[command(flatten)]
    pub(crate) state: StateName,
    /// The device
    #[arg(value_name = "ID", value_parser = id)]
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeviceSuspend {
    #[command(flatten)]
    pub(crate) who: DeviceWho,
    /// For how long: such as 90s, 15m, 1h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub(crate) length: u64,
}

/// An id begins with a hyphen once in 64 times: then it stands behind `--`.
fn id(text: &str) -> Result<String, String> {
    let id = chio_http::device::record::DeviceId::parse(text);
    id.map(|id| id.to_string()).ok_or_else(|| "write it as `chio device list` does: 43 characters".to_owned())
}
