//! Every state of what was presented × everything that a response can say, each cell written out.

use super::*;

/// Update, control, and what becomes of it for: nobody, retired by a rotation, destroyed, several live, store
/// unavailable, live, rotated meanwhile, rotated and forgotten, buried meanwhile, gone, past its deadline.
type Row = (Option<&'static str>, &'static str, [&'static str; 11]);

const SCENES: [fn() -> Scene; 11] = [
    Scene::nobody,
    || Scene::of(Kind::Retired),
    || Scene::of(Kind::Destroyed),
    || Scene::of(Kind::Several),
    || Scene::of(Kind::Unavailable),
    Scene::live,
    Scene::rotated,
    Scene::forgotten,
    Scene::buried,
    Scene::gone,
    Scene::past_deadline,
];

/// `none`, `live`, `create`, `update`, `rotate`, `end`, `renew` (end and create); `+` with a cookie, `-` with its
/// deletion; `409` with what is left of the grace behind it; `503`; `502`; `version`.
#[rustfmt::skip]
const MATRIX: &[Row] = &[
    // what is said                     nobody     retired   destr.    several  down   live       rotated   forgot  buried    gone    past
    (None, "",                         ["none",    "none",   "none",   "none",  "none", "live",    "live",   "live", "live",   "live", "live"]),
    (Some("{}"), "",                   ["none",    "none",   "none",   "none",  "none", "live",    "live",   "live", "live",   "live", "live"]),
    (Some("[]\n{}"), "rotate=?0",      ["none",    "none",   "none",   "none",  "none", "live",    "live",   "live", "live",   "live", "live"]),
    (None, "revoke-subject=bob",       ["none",    "none",   "none",   "none",  "none", "live",    "live",   "live", "live",   "live", "live"]),
    (None, "rotate",                   ["none",    "none",   "none",   "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some("{}"), "rotate",             ["none",    "none",   "none",   "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "clear",                    ["none",    "none",   "none",   "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "clear, rotate",            ["none",    "none",   "none",   "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "clear, rotate=?0",         ["none",    "none",   "none",   "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "destroy",                  ["none",    "409(7)", "none",   "409",   "503",  "end-",    "end-",   "end-", "none",   "none", "none"]),
    (None, "destroy, rotate, if-version=8, subject=x, persistent, idle=1, lifetime=1, clear, revoke-others",
                                       ["none",    "409(7)", "none",   "409",   "503",  "end-",    "end-",   "end-", "none",   "none", "none"]),
    (Some(r#"{"b":2}"#), "destroy",    ["create+", "409(7)", "409(6)", "409",   "503",  "renew+",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some("{}"), "destroy, subject=x", ["create+", "409(7)", "409(6)", "409",   "503",  "renew+",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some("{}"), "destroy",            ["none",    "409(7)", "409(6)", "409",   "503",  "end-",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"b":2}"#), "destroy, if-version=3",
                                       ["version", "409(7)", "409(6)", "409",   "503",  "renew+",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"b":2}"#), "destroy, if-version=0",
                                       ["create+", "409(7)", "409(6)", "409",   "503",  "version", "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"b":2}"#), "",           ["create+", "409(7)", "409(6)", "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"a":1}"#), "",           ["create+", "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"z":null}"#), "",        ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"b":2}"#), "rotate",     ["create+", "409(7)", "409(6)", "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (Some(r#"{"b":2}"#), "clear",      ["create+", "409(7)", "409(6)", "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "subject=x",                ["create+", "409(7)", "409(6)", "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "subject=x, rotate=?0",     ["create+", "409(7)", "409(6)", "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "subject=\"\"",             ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "idle=60",                  ["create+", "409(7)", "409(6)", "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "idle=default",             ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "lifetime=60",              ["create+", "409(7)", "409(6)", "409",   "503",  "update",  "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "lifetime=default",         ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "persistent",               ["create+", "409(7)", "409(6)", "409",   "503",  "update+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "persistent=?0",            ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "if-version=0",             ["none",    "409(7)", "409(6)", "409",   "503",  "version", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "if-version=3",             ["version", "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "rotate, if-version=3",     ["version", "409(7)", "409(6)", "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "revoke-others",            ["none",    "409(7)", "409(6)", "409",   "503",  "live",    "409(7)", "409",  "409(6)", "409",  "409"]),
    (None, "rotate, revoke-others",    ["none",    "409(7)", "409(6)", "409",   "503",  "rotate+", "409(7)", "409",  "409(6)", "409",  "409"]),
];

fn cell(result: &Result<Plan, Refusal>) -> String {
    let plan = match result {
        Ok(plan) => plan,
        Err(Refusal::Ended(None)) => return "409".to_owned(),
        Err(Refusal::Ended(Some(left))) => return format!("409({})", left.as_secs()),
        Err(Refusal::Unavailable) => return "503".to_owned(),
        Err(Refusal::Unreachable) => return "502".to_owned(),
        Err(Refusal::VersionConflict) => return "version".to_owned(),
        Err(refusal) => panic!("{refusal:?}"),
    };
    let cookie = match plan.cookie {
        CookieStep::Keep => "",
        CookieStep::Issue(..) => "+",
        CookieStep::Delete => "-",
    };
    let step = match (&plan.store, plan.outcome) {
        (Step::Keep, Outcome::None) => "none",
        (Step::Keep, Outcome::Live) => "live",
        (Step::Create(_, Write { stored: Stored::Live(_), .. }), Outcome::Created) => "create",
        (Step::Change(Write { stored: Stored::Live(_), .. }), Outcome::Updated) => "update",
        (Step::Change(Write { stored: Stored::Live(_), .. }), Outcome::Rotated) => "rotate",
        (Step::Change(Write { stored: Stored::Tombstone(_), .. }), Outcome::Destroyed) => "end",
        (Step::Recreate(..), Outcome::Destroyed) => "renew",
        strange => panic!("{strange:?}"),
    };
    format!("{step}{cookie}")
}

#[test]
fn every_state_times_every_change_has_its_outcome() {
    let mut wrong = Vec::new();
    for (update, control, cells) in MATRIX {
        for (scene, wanted) in SCENES.into_iter().zip(cells) {
            let scene = scene();
            let got = cell(&scene.settle(&change(*update, control)));
            if got != *wanted {
                wrong.push(format!(
                    "{update:?} {control:?} on {:?} {:?}: {got}, not {wanted}",
                    scene.kind, scene.stored
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With `create = "always"`, for: nobody, retired, destroyed, several, unavailable, live, and nobody who could not
/// get the cookie.
#[rustfmt::skip]
const ALWAYS: &[(Option<&str>, &str, [&str; 7])] = &[
    (None, "",                      ["create+", "none",   "none",   "none", "none", "live",    "none"]),
    (Some("{}"), "",                ["create+", "none",   "none",   "none", "none", "live",    "none"]),
    (None, "revoke-subject=bob",    ["create+", "none",   "none",   "none", "none", "live",    "none"]),
    (None, "rotate",                ["create+", "none",   "none",   "409",  "503",  "rotate+", "none"]),
    (None, "clear",                 ["create+", "none",   "none",   "409",  "503",  "update",  "none"]),
    (None, "destroy",               ["none",    "409(7)", "none",   "409",  "503",  "end-",    "none"]),
    (Some("{}"), "destroy",         ["create+", "409(7)", "409(6)", "409",  "503",  "renew+",  "none"]),
    (Some(r#"{"b":2}"#), "destroy", ["create+", "409(7)", "409(6)", "409",  "503",  "renew+",  "502"]),
    (Some(r#"{"b":2}"#), "",        ["create+", "409(7)", "409(6)", "409",  "503",  "update",  "502"]),
    (Some(r#"{"z":null}"#), "",     ["create+", "409(7)", "409(6)", "409",  "503",  "live",    "none"]),
    (None, "subject=\"\"",          ["create+", "409(7)", "409(6)", "409",  "503",  "live",    "none"]),
    (None, "subject=x",             ["create+", "409(7)", "409(6)", "409",  "503",  "rotate+", "502"]),
    (None, "if-version=0",          ["create+", "409(7)", "409(6)", "409",  "503",  "version", "none"]),
    (None, "if-version=1",          ["version", "409(7)", "409(6)", "409",  "503",  "version", "version"]),
    (None, "revoke-others",         ["create+", "409(7)", "409(6)", "409",  "503",  "live",    "none"]),
];

#[test]
fn for_every_visitor_with_the_first_response_but_not_where_it_must_not_be() {
    for (update, control, cells) in ALWAYS {
        let kinds = [Kind::Nobody, Kind::Retired, Kind::Destroyed, Kind::Several, Kind::Unavailable, Kind::Loaded];
        let scenes = kinds.map(Scene::of).into_iter().chain([Scene::nobody().insecure()]);
        for (scene, wanted) in scenes.zip(cells) {
            let scene = scene.always();
            assert_eq!(
                cell(&scene.settle(&change(*update, control))),
                *wanted,
                "{update:?} {control:?} {:?}",
                scene.kind
            );
        }
    }
}

/// Where no cookie arrives, for: nobody, live, live and persistent, rotated meanwhile, buried meanwhile.
#[rustfmt::skip]
const INSECURE: &[(Option<&str>, &str, [&str; 5])] = &[
    (None, "",                               ["none",    "live",    "live",    "live", "live"]),
    (None, "rotate",                         ["none",    "502",     "502",     "502",  "502"]),
    (None, "rotate=?0",                      ["none",    "live",    "live",    "live", "live"]),
    (None, "clear",                          ["none",    "update",  "update",  "409(7)", "409(6)"]),
    (None, "destroy",                        ["none",    "end-",    "end-",    "end-", "none"]),
    (Some(r#"{"b":2}"#), "destroy",          ["502",     "502",     "502",     "502",  "502"]),
    (Some("{}"), "destroy",                  ["none",    "end-",    "end-",    "409(7)", "409(6)"]),
    (Some(r#"{"b":2}"#), "",                 ["502",     "update",  "update",  "409(7)", "409(6)"]),
    (Some(r#"{"b":2}"#), "rotate=?0",        ["502",     "update",  "update",  "409(7)", "409(6)"]),
    (Some(r#"{"z":null}"#), "",              ["none",    "live",    "live",    "409(7)", "409(6)"]),
    (Some(r#"{"z":null}"#), "rotate",        ["none",    "502",     "502",     "502",  "502"]),
    (Some(r#"[{"op":"remove","path":"/z"}]"#), "rotate",
                                             ["502",     "502",     "502",     "502",  "502"]),
    (None, "subject=x",                      ["502",     "502",     "502",     "502",  "502"]),
    (None, "subject=x, rotate=?0",           ["502",     "update",  "update",  "409(7)", "409(6)"]),
    (None, "subject=\"\"",                   ["none",    "live",    "live",    "409(7)", "409(6)"]),
    (None, "idle=60",                        ["502",     "update",  "update",  "409(7)", "409(6)"]),
    (None, "lifetime=60",                    ["502",     "update",  "502",     "409(7)", "409(6)"]),
    (None, "lifetime=default",               ["none",    "live",    "live",    "409(7)", "409(6)"]),
    (None, "persistent",                     ["502",     "502",     "live",    "502",  "502"]),
    (None, "persistent=?0",                  ["none",    "live",    "502",     "409(7)", "409(6)"]),
    (None, "if-version=3",                   ["version", "live",    "live",    "409(7)", "409(6)"]),
    (None, "if-version=3, rotate",           ["version", "502",     "502",     "502",  "502"]),
    (None, "revoke-others",                  ["none",    "live",    "live",    "409(7)", "409(6)"]),
];

#[test]
fn otherwise_a_change_that_needs_a_new_cookie_is_refused_and_nothing_is_stored() {
    for (update, control, cells) in INSECURE {
        let persistent = Scene::with(|record| record.persistent = true);
        let scenes = [Scene::nobody(), Scene::live(), persistent, Scene::rotated(), Scene::buried()];
        for (scene, wanted) in scenes.into_iter().zip(cells) {
            let scene = scene.insecure();
            assert_eq!(cell(&scene.settle(&change(*update, control))), *wanted, "{update:?} {control:?} {scene:?}");
        }
    }
}
