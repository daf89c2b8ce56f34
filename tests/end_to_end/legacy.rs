//! Contract section 6: applications that stay unmodified. The scripted upstream is one here: it reads plain headers and
//! its own cookies, and says nothing of sessions but what it always said.

mod capture;
mod ends;
mod gate;
mod inject;
mod sightings;
mod vault;
