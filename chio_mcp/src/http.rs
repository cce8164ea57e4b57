//! stub
use std::net::SocketAddr;
use crate::relay::Relay;
#[derive(Debug)]
pub struct Front { pub address: SocketAddr, pub origins: Vec<String>, pub hosts: Vec<String> }
#[derive(Debug)]
pub enum HttpError { Address(SocketAddr), Url(String), Io(std::io::Error), Tls(String) }
impl std::fmt::Display for HttpError { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{self:?}") } }
pub async fn bridge<R: Relay>(_: &R, _: &str) -> Result<(), HttpError> { todo!() }
pub async fn serve<R: Relay>(_: R, _: Front, _: &[std::ffi::OsString], _: fn(SocketAddr)) -> Result<(), HttpError> { todo!() }
pub async fn proxy<R: Relay>(_: R, _: Front, _: &str, _: fn(SocketAddr)) -> Result<(), HttpError> { todo!() }
