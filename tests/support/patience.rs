//! Waiting without sleeping: conditions that are polled up to a limit, and gates at which the upstream stops.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// The limit of every wait. Generous, because the machine may be busy: it bounds a failing test, not a passing one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until the condition yields a value; panics with `what` after the limit.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
        let_pass(Duration::from_millis(10));
    }
}

/// Lets time pass where time itself is what the test is about (a reader that pauses, a session that idles).
pub(crate) fn let_pass(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Where the upstream stops until the test lets it go on.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Mutex<Waiting>, Condvar)>);

struct Waiting {
    expected: usize,
    arrived: usize,
    open: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::for_all(1)
    }

    /// A gate that has "arrived" when so many requests wait at it.
    pub(crate) fn for_all(expected: usize) -> Self {
        Self(Arc::new((Mutex::new(Waiting { expected, arrived: 0, open: false }), Condvar::new())))
    }

    /// Blocks the test until the expected number of requests wait.
    pub(crate) fn arrived(&self) {
        let (waiting, changed) = &*self.0;
        let guard = waiting.lock().expect("gate");
        let (guard, _) = changed.wait_timeout_while(guard, PATIENCE, |w| w.arrived < w.expected).expect("gate");
        assert!(guard.arrived >= guard.expected, "{} of {} requests reached the gate", guard.arrived, guard.expected);
    }

    /// Lets everybody through, now and later.
    pub(crate) fn release(&self) {
        let (waiting, changed) = &*self.0;
        waiting.lock().expect("gate").open = true;
        changed.notify_all();
    }

    /// The upstream's side: announces itself and waits.
    pub(crate) fn pass(&self) {
        let (waiting, changed) = &*self.0;
        let mut guard = waiting.lock().expect("gate");
        guard.arrived += 1;
        changed.notify_all();
        let _ = changed.wait_timeout_while(guard, PATIENCE * 2, |w| !w.open).expect("gate");
    }
}

#[test]
fn a_gate_holds_whoever_comes_until_it_is_released() {
    let (gate, held) = (Gate::for_all(2), Gate::new());
    let visitors: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            std::thread::spawn(move || gate.pass())
        })
        .collect();
    gate.arrived();
    assert!(visitors.iter().all(|visitor| !visitor.is_finished()));
    gate.release();
    for visitor in visitors {
        visitor.join().expect("visitor");
    }
    held.release();
    held.pass();
}
