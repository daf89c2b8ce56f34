//! Counters and histograms: arrays of atomics, made before anything is counted.
//!
//! A label is an enum (`labels!`), so that what a client sends can never become one, and counting under it is an index.
//! Each shard has its own meters, and so has the thread at the front desk (the door, the listeners for operators and
//! applications): of each meter one thread is the writer. So to count is to read and to write, and nothing that makes the
//! processor wait for others; a build with debug assertions panics where a second thread counts. Everybody may read: meters
//! are added up when somebody asks. Relaxed order is enough: every number is right by itself, and numbers that belong
//! together are read moments apart anyhow.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
#[cfg(debug_assertions)]
use std::{
    sync::OnceLock,
    thread::{self, ThreadId},
};

/// A label whose values were known when the program was built.
pub trait Label: Copy + 'static {
    /// Every value, in the order of their indices.
    const ALL: &'static [Self];

    /// Where it stands in [`Label::ALL`].
    fn index(self) -> usize;

    /// As it is told.
    fn text(self) -> &'static str;
}

/// Makes an enum whose variants are the values of a [`Label`].
macro_rules! labels {
    ($(#[$note:meta])* $visibility:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$note])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name { $($(#[$about])* $variant,)+ }

        impl $crate::telemetry::meter::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}
pub(crate) use labels;

/// A number that only grows. Only one thread ever counts with it: of two, one's count could be lost. Any may read.
#[derive(Debug, Default)]
pub struct Counter {
    total: AtomicU64,
    /// The thread that counts, once it has.
    #[cfg(debug_assertions)]
    writer: OnceLock<ThreadId>,
}

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        #[cfg(debug_assertions)]
        self.check_writer();
        // A locked instruction would cost ten times as much, and keep later reads from beginning.
        self.total.store(self.total.load(Relaxed).wrapping_add(more), Relaxed);
    }

    #[cfg(debug_assertions)]
    fn check_writer(&self) {
        let this = thread::current().id();
        assert_eq!(*self.writer.get_or_init(|| this), this, "a meter has one writer");
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L> {
    each: Box<[Counter]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self { each: L::ALL.iter().map(|_| Counter::default()).collect(), label: PhantomData }
    }
}

impl<L: Label> Counters<L> {
    /// One more of these.
    pub fn count(&self, label: L) {
        self.of(label).count();
    }

    /// The counter of this value.
    pub fn of(&self, label: L) -> &Counter {
        &self.each[label.index()]
    }
}

/// Upper bounds of durations, in seconds.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of what goes into one header field.
pub const BYTES: &[f64] = &[256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0];

/// The same bounds in nanoseconds, and in bytes.
static NANOSECONDS: [u64; SECONDS.len()] = in_parts(SECONDS, 1e9);
static WHOLE_BYTES: [u64; BYTES.len()] = in_parts(BYTES, 1.0);

const fn in_parts<const N: usize>(bounds: &[f64], parts: f64) -> [u64; N] {
    let (mut limits, mut at) = ([0; N], 0);
    while at < N {
        limits[at] = (bounds[at] * parts + 0.5) as u64;
        at += 1;
    }
    limits
}

/// How often something measured how much.
#[derive(Debug)]
pub struct Histogram {
    /// In the whole unit, and in the parts in which measurements are summed.
    bounds: &'static [f64],
    parts: f64,
    /// The same bounds in those parts.
    limits: &'static [u64],
    /// One more than there are bounds.
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    /// Of durations.
    pub fn of_seconds() -> Self {
        Self::new(SECONDS, 1e9, &NANOSECONDS)
    }

    /// Of bytes.
    pub fn of_bytes() -> Self {
        Self::new(BYTES, 1.0, &WHOLE_BYTES)
    }

    fn new(bounds: &'static [f64], parts: f64, limits: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, parts, limits, buckets, sum: Counter::default() }
    }

    /// Measured once more.
    pub fn observe(&self, duration: Duration) {
        self.observe_parts(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Measured once more.
    pub fn observe_bytes(&self, bytes: usize) {
        self.observe_parts(bytes as u64);
    }

    fn observe_parts(&self, measured: u64) {
        // One after the other: what is measured mostly belongs to one of the first.
        let at = self.limits.iter().position(|limit| measured <= *limit).unwrap_or(self.limits.len());
        self.buckets[at].count();
        self.sum.add(measured);
    }
}

/// Histograms of the same kind, added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// Upper bounds, and how many measurements were at or below each.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were in all.
    pub count: u64,
    /// What they make together, in the whole unit.
    pub sum: f64,
}

impl Sum {
    /// Adds them up; `None` if there is none.
    pub fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Option<Self> {
        let mut histograms = histograms.into_iter().peekable();
        let first = *histograms.peek()?;
        let mut each = vec![0; first.buckets.len()];
        let mut sum = 0;
        for histogram in histograms {
            each.iter_mut().zip(&histogram.buckets).for_each(|(all, one)| *all += one.total());
            sum += histogram.sum.total();
        }
        let mut count = 0;
        let cumulated = first.bounds.iter().zip(&each).map(|(bound, more)| {
            count += more;
            (*bound, count)
        });
        let buckets = cumulated.collect();
        Some(Self { buckets, count: count + each.last().copied().unwrap_or_default(), sum: sum as f64 / first.parts })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    labels! {
        /// How it went.
        enum Way {
            /// Well.
            Good = "good",
            /// Not well.
            Bad = "bad",
        }
    }

    #[test]
    fn each_value_of_a_label_has_a_counter_of_its_own() {
        let counters = Counters::default();
        counters.count(Way::Bad);
        counters.of(Way::Bad).add(2);
        assert_eq!(Way::ALL.iter().map(|way| counters.of(*way).total()).collect::<Vec<_>>(), [0, 3]);
        assert!(Way::ALL.iter().enumerate().all(|(index, way)| way.index() == index && !way.text().is_empty()));
    }

    #[test]
    fn what_one_thread_counts_every_thread_can_read() {
        let (counter, histogram) = (Counter::default(), Histogram::of_bytes());
        for length in 0..1000 {
            counter.count();
            histogram.observe_bytes(length);
        }
        let read = || (counter.total(), Sum::of([&histogram]).unwrap());
        let (total, sum) = thread::scope(|scope| scope.spawn(read).join().unwrap());
        assert_eq!((total, sum.count, sum.sum), (1000, 1000, 499_500.0));
    }

    /// So every test of the whole program is one of who counts with what.
    #[test]
    #[cfg(debug_assertions)]
    fn a_second_thread_that_counts_is_found() {
        let counters = Counters::default();
        counters.count(Way::Good);
        let count = |way: Way| thread::scope(|scope| scope.spawn(|| counters.count(way)).join().is_ok());
        assert_eq!([Way::Good, Way::Bad].map(count), [false, true], "of one it is not the first");
        assert_eq!(Way::ALL.iter().map(|way| counters.of(*way).total()).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_measurement_at_a_bound_is_within_it() {
        for (bounds, parts, kind) in
            [(SECONDS, 1e9, Histogram::of_seconds as fn() -> Histogram), (BYTES, 1.0, Histogram::of_bytes)]
        {
            for (at, bound) in bounds.iter().enumerate() {
                let (histogram, limit) = (kind(), (bound * parts).round() as u64);
                [0, limit, limit + 1].into_iter().for_each(|measured| histogram.observe_parts(measured));
                let sum = Sum::of([&histogram]).unwrap();
                let below = |at: usize| sum.buckets.get(at).map_or(3, |bucket| bucket.1);
                assert_eq!((sum.buckets[at], below(at + 1), sum.count), ((*bound, 2), 3, 3));
            }
        }
        let histogram = Histogram::of_seconds();
        [0, 500, 60_000_001].into_iter().for_each(|micros| histogram.observe(Duration::from_micros(micros)));
        let sum = Sum::of([&histogram]).unwrap();
        assert!((sum.sum - 60.000_501).abs() < 1e-9, "{}", sum.sum);
    }

    #[test]
    fn histograms_of_several_shards_are_added_up() {
        let (one, other) = (Histogram::of_bytes(), Histogram::of_bytes());
        one.observe_bytes(256);
        other.observe_bytes(257);
        other.observe_bytes(1 << 20);
        let sum = Sum::of([&one, &other]).unwrap();
        assert_eq!((sum.buckets[0].1, sum.buckets[1].1, sum.buckets[8].1, sum.count), (1, 2, 2, 3));
        assert_eq!(sum.sum, 513.0 + 1_048_576.0);
        assert_eq!(Sum::of([]), None);
    }
}
