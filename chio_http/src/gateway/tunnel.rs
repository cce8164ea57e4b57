//! Two connections that are one from now on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::peer::Peer;

/// Passes bytes both ways until both sides have ended, one of them breaks, or nothing comes for a time.
pub(crate) async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, idle: Duration, peer: Option<Peer>) {
    let opened = tokio::time::timeout(idle, async { tokio::join!(client, upstream) }).await;
    if let Ok((Ok(client), Ok(upstream))) = opened {
        // How it ends is the affair of its two sides.
        let _ = pass(client, upstream, idle).await;
    }
    // The connection has its place for as long as this.
    drop(peer);
}

async fn pass(client: Upgraded, upstream: Upgraded, idle: Duration) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let passed = AtomicU64::new(0);
    let both = async {
        tokio::try_join!(one_way(from_client, to_upstream, &passed), one_way(from_upstream, to_client, &passed))
    };
    let mut both = std::pin::pin!(both);
    loop {
        let before = passed.load(Ordering::Relaxed);
        match tokio::time::timeout(idle, &mut both).await {
            Ok(ended) => return ended.map(|_| ()),
            Err(_) if passed.load(Ordering::Relaxed) == before => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        passed.fetch_add(1, Ordering::Relaxed);
        to.write_all(read).await?;
        to.flush().await?;
    }
    to.shutdown().await
}
