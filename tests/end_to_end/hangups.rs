//! Contract 5, guarantee 5: a browser that hangs up after its complete request reached the upstream loses nothing.
//! Issue 2, "must hold" 6.

use crate::support::{Answer, Ask, Gate, Store, World, every_store, until, world};

#[derive(Clone, Copy)]
enum Ending {
    /// The browser closes its socket: FIN.
    Close,
    /// The browser is killed: RST.
    Reset,
}

/// Sends a request, hangs up while it waits in the upstream, lets it go on; the change must be there in the end.
fn hang_up(w: &World, ending: Ending) {
    let browser = w.browser(&w.proxy());
    browser.update(r#"{"user":"ada"}"#);
    for ask in [Ask::post("/", "a whole body"), Ask::get("/")] {
        browser.update(r#"{"saved":null}"#);
        let gate = Gate::new();
        let exchange = browser.open(ask, Answer::updating(r#"{"saved":"all the same"}"#).after(&gate));
        gate.arrived();
        match ending {
            Ending::Close => drop(exchange.into_connection()),
            Ending::Reset => exchange.into_connection().reset(),
        }
        // Requests on other connections, to give the proxy every occasion to notice.
        for _ in 0..10 {
            assert_eq!(browser.data(), r#"{"user":"ada"}"#);
        }
        gate.release();
        until("the change of the browser that hung up", || {
            (browser.data() == r#"{"user":"ada","saved":"all the same"}"#).then_some(())
        });
    }
}

every_store! {
    fn a_browser_that_closes_its_connection_loses_nothing(w) {
        hang_up(w, Ending::Close);
    }

    fn a_browser_that_resets_its_connection_loses_nothing(w) {
        hang_up(w, Ending::Reset);
    }
}

#[test]
fn a_first_visit_that_is_hung_up_on_is_stored() {
    world(Store::Redis, |w| {
        let browser = w.browser(&w.proxy());
        let gate = Gate::new();
        let exchange = browser.open(Ask::get("/"), Answer::updating(r#"{"first":"visit"}"#).after(&gate));
        gate.arrived();
        exchange.into_connection().reset();
        browser.visit();
        gate.release();
        until("the session to be stored", || (w.redis().sessions().len() == 1).then_some(()));
    });
}
