//! The listeners of one process, bound before anything is served, so that a process that cannot have one of its
//! addresses ends at once.

use tracing::warn;

use super::{ServeError, Settings};
use crate::socket::{Access, Address, Listener};

/// The listeners of one process, bound.
pub struct Listeners {
    pub(super) public: Vec<Listener>,
    pub(super) application: Option<Listener>,
    pub(super) admin: Option<Listener>,
}

impl Listeners {
    /// Binds every address of the settings. A Unix socket is open to everybody who may enter its folder, that of the
    /// admin listener to its owner only.
    ///
    /// # Errors
    /// [`ServeError::Bind`] names the first that cannot be bound.
    pub async fn bind(settings: &Settings) -> Result<Self, ServeError> {
        let mut public = Vec::new();
        for address in &settings.listen {
            public.push(bind(address, Access::Everybody).await?);
        }
        Ok(Self {
            public,
            application: bind_some(settings.application.as_ref(), Access::Everybody).await?,
            admin: bind_some(settings.admin.as_ref().map(|admin| &admin.address), Access::Owner).await?,
        })
    }

    /// The public addresses, as they were bound.
    pub fn addresses(&self) -> Vec<Address> {
        self.public.iter().filter_map(|listener| listener.address().ok()).collect()
    }
}

async fn bind(address: &Address, access: Access) -> Result<Listener, ServeError> {
    Listener::bind(address, access).await.map_err(ServeError::Bind)
}

async fn bind_some(address: Option<&Address>, access: Access) -> Result<Option<Listener>, ServeError> {
    match address {
        Some(address) => bind(address, access).await.map(Some),
        None => Ok(None),
    }
}

/// Lets this process open as many files as its hard limit allows: a connection is a file, and an upstream's another.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }) {
        warn!(target: "cloakroom::server", %error, "the limit of open files stays as it was");
    }
}
