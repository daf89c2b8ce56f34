//! The sentences of the contract's sections 3 and 5, each with what it means for one scene.

use super::*;

/// Sentence, scene, update lines, control, and what [`Scene::tell`] must say.
type Row = (&'static str, fn() -> Scene, Option<&'static str>, &'static str, &'static str);

const B: Option<&str> = Some(r#"{"b":2}"#);
const MISFIT: &str = r#"[{"op":"remove","path":"/nope"}]"#;
const BIG: &str = r#"{"big":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
const BIG_THEN_MISFIT: &str =
    "{\"big\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n[{\"op\":\"remove\",\"path\":\"/nope\"}]";
const BIG_LIST: &str = r#"[{"op":"add","path":"","value":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}]"#;

fn hold(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (sentence, scene, update, control, wanted) in rows {
        let told = scene().tell(*update, control);
        if told != *wanted {
            wrong.push(format!("{sentence}\n    {update:?} {control:?}\n    says   {told}\n    wanted {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn small() -> Scene {
    Scene::live().policy(|policy| policy.max_bytes = 40)
}

fn nine() -> Scene {
    Scene::live().policy(|policy| policy.max_bytes = 9)
}

/// Its data is larger than what may be stored by now.
fn tight() -> Scene {
    Scene::with(|record| record.data = r#"{"a":"xxxxxxxxxx"}"#.into()).policy(|policy| policy.max_bytes = 9)
}

fn own() -> Scene {
    Scene::with(|record| record.idle = Some(secs(60)))
}

fn alice() -> Scene {
    Scene::with(|record| record.subject = Some("alice".into()))
}

fn persistent() -> Scene {
    Scene::with(|record| record.persistent = true)
}

fn retirees(left: &[u64]) -> Vec<Retired> {
    (11..).zip(left).map(|(seed, left)| Retired(secret(seed).hash(), NOW.after(secs(*left)))).collect()
}

#[test]
#[rustfmt::skip]
fn created() {
    hold(&[
        ("created when an application first writes", Scene::nobody, B, "",
            r#"created; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("no cookie and no store entry for visitors that nothing was stored for", Scene::nobody, None, "", "none"),
        ("or for every visitor with the first response", || Scene::nobody().always(), None, "",
            "created; create v1 ttl=1860; issue a new ticket"),
        ("one write together with its update", || Scene::nobody().always(), B, "rotate, clear, subject=x",
            r#"created; create v1 ttl=1860 subject=x data={"b":2}; issue a new ticket"#),
        ("not beside a bare destroy", || Scene::nobody().always(), None, "destroy", "none"),
        ("not where the cookie could not reach the browser", || Scene::nobody().always().insecure(), None, "", "none"),
        ("refused changes create nothing", || Scene::nobody().always(), Some(MISFIT), "", "refused: misfit"),
        ("subject creates one", Scene::nobody, None, "subject=\"alice\"",
            "created; create v1 ttl=1860 subject=alice; issue a new ticket"),
        ("persistent creates one", Scene::nobody, None, "persistent",
            "created; create v1 ttl=1860 persistent=true; issue a new ticket for 43200s"),
        ("idle creates one", Scene::nobody, None, "idle=600",
            "created; create v1 ttl=660 idle=600; issue a new ticket"),
        ("lifetime creates one", Scene::nobody, None, "lifetime=600",
            "created; create v1 ttl=600 deadline=+600; issue a new ticket"),
        ("lifetime creates one, also if it is the configured one", Scene::nobody, None, "lifetime=43200",
            "created; create v1 ttl=1860; issue a new ticket"),
        ("rotate=?0 beside an update is no matter without a session", Scene::nobody, B, "rotate=?0",
            r#"created; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("an update whose result equals what is stored creates nothing", Scene::nobody, Some(r#"{"b":null}"#), "", "none"),
        ("a JSON Patch without a session starts from {}", Scene::nobody,
            Some(r#"[{"op":"test","path":"","value":{}},{"op":"add","path":"/n","value":1.10}]"#), "",
            r#"created; create v1 ttl=1860 data={"n":1.10}; issue a new ticket"#),
        ("cookie.persistent makes new sessions persistent",
            || Scene::nobody().policy(|policy| policy.persistent = true), B, "",
            r#"created; create v1 ttl=1860 persistent=true data={"b":2}; issue a new ticket for 43200s"#),
        ("persistent creates one, also if it is the configured value",
            || Scene::nobody().policy(|policy| policy.persistent = true), None, "persistent",
            "created; create v1 ttl=1860 persistent=true; issue a new ticket for 43200s"),
        ("persistent=?0 against the configured value creates one",
            || Scene::nobody().policy(|policy| policy.persistent = true), None, "persistent=?0",
            "created; create v1 ttl=1860; issue a new ticket"),
        ("until it is presented for the first time it lives at most fresh_timeout",
            || Scene::nobody().policy(|policy| policy.fresh_timeout = Some(secs(300))), B, "",
            r#"created; create v1 ttl=300 data={"b":2}; issue a new ticket"#),
        ("fresh_timeout only shortens",
            || Scene::nobody().policy(|policy| policy.fresh_timeout = Some(secs(3600))), B, "",
            r#"created; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("fresh_timeout also for the successor of a destroyed session",
            || Scene::live().policy(|policy| policy.fresh_timeout = Some(secs(300))), B, "destroy",
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=300 data={"b":2}; issue a new ticket"#),
        ("a session that was presented is past its fresh_timeout",
            || Scene::live().policy(|policy| policy.fresh_timeout = Some(secs(300))), B, "",
            r#"updated; change v4 ttl=1860 data={"a":1,"b":2}"#),
        ("a life of nothing is one millisecond",
            || Scene::nobody().policy(|policy| policy.fresh_timeout = Some(secs(0))), B, "",
            r#"created; create v1 ttl=0.001 data={"b":2}; issue a new ticket"#),
    ]);
}

#[test]
#[rustfmt::skip]
fn rotated() {
    hold(&[
        ("rotation gives a fresh secret, same session; the old secret is retired at once", Scene::live, None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10]; issue a rotated ticket"),
        ("rotation with an update is one write", Scene::live, B, "rotate",
            r#"rotated; change v4 ttl=1860 secret=fresh retired=[old+10] data={"a":1,"b":2}; issue a rotated ticket"#),
        ("a response rotates by itself when it sets the subject", Scene::live, None, "subject=alice",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=alice; issue a rotated ticket"),
        ("a response rotates by itself when it changes the subject to another non-empty value", alice, None, "subject=bob",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=bob; issue a rotated ticket"),
        ("not to the same value", alice, None, "subject=alice", "live"),
        ("not to the same value beside an update", alice, B, "subject=alice",
            r#"updated; change v4 ttl=1860 data={"a":1,"b":2}"#),
        ("not to the empty value", alice, None, "subject=\"\"", "updated; change v4 ttl=1860 subject=nobody"),
        ("rotate=?0 suppresses that", alice, None, "subject=bob, rotate=?0", "updated; change v4 ttl=1860 subject=bob"),
        ("rotate beside the same subject rotates", alice, None, "subject=alice, rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10]; issue a rotated ticket"),
        ("rotate beside an empty update rotates", Scene::live, Some("{}"), "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10]; issue a rotated ticket"),
        ("clear and the same subject is no other subject", alice, None, "clear, subject=alice",
            "updated; change v4 ttl=1860 data={}"),
        ("clear and another subject rotates", alice, None, "clear, subject=bob",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=bob data={}; issue a rotated ticket"),
        ("the subject that counts is the stored one", || Scene::meanwhile(|now| now.subject = Some("bob".into())), None,
            "subject=bob", "live"),
        ("the subject that counts is the stored one, also if it was given", || {
            let mut scene = alice();
            scene.stored = Scene::live().stored;
            scene
        }, None, "subject=alice",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=alice; issue a rotated ticket"),
        ("up to four retired ones: the oldest is forgotten", || Scene::with(|record| record.retired = retirees(&[1, 2, 3, 4])),
            None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[r2+2 r3+3 r4+4 old+10]; issue a rotated ticket"),
        ("retired longer than the grace is forgotten", || Scene::with(|record| record.retired = retirees(&[0, 0, 3])),
            None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[r3+3 old+10]; issue a rotated ticket"),
        ("every write forgets what is retired longer than the grace",
            || Scene::with(|record| record.retired = retirees(&[0, 5])), B, "",
            r#"updated; change v4 ttl=1860 retired=[r2+5] data={"a":1,"b":2}"#),
        ("to forget is no reason to write", || Scene::with(|record| record.retired = retirees(&[0, 5])), Some(r#"{"a":1}"#), "",
            "live"),
        ("retire_grace is how long", || Scene::live().policy(|policy| policy.retire_grace = secs(30)), None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+30]; issue a rotated ticket"),
        ("whoever is late is told no more than the grace, for clocks differ",
            || Scene::rotated().policy(|policy| policy.retire_grace = secs(5)), B, "", "refused: ended, 5s left"),
        ("so is whoever was late already",
            || Scene::of(Kind::Retired).policy(|policy| policy.retire_grace = secs(5)), B, "", "refused: ended, 5s left"),
        ("without a grace nothing is recognised", || Scene::live().policy(|policy| policy.retire_grace = secs(0)), None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh; issue a rotated ticket"),
        ("rotation leaves created, deadline, idle and persistence as they are",
            || Scene::with(|record| {
                *record = Record { deadline: NOW.after(secs(50)), idle: Some(secs(20)), persistent: true, ..record.clone() }
            }), None, "rotate",
            "rotated; change v4 ttl=22 secret=fresh retired=[old+10]; issue a rotated ticket for 50s"),
    ]);
}

#[test]
#[rustfmt::skip]
fn ended() {
    hold(&[
        ("destroy ends the session and deletes the cookie; it stays as a tombstone for retire_grace", Scene::live, None, "destroy",
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("a tombstone knows every secret that opened it lately",
            || Scene::with(|record| record.retired = retirees(&[0, 2, 3, 4, 5])), None, "destroy",
            "destroyed; bury v4 ttl=10 retired=[r3+3 r4+4 r5+5 old+10]; delete"),
        ("retire_grace is how long a tombstone stays", || Scene::live().policy(|policy| policy.retire_grace = secs(30)), None,
            "destroy", "destroyed; bury v4 ttl=30 retired=[old+30]; delete"),
        ("a grace of nothing is one millisecond", || Scene::live().policy(|policy| policy.retire_grace = secs(0)), None, "destroy",
            "destroyed; bury v4 ttl=0.001 retired=[old+0]; delete"),
        ("its bare destroy still ends a session that was rotated meanwhile, and deletes the cookie", Scene::rotated, None, "destroy",
            "destroyed; bury v5 ttl=10 retired=[old+7 newer+10]; delete"),
        ("also if its secret is not remembered", Scene::forgotten, None, "destroy",
            "destroyed; bury v5 ttl=10 retired=[newer+10]; delete"),
        ("with an update beside it, 409 and nothing", Scene::rotated, B, "destroy", "refused: ended, 7s left"),
        ("destroy is idempotent: on an ended session it passes", Scene::buried, None, "destroy", "none"),
        ("on a revoked session it passes", Scene::gone, None, "destroy", "none"),
        ("past its absolute deadline it passes, whatever the store still holds", Scene::past_deadline, None, "destroy", "none"),
        ("on an absent session it passes", Scene::nobody, None, "destroy", "none"),
        ("on a ticket that a rotation retired it is refused with 409 like a write", || Scene::of(Kind::Retired), None, "destroy",
            "refused: ended, 7s left"),
        ("on a ticket whose session was destroyed it passes", || Scene::of(Kind::Destroyed), None, "destroy", "none"),
        ("without an update other keys are ignored", Scene::live, None,
            "destroy, rotate, clear, subject=x, idle=1, lifetime=1, persistent, if-version=77, revoke-others",
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("log-out needs no cookie that arrives", || Scene::live().insecure(), None, "destroy",
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("with an update the old session ends and a new one with a fresh locator is made from the update and the other keys",
            Scene::live, B, "destroy, subject=x, idle=60, lifetime=600, persistent, clear, rotate",
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=66 deadline=+600 idle=60 persistent=true subject=x data={"b":2}; issue a new ticket for 600s"#),
        ("nothing of the old session is in the new one",
            || Scene::with(|record| *record = Record {
                subject: Some("alice".into()), idle: Some(secs(5)), persistent: true, deadline: NOW.after(secs(9)), ..record.clone()
            }), B, "destroy",
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("what ends is what is stored at that moment", || Scene::meanwhile(|now| now.retired = retirees(&[4])), B, "destroy",
            r#"destroyed; bury v5 ttl=10 retired=[r1+4 old+10]; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("what ends is what is stored at that moment, without an update", || Scene::meanwhile(|now| now.retired = retirees(&[4])), None,
            "destroy", "destroyed; bury v5 ttl=10 retired=[r1+4 old+10]; delete"),
        ("if-version beside destroy and an update speaks of the old session", Scene::live, B, "destroy, if-version=3",
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("destroy with an update that says nothing creates nothing", Scene::live, Some("{}"), "destroy",
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("destroy with a patch of the new data, which starts from {}", Scene::live, Some(r#"[{"op":"remove","path":"/a"}]"#), "destroy",
            "refused: misfit"),
        ("a request that had loaded the session before it ended cannot write to it any more", Scene::buried, B, "",
            "refused: ended, 6s left"),
        ("nor if it was revoked", Scene::gone, B, "", "refused: ended"),
        ("nor past its deadline", Scene::past_deadline, B, "", "refused: ended"),
        ("or before it was rotated", Scene::rotated, B, "", "refused: ended, 7s left"),
        ("or before it was rotated long ago", Scene::forgotten, B, "", "refused: ended"),
    ]);
}

#[test]
#[rustfmt::skip]
fn timers() {
    hold(&[
        ("idle=N is this session's idle timeout", Scene::live, None, "idle=600", "updated; change v4 ttl=660 idle=600"),
        ("idle is clamped to session.max_idle_timeout", Scene::live, None, "idle=999999999999999",
            "updated; change v4 ttl=42600 idle=2592000"),
        ("idle=default returns to the configured value", own, None, "idle=default", "updated; change v4 ttl=1860 idle=default"),
        ("idle as it is already is a no-op", own, None, "idle=60", "live"),
        ("an own idle timeout survives writes", own, B, "", r#"updated; change v4 ttl=66 data={"a":1,"b":2}"#),
        ("lifetime=N is its absolute deadline counted from now", Scene::live, None, "lifetime=60",
            "updated; change v4 ttl=60 deadline=+60"),
        ("lifetime may extend", Scene::live, None, "lifetime=100000", "updated; change v4 ttl=1860 deadline=+100000"),
        ("lifetime is clamped to session.max_absolute_timeout", Scene::live, None, "lifetime=999999999999999",
            "updated; change v4 ttl=1860 deadline=+34560000"),
        ("lifetime=default is counted from creation", || Scene::with(|record| record.deadline = NOW.after(secs(5))), None,
            "lifetime=default", "updated; change v4 ttl=1860 deadline=+42600"),
        ("lifetime=default of a session that was made longer ago ends it",
            || Scene::with(|record| record.created = ago(13 * HOUR)), None,
            "lifetime=default", "updated; change v4 ttl=0.001 deadline=-3600"),
        ("the stored life is the nearer end", Scene::live, None, "idle=60, lifetime=30", "updated; change v4 ttl=30 deadline=+30 idle=60"),
        ("the stored life is the nearer end: idle and one touch step", Scene::live, None, "idle=60, lifetime=100",
            "updated; change v4 ttl=66 deadline=+100 idle=60"),
        ("the absolute deadline is never extended by use", || Scene::with(|record| record.deadline = NOW.after(secs(9))), B, "",
            r#"updated; change v4 ttl=9 data={"a":1,"b":2}"#),
        ("the configured idle timeout has no bound of its own that overflows",
            || Scene::live().policy(|policy| policy.idle_timeout = Duration::MAX), B, "",
            r#"updated; change v4 ttl=42600 data={"a":1,"b":2}"#),
    ]);
}

#[test]
#[rustfmt::skip]
fn cookies() {
    hold(&[
        ("never because data changed", Scene::live, B, "", r#"updated; change v4 ttl=1860 data={"a":1,"b":2}"#),
        ("never because the data of a persistent session changed", persistent, B, "", r#"updated; change v4 ttl=1860 data={"a":1,"b":2}"#),
        ("never because the idle timeout changed", persistent, None, "idle=600", "updated; change v4 ttl=660 idle=600"),
        ("never on a mere read", persistent, None, "", "live"),
        ("persistent: the cookie outlives the browser", Scene::live, None, "persistent",
            "updated; change v4 ttl=1860 persistent=true; issue the same ticket for 42600s"),
        ("persistent on a persistent session is a no-op", persistent, None, "persistent", "live"),
        ("persistent=?0: it ends with the browser", persistent, None, "persistent=?0",
            "updated; change v4 ttl=1860 persistent=false; issue the same ticket"),
        ("a changed deadline of a persistent session is told to the browser", persistent, None, "lifetime=3600",
            "updated; change v4 ttl=1860 deadline=+3600; issue the same ticket for 3600s"),
        ("a changed deadline of a session whose cookie has none is not", Scene::live, None, "lifetime=3600",
            "updated; change v4 ttl=1860 deadline=+3600"),
        ("Max-Age is the seconds to the absolute deadline", persistent, None, "rotate",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10]; issue a rotated ticket for 42600s"),
        ("at most 400 days", || persistent().policy(|policy| policy.max_absolute_timeout = secs(86_400_000)), None, "lifetime=86400000",
            "updated; change v4 ttl=1860 deadline=+86400000; issue the same ticket for 34560000s"),
        ("at most 400 days, also of a new session",
            || Scene::nobody().policy(|policy| policy.absolute_timeout = Duration::from_millis(86_400_000_999)), None, "persistent",
            "created; create v1 ttl=1860 deadline=+86400000.999 persistent=true; issue a new ticket for 34560000s"),
        ("the cookie is deleted only by a destroy, not by the last half second",
            || Scene::with(|record| {
                *record = Record { persistent: true, deadline: NOW.after(Duration::from_millis(500)), ..record.clone() }
            }), None, "rotate",
            "rotated; change v4 ttl=0.5 secret=fresh retired=[old+10]; issue a rotated ticket for 1s"),
        ("persistence and rotation are told with one cookie", persistent, None, "persistent=?0, subject=x",
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] persistent=false subject=x; issue a rotated ticket"),
    ]);
}

#[test]
#[rustfmt::skip]
fn data() {
    hold(&[
        ("an update is applied to what is stored at that moment, not to what the request was given",
            || Scene::meanwhile(|now| now.data = r#"{"a":5,"c":3}"#.into()), B, "",
            r#"updated; change v5 ttl=1860 data={"a":5,"c":3,"b":2}"#),
        ("lines are applied in order", Scene::live,
            Some("{\"b\":1}\n[{\"op\":\"test\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/a\"}]\n{\"b\":2}"), "",
            r#"updated; change v4 ttl=1860 data={"b":2}"#),
        ("clear: data becomes {} and the subject is unset", alice, None, "clear", "updated; change v4 ttl=1860 subject=nobody data={}"),
        ("update + clear = replace", alice, B, "clear", r#"updated; change v4 ttl=1860 subject=nobody data={"b":2}"#),
        ("clear leaves the timers and persistence",
            || Scene::with(|record| *record = Record { idle: Some(secs(60)), persistent: true, ..record.clone() }), None, "clear",
            "updated; change v4 ttl=66 data={}"),
        ("clear comes before the update", Scene::live, Some(r#"[{"op":"test","path":"","value":{}}]"#), "clear",
            "updated; change v4 ttl=1860 data={}"),
        ("clear of what is clear is a no-op", || Scene::with(|record| record.data = "{}".into()), None, "clear", "live"),
        ("update + clear with the same result is a no-op", Scene::live, Some(r#"{"a":1}"#), "clear", "live"),
        ("an update whose result equals what is stored writes nothing: {}", Scene::live, Some("{}"), "if-version=3", "live"),
        ("an update whose result equals what is stored writes nothing: the same", Scene::live, Some(r#"{"a":1}"#), "", "live"),
        ("an update whose result equals what is stored writes nothing: removing what is not there", Scene::live,
            Some(r#"{"z":null}"#), "", "live"),
        ("an update whose result equals what is stored writes nothing: lines that cancel out", Scene::live,
            Some("{\"b\":1}\n{\"b\":null}"), "", "live"),
        ("an update whose result equals what is stored writes nothing: a test that holds", Scene::live,
            Some(r#"[{"op":"test","path":"/a","value":1.0}]"#), "", "live"),
        ("every digit of a number is data", Scene::live, Some(r#"{"a":1.0}"#), "", r#"updated; change v4 ttl=1860 data={"a":1.0}"#),
        ("a session whose data became {} lives on", Scene::live, Some(r#"{"a":null}"#), "", "updated; change v4 ttl=1860 data={}"),
        ("subject=\"\" unsets it", alice, B, "subject=\"\"", r#"updated; change v4 ttl=1860 subject=nobody data={"a":1,"b":2}"#),
        ("revoke-others alone writes nothing", alice, None, "revoke-others", "live"),
        ("applies nothing unless the stored version is N", Scene::live, B, "if-version=2, persistent", "refused: version"),
        ("the stored version, not the given one", || Scene::meanwhile(|_| {}), B, "if-version=3", "refused: version"),
        ("the stored version is N", || Scene::meanwhile(|_| {}), B, "if-version=4",
            r#"updated; change v5 ttl=1860 data={"a":1,"b":2}"#),
        ("no session: 0", Scene::nobody, B, "if-version=0",
            r#"created; create v1 ttl=1860 data={"b":2}; issue a new ticket"#),
        ("no session is not version 1", Scene::nobody, B, "if-version=1", "refused: version"),
        ("a session is not version 0", Scene::live, B, "if-version=0", "refused: version"),
        ("a JSON Patch operation that does not fit the document", Scene::live, Some(MISFIT), "", "refused: misfit"),
        ("a JSON Patch test that fails, with what came before it", Scene::live,
            Some("{\"b\":2}\n[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]"), "rotate, persistent", "refused: misfit"),
        ("not an object afterwards", Scene::live, Some(r#"[{"op":"add","path":"","value":[1]}]"#), "", "refused: no object"),
        ("no object in between", Scene::live, Some("[{\"op\":\"add\",\"path\":\"\",\"value\":[1]}]\n{\"b\":2}"), "",
            r#"updated; change v4 ttl=1860 data={"b":2}"#),
        ("data over session.max_bytes", nine, Some(r#"{"a":1234}"#), "", "refused: too large"),
        ("data of session.max_bytes", nine, Some(r#"{"a":123}"#), "", r#"updated; change v4 ttl=1860 data={"a":123}"#),
        ("copies beyond session.max_bytes", nine, Some(r#"[{"op":"add","path":"/a","value":"xxxxxxxx"},{"op":"copy","from":"/a","path":"/b"}]"#), "",
            "refused: too large"),
        ("data that is too large since the limit was lowered stays", tight, None, "subject=x, rotate=?0",
            "updated; change v4 ttl=1860 subject=x"),
        ("data that is too large since the limit was lowered stays, also beside a no-op", tight, Some(r#"{"z":null}"#), "idle=60",
            "updated; change v4 ttl=66 idle=60"),
        ("but it must shrink when it changes", tight, Some(r#"{"a":"xxxxxxxxx"}"#), "", "refused: too large"),
        ("and may", tight, Some(r#"{"a":5}"#), "", r#"updated; change v4 ttl=1860 data={"a":5}"#),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_first_error_that_applies() {
    hold(&[
        ("(2) alone", || Scene::of(Kind::Unavailable), B, "", "refused: unavailable"),
        ("(2) before (4)", || Scene::of(Kind::Unavailable).insecure(), B, "rotate", "refused: unavailable"),
        ("(3) retired before (4)", || Scene::of(Kind::Retired).insecure(), B, "rotate, if-version=77", "refused: ended, 7s left"),
        ("(3) destroyed before (4)", || Scene::of(Kind::Destroyed).insecure(), B, "rotate, if-version=77", "refused: ended, 6s left"),
        ("(3) several live before (4)", || Scene::of(Kind::Several).insecure(), B, "rotate, if-version=77", "refused: ended"),
        ("(4) alone", || Scene::live().insecure(), None, "rotate", "refused: unreachable"),
        ("(4) before (5) rotated", || Scene::rotated().insecure(), None, "rotate", "refused: unreachable"),
        ("(4) before (5) buried", || Scene::buried().insecure(), B, "subject=x", "refused: unreachable"),
        ("(4) before (5) gone", || Scene::gone().insecure(), B, "persistent", "refused: unreachable"),
        ("(4) before (5) past its deadline", || Scene::past_deadline().insecure(), B, "rotate", "refused: unreachable"),
        ("(4) before (5), replacing", || Scene::buried().insecure(), B, "destroy", "refused: unreachable"),
        ("(4) before (6)", || Scene::live().insecure(), B, "rotate, if-version=77", "refused: unreachable"),
        ("(4) before (6), creating", || Scene::nobody().insecure(), B, "if-version=77", "refused: unreachable"),
        ("(4) before (6), replacing", || Scene::live().insecure(), B, "destroy, if-version=77", "refused: unreachable"),
        ("(4) before (7)", || Scene::live().insecure(), Some(MISFIT), "rotate", "refused: unreachable"),
        ("(4) before (7), creating", || Scene::nobody().insecure(), Some(MISFIT), "", "refused: unreachable"),
        ("(4) before (8), creating", || Scene::nobody().insecure().policy(|policy| policy.max_bytes = 40), Some(BIG), "",
            "refused: unreachable"),
        ("(7) where no cookie is needed", || Scene::live().insecure(), Some(MISFIT), "", "refused: misfit"),
        ("(5) alone", Scene::rotated, B, "", "refused: ended, 7s left"),
        ("(5) rotated before (6)", Scene::rotated, B, "if-version=77", "refused: ended, 7s left"),
        ("(5) buried before (6)", Scene::buried, B, "if-version=77", "refused: ended, 6s left"),
        ("(5) gone before (6)", Scene::gone, B, "if-version=77", "refused: ended"),
        ("(5) past its deadline before (6)", Scene::past_deadline, B, "if-version=77", "refused: ended"),
        ("(5) before (6), replacing", Scene::rotated, B, "destroy, if-version=77", "refused: ended, 7s left"),
        ("(5) before (7)", Scene::rotated, Some(MISFIT), "", "refused: ended, 7s left"),
        ("(5) before (7), replacing", Scene::rotated, Some(MISFIT), "destroy", "refused: ended, 7s left"),
        ("(6) alone", Scene::live, B, "if-version=77", "refused: version"),
        ("(6) before (7)", Scene::live, Some(MISFIT), "if-version=77", "refused: version"),
        ("(6) before (7) no object", Scene::live, Some(BIG_LIST), "if-version=77", "refused: version"),
        ("(6) before (7), creating", Scene::nobody, Some(MISFIT), "if-version=77", "refused: version"),
        ("(6) before (7), replacing", Scene::live, Some(MISFIT), "destroy, if-version=77", "refused: version"),
        ("(6) before (8)", small, Some(BIG), "if-version=77", "refused: version"),
        ("(7) alone", small, Some(MISFIT), "", "refused: misfit"),
        ("(7) before (8)", small, Some(BIG_THEN_MISFIT), "", "refused: misfit"),
        ("(7) no object before (8)", small, Some(BIG_LIST), "", "refused: no object"),
        ("(7) before (8), creating", || Scene { kind: Kind::Nobody, ..small() }, Some(BIG_THEN_MISFIT), "", "refused: misfit"),
        ("(7) before (8), replacing", small, Some(BIG_THEN_MISFIT), "destroy", "refused: misfit"),
        ("(8) alone", small, Some(BIG), "", "refused: too large"),
        ("(8) creating", || Scene { kind: Kind::Nobody, ..small() }, Some(BIG), "", "refused: too large"),
        ("(8) replacing", small, Some(BIG), "destroy", "refused: too large"),
    ]);
}

#[test]
fn a_record_remembers_its_last_eight_writes() {
    let scene = Scene::with(|record| record.writes = (1..=8).rev().map(Nonce).collect());
    let eight = [99, 8, 7, 6, 5, 4, 3, 2].map(Nonce);
    assert_eq!(*scene.written(Some(r#"{"b":2}"#), "").writes, eight);
    let Step::Change(Write { stored: Stored::Tombstone(tombstone), .. }) =
        scene.settle(&change(None, "destroy")).unwrap().store
    else {
        panic!("no tombstone");
    };
    assert_eq!(*tombstone.writes, eight);
    assert_eq!(*Scene::nobody().written(Some(r#"{"b":2}"#), "").writes, [Nonce(99)]);
}

#[test]
fn a_version_that_somebody_made_up_does_not_overflow() {
    let scene = Scene::with(|record| record.version = u64::MAX);
    assert_eq!(scene.written(None, "rotate").version, u64::MAX);
    assert_eq!(scene.tell(None, "destroy"), format!("destroyed; bury v{} ttl=10 retired=[old+10]; delete", u64::MAX));
}
