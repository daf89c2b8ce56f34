//! After a `101`: bytes both ways until either side is done. Nothing in them is looked at.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

/// Joins the two sides of an upgraded connection until both have closed, or one has broken.
pub async fn tunnel(browser: OnUpgrade, application: OnUpgrade) {
    let (browser, application) = match tokio::try_join!(browser, application) {
        Ok(sides) => sides,
        Err(error) => return debug!(target: "cloakroom::upstream", %error, "an upgrade was not carried out"),
    };
    let (mut browser, mut application) = (TokioIo::new(browser), TokioIo::new(application));
    if let Err(error) = tokio::io::copy_bidirectional(&mut browser, &mut application).await {
        debug!(target: "cloakroom::upstream", %error, "a tunnel broke");
    }
}
