//! The admin socket's place in the file system.
//!
//! Readable by its owner only from its first instant; never taken from a living proxy.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use model::{Fault, Kind};

/// A bound admin socket; dropping it removes its file if it is still this one.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: u64,
}

/// Binds the admin socket in place of the file that a dead proxy left.
pub(crate) fn bind(path: &Path) -> Result<(Socket, UnixListener), Fault> {
    let shown = path.display();
    let trouble = |error: std::io::Error| {
        Fault::environment(format!("cannot open the admin socket {shown}: {error}"))
            .help("use a directory that this user can write to and a path under 100 bytes")
    };
    match UnixStream::connect(path) {
        Ok(_) => {
            let what = format!("a proxy is already serving at {shown}");
            return Err(Fault::new(Kind::Conflict, what).help("stop it, or use another socket"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            let kind = fs::symlink_metadata(path).map_err(trouble)?.file_type();
            if !kind.is_socket() {
                return Err(Fault::environment(format!("{shown} exists and is not a socket"))
                    .help("remove it, or use another path"));
            }
        }
        Err(error) => return Err(trouble(error)),
    }
    // Bound under another name, so that it is never seen with wider rights and replaces a stale one
    // in a single step.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(trouble(error));
    }
    let listener = UnixListener::bind(&fresh).map_err(trouble)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).map_err(trouble)?;
    listener.set_nonblocking(true).map_err(trouble)?;
    let inode = fs::symlink_metadata(&fresh).map_err(trouble)?.ino();
    fs::rename(&fresh, path).map_err(trouble)?;
    Ok((Socket { path: path.to_owned(), inode }, listener))
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Nobody else can need it; a file that stays is taken for stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}
