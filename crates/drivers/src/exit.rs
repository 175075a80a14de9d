//! Waiting for the end of a process by its descriptor.
//!
//! Whose end it is, and who reaps it, is the caller's affair.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Resolves when the process of this pidfd is gone (or a zombie).
pub(crate) async fn ended(descriptor: OwnedFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "its successor is an unsafe function; what that demands (the descriptor is owned \
                  and stays the same) holds for an OwnedFd that is moved in"
    )]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    let _readable = descriptor.readable().await;
    Ok(())
}
