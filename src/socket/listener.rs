//! A bound address. Of a Unix socket the file as well, from the making to the removal.

use std::{
    fmt,
    fs::{self, Metadata},
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use rustix::{fs::Mode, process::umask};
use tokio::net::{TcpListener, UnixListener};

use super::{Accepted, Address};

/// Who may connect to a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever may enter its folder (0666).
    Everybody,
    /// The user that this process runs as, and root (0600).
    Owner,
}

/// Why there is no listener.
#[derive(Debug)]
pub enum BindError {
    /// The system refuses.
    Refused(Address, io::Error),
    /// Somebody listens on this Unix socket.
    Alive(PathBuf),
    /// There is a file of this name, and it is no socket.
    NoSocket(PathBuf),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Alive(path) => write!(
                f,
                "cannot listen on unix:{}: address in use by another process; stop it or choose another path",
                path.display()
            ),
            Self::NoSocket(path) => write!(
                f,
                "cannot listen on unix:{}: there is a file of that name that is no socket; remove it or choose another path",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_, error) => Some(error),
            Self::Alive(_) | Self::NoSocket(_) => None,
        }
    }
}

/// A bound address that connections come to.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket that we made; removed with the listener, unless somebody has put another in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    made: Option<(u64, u64)>,
}

impl Listener {
    /// Binds an address. `access` is for Unix sockets.
    ///
    /// # Errors
    /// [`BindError`]
    pub async fn bind(address: &Address, access: Access) -> Result<Self, BindError> {
        let refused = |error| BindError::Refused(address.clone(), error);
        match address {
            Address::Tcp(socket) => TcpListener::bind(socket).await.map(Self::Tcp).map_err(refused),
            Address::Unix(path) => {
                clear(path)?;
                let listener = bind_file(path, access).map_err(refused)?;
                let made = fs::symlink_metadata(path).ok().map(|file| identity(&file));
                Ok(Self::Unix(listener, SocketFile { path: path.clone(), made }))
            }
        }
    }

    /// Where it listens, as it was bound.
    ///
    /// # Errors
    /// The system does not know.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// There are no resources for it; it may be asked again.
    pub async fn accept(&self) -> io::Result<Accepted> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection, if there is one already.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map(|accepted| {
                let (stream, peer) = accepted?;
                Ok(Accepted::Tcp(stream.into_std()?, peer.ip()))
            }),
            Self::Unix(listener, _) => {
                listener.poll_accept(cx).map(|accepted| Ok(Accepted::Unix(accepted?.0.into_std()?)))
            }
        }
    }
}

/// Removes what a dead process left. Nobody listens where a connection is refused.
fn clear(path: &Path) -> Result<(), BindError> {
    let refused = |error| BindError::Refused(Address::Unix(path.to_owned()), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(file) if !file.file_type().is_socket() => return Err(BindError::NoSocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(refused),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(BindError::Alive(path.to_owned())),
    }
}

/// The mask belongs to the process, not to the thread.
static MASK: Mutex<()> = Mutex::new(());

/// The file has its mode from its first moment on: whoever comes before a `chmod` would stay connected.
fn bind_file(path: &Path, access: Access) -> io::Result<UnixListener> {
    let _alone = MASK.lock().unwrap_or_else(PoisonError::into_inner);
    let withheld = match access {
        Access::Everybody => Mode::from_raw_mode(0o111),
        Access::Owner => Mode::from_raw_mode(0o177),
    };
    let before = umask(withheld);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).ok().map(|file| identity(&file));
        if there.is_some() && there == self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    async fn bind(path: &Path, access: Access) -> Result<Listener, BindError> {
        Listener::bind(&Address::Unix(path.to_owned()), access).await
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        for (access, mode) in [(Access::Owner, 0o600), (Access::Everybody, 0o666)] {
            let listener = bind(&path, access).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(listener.address().unwrap().to_string(), format!("unix:{}", path.display()));
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_socket_that_a_dead_process_left_is_replaced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = bind(&path, Access::Owner).await.unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        assert!(matches!(listener.accept().await.unwrap(), Accepted::Unix(_)));
    }

    #[tokio::test]
    async fn a_socket_that_somebody_listens_on_and_a_file_that_is_none_stay() {
        let folder = TempDir::new().unwrap();
        let (alive, file) = (folder.path().join("s"), folder.path().join("f"));
        let _other = std::os::unix::net::UnixListener::bind(&alive).unwrap();
        assert!(matches!(bind(&alive, Access::Owner).await, Err(BindError::Alive(_))));
        UnixStream::connect(&alive).unwrap();
        fs::write(&file, "data").unwrap();
        assert!(matches!(bind(&file, Access::Owner).await, Err(BindError::NoSocket(_))));
        assert_eq!(fs::read(&file).unwrap(), b"data");
    }

    #[tokio::test]
    async fn a_socket_that_was_put_in_the_place_of_ours_stays() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        let ours = bind(&path, Access::Owner).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }
}
