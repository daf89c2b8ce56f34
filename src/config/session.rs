//! `[session]`: the rules of a session's life, and the contradictions between its timers.

use std::time::Duration;

use super::{
    section::{Section, Typed, contradiction},
    units,
};
use crate::session::{
    Policy,
    policy::{Create, On5xx, Slide},
};

/// Timers that can contradict each other.
struct Timers {
    idle: Typed<Duration>,
    absolute: Typed<Duration>,
    max_idle: Typed<Duration>,
    max_absolute: Typed<Duration>,
    fresh: Typed<Option<Duration>>,
}

/// Reads `[session]`; `persistent` is `cookie.persistent`.
pub(super) fn policy(section: Section<'_>, persistent: bool) -> Policy {
    let default = Policy::default();
    let timers = Timers::read(&section, &default);
    timers.check(&section);
    let policy = Policy {
        create: section.choice("create", &[("on-write", Create::OnWrite), ("always", Create::Always)]).value,
        idle_timeout: timers.idle.value,
        absolute_timeout: timers.absolute.value,
        slide: section.choice("slide", &[("request", Slide::OnRequest), ("write", Slide::OnWrite)]).value,
        max_idle_timeout: timers.max_idle.value,
        max_absolute_timeout: timers.max_absolute.value,
        touch_interval: section.duration_or_zero("touch_interval", default.touch_interval).value,
        retire_grace: section.duration("retire_grace", default.retire_grace).value,
        max_bytes: section.size("max_bytes", default.max_bytes, 2).value,
        on_5xx: if section.flag("save_on_5xx", false).value { On5xx::Save } else { On5xx::EndOnly },
        fresh_timeout: timers.fresh.value,
        subject_from: section.optional("subject_from", units::pointer).value,
        persistent,
    };
    section.close();
    policy
}

impl Timers {
    fn read(section: &Section<'_>, default: &Policy) -> Self {
        use super::units::{LONGEST, SHORTEST, duration};
        Self {
            idle: section.duration("idle_timeout", default.idle_timeout),
            absolute: section.duration("absolute_timeout", default.absolute_timeout),
            max_idle: section.duration("max_idle_timeout", default.max_idle_timeout),
            max_absolute: section.duration("max_absolute_timeout", default.max_absolute_timeout),
            fresh: section.optional("fresh_timeout", |node, report| duration(node, report, SHORTEST..=LONGEST)),
        }
    }

    fn check(&self, section: &Section<'_>) {
        let Self { idle, absolute, max_idle, max_absolute, fresh } = self;
        let at_most = |(low, low_name), (high, high_name): (&Typed<Duration>, &str)| {
            let low: &Typed<Duration> = low;
            let (low_text, high_text) = (humantime::format_duration(low.value), humantime::format_duration(high.value));
            let problem = format!("{low_name} ({low_text}) is longer than {high_name} ({high_text})");
            let cure = format!("shorten {low_name} or lengthen {high_name}");
            contradiction(section.report, (low, high), low.value <= high.value, &problem, &cure);
        };
        at_most((idle, "idle_timeout"), (absolute, "absolute_timeout"));
        at_most((idle, "idle_timeout"), (max_idle, "max_idle_timeout"));
        at_most((absolute, "absolute_timeout"), (max_absolute, "max_absolute_timeout"));
        let fits = fresh.value.is_none_or(|fresh| fresh <= idle.value);
        let problem = "fresh_timeout is longer than idle_timeout and would never count";
        contradiction(section.report, (fresh, idle), fits, problem, "shorten fresh_timeout or remove it");
    }
}
