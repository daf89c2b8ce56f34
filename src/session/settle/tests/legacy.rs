//! The sentences of the contract's section 6: what an unmodified application says without knowing it.

use std::sync::Arc;

use super::*;
use crate::session::vault::{Offer, Renewal};

/// Sentence, scene, what is said, and what [`Scene::tell_of`] must say.
type Row = (&'static str, fn() -> Scene, fn() -> Change, &'static str);

fn hold(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (sentence, scene, said, wanted) in rows {
        let told = scene().tell_of(&said());
        if told != *wanted {
            wrong.push(format!("{sentence}\n    says   {told}\n    wanted {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Captured headers, `place=text`, beside update and control.
fn captured(captures: &[&str], update: Option<&str>, control: &str) -> Change {
    let captures = captures.iter().map(|capture| {
        let (place, text) = capture.split_once('=').unwrap();
        Capture { place: Pointer::parse(place).unwrap(), text: text.into() }
    });
    Change { captures: captures.collect(), ..change(update, control) }
}

/// Cookies, `name=value@path` (`name@path`: over), with `+seconds` if they have an end and `~` in front if they are
/// volatile.
fn offers(cookies: &[&str]) -> Vec<Offer> {
    let offers = cookies.iter().map(|cookie| {
        let (text, renewal) = match cookie.strip_prefix('~') {
            Some(text) => (text, Renewal::Ignored),
            None => (*cookie, Renewal::Rotates),
        };
        let (pair, place) = text.split_once('@').unwrap();
        let (path, left) = place.split_once('+').map_or((place, None), |(path, left)| (path, left.parse().ok()));
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        Offer {
            upstream: "app".into(),
            name: name.as_bytes().into(),
            path: path.as_bytes().into(),
            value: value.map(|value| value.as_bytes().into()),
            expires: left.map(|left| NOW.after(secs(left))),
            renewal,
        }
    });
    offers.collect()
}

fn set(cookies: &[&str], update: Option<&str>, control: &str) -> Change {
    Change { cookies: offers(cookies), ..change(update, control) }
}

/// A session with cookies in its vault.
fn holding(cookies: &'static [&'static str]) -> Scene {
    Scene::with(|record| offers(cookies).iter().for_each(|offer| record.vault.take(offer)))
}

fn ada() -> Scene {
    Scene::with(|record| record.data = r#"{"user":{"name":"ada"}}"#.into())
}

fn named(scene: Scene) -> Scene {
    scene.policy(|policy| policy.subject_from = Some(Pointer::parse("/user/name").unwrap()))
}

/// Signed in as Ada by `subject_from`.
fn known() -> Scene {
    named(Scene::with(|record| {
        *record = Record { data: r#"{"user":{"name":"ada"}}"#.into(), subject: Some("ada".into()), ..record.clone() };
    }))
}

#[test]
#[rustfmt::skip]
fn captures() {
    hold(&[
        ("capture is an update like any other: it creates", Scene::nobody, || captured(&["/user/name=ada"], None, ""),
            r#"created; create v1 ttl=1860 data={"user":{"name":"ada"}}; issue a new ticket"#),
        ("it is saved", Scene::live, || captured(&["/user/name=ada"], None, ""),
            r#"updated; change v4 ttl=1860 data={"a":1,"user":{"name":"ada"}}"#),
        ("it is applied to what is stored at that moment", || Scene::meanwhile(|now| now.data = r#"{"c":3}"#.into()),
            || captured(&["/user/name=ada"], None, ""), r#"updated; change v5 ttl=1860 data={"c":3,"user":{"name":"ada"}}"#),
        ("it is refused on a retired ticket", || Scene::of(Kind::Retired), || captured(&["/user=ada"], None, ""),
            "refused: ended, 7s left"),
        ("it is refused while the store is away", || Scene::of(Kind::Unavailable), || captured(&["/user=ada"], None, ""),
            "refused: unavailable"),
        ("it is refused where the cookie would not arrive", || Scene::nobody().insecure(), || captured(&["/user=ada"], None, ""),
            "refused: unreachable"),
        ("it is refused if the data would be too large", || Scene::live().policy(|policy| policy.max_bytes = 12),
            || captured(&["/user=ada"], None, ""), "refused: too large"),
        ("what is there already writes nothing", ada, || captured(&["/user/name=ada"], None, ""), "live"),
        ("an empty value removes the pointer", ada, || captured(&["/user/name="], None, ""),
            r#"updated; change v4 ttl=1860 data={"user":{}}"#),
        ("an empty value creates nothing", Scene::nobody, || captured(&["/user/name="], None, ""), "none"),
        ("what stands in its way becomes an object", || Scene::with(|record| record.data = r#"{"user":7}"#.into()),
            || captured(&["/user/name=ada"], None, ""), r#"updated; change v4 ttl=1860 data={"user":{"name":"ada"}}"#),
        ("clear, then captures in file order, then update lines",
            Scene::live, || captured(&["/x=1", "/x/y=2"], Some(r#"[{"op":"test","path":"","value":{"x":{"y":"2"}}},{"op":"add","path":"/z","value":3}]"#), "clear"),
            r#"updated; change v4 ttl=1860 data={"x":{"y":"2"},"z":3}"#),
        ("if-version speaks of captures too", Scene::live, || captured(&["/user=ada"], None, "if-version=77"), "refused: version"),
        ("beside a bare destroy nothing is captured", Scene::live, || captured(&["/user=ada"], None, "destroy"),
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("beside destroy and an update it is part of the new session", Scene::live, || captured(&["/user=ada"], Some("{}"), "destroy"),
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 data={"user":"ada"}; issue a new ticket"#),
        ("end_on destroys the session like destroy", Scene::live, || captured(&[], None, "").ending(),
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("end_on: whoever signs out is not captured again", Scene::live, || captured(&["/user=ada"], None, "").ending(),
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("end_on with an update: a new session is made from it, without what was captured",
            Scene::live, || captured(&["/user=ada"], Some(r#"{"bye":1}"#), "").ending(),
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 data={"bye":1}; issue a new ticket"#),
        ("end_on wins over a rotation meanwhile", Scene::rotated, || captured(&["/user=ada"], None, "").ending(),
            "destroyed; bury v5 ttl=10 retired=[old+7 newer+10]; delete"),
        ("end_on on an absent session passes", Scene::nobody, || captured(&["/user=ada"], None, "").ending(), "none"),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_subject_follows_the_data() {
    hold(&[
        ("a captured name is a subject and rotates", || named(Scene::live()), || captured(&["/user/name=ada"], None, ""),
            r#"rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=ada data={"a":1,"user":{"name":"ada"}}; issue a rotated ticket"#),
        ("an updated name too", || named(Scene::live()), || change(Some(r#"{"user":{"name":"ada"}}"#), ""),
            r#"rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=ada data={"a":1,"user":{"name":"ada"}}; issue a rotated ticket"#),
        ("a new session has its subject at once", || named(Scene::nobody()), || captured(&["/user/name=ada"], None, ""),
            r#"created; create v1 ttl=1860 subject=ada data={"user":{"name":"ada"}}; issue a new ticket"#),
        ("the same name is no change", known, || captured(&["/user/name=ada"], None, ""), "live"),
        ("another name is another subject and rotates", known, || captured(&["/user/name=eve"], None, ""),
            r#"rotated; change v4 ttl=1860 secret=fresh retired=[old+10] subject=eve data={"user":{"name":"eve"}}; issue a rotated ticket"#),
        ("rotate=?0 suppresses that", known, || captured(&["/user/name=eve"], None, "rotate=?0"),
            r#"updated; change v4 ttl=1860 subject=eve data={"user":{"name":"eve"}}"#),
        ("a name that goes unsets it, without rotation", known, || captured(&["/user/name="], None, ""),
            r#"updated; change v4 ttl=1860 subject=nobody data={"user":{}}"#),
        ("clear unsets it", known, || change(None, "clear"), "updated; change v4 ttl=1860 subject=nobody data={}"),
        ("a number is a name by its digits", || named(Scene::live()), || change(Some(r#"{"user":{"name":1.10}}"#), "rotate=?0"),
            r#"updated; change v4 ttl=1860 subject=1.10 data={"a":1,"user":{"name":1.10}}"#),
        ("anything else is no name", known, || change(Some(r#"{"user":{"name":["ada"]}}"#), ""),
            r#"updated; change v4 ttl=1860 subject=nobody data={"user":{"name":["ada"]}}"#),
        ("nor is what no subject may be", known, || change(Some(r#"{"user":{"name":"a\nb"}}"#), ""),
            r#"updated; change v4 ttl=1860 subject=nobody data={"user":{"name":"a\nb"}}"#),
        ("an explicit subject comes last", known, || captured(&["/user/name=eve"], None, "subject=bob, rotate=?0"),
            r#"updated; change v4 ttl=1860 subject=bob data={"user":{"name":"eve"}}"#),
        ("an explicit subject stands until the value changes",
            || named(Scene::with(|record| {
                *record = Record { data: r#"{"user":{"name":"ada"}}"#.into(), subject: Some("bob".into()), ..record.clone() };
            })), || change(Some(r#"{"cart":1}"#), ""), r#"updated; change v4 ttl=1860 data={"user":{"name":"ada"},"cart":1}"#),
        ("what counts is what is stored at that moment",
            || { let mut scene = known(); scene.stored = named(Scene::meanwhile(|now| {
                *now = Record { data: r#"{"user":{"name":"eve"}}"#.into(), subject: Some("eve".into()), ..now.clone() };
            })).stored; scene }, || captured(&["/user/name=eve"], None, ""), "live"),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_vault_is_part_of_the_session() {
    hold(&[
        ("a cookie creates a session", Scene::nobody, || set(&["id=1@/"], None, ""),
            "created; create v1 ttl=1860 vault=[id=1@/]; issue a new ticket"),
        ("a deletion creates nothing", Scene::nobody, || set(&["id@/"], None, ""), "none"),
        ("one that is set and deleted creates nothing", Scene::nobody, || set(&["id=1@/", "id@/"], None, ""), "none"),
        ("it is refused on a retired ticket", || Scene::of(Kind::Retired), || set(&["id=1@/"], None, ""), "refused: ended, 7s left"),
        ("it is refused while the store is away", || Scene::of(Kind::Unavailable), || set(&["id=1@/"], None, ""),
            "refused: unavailable"),
        ("it is refused where the ticket would not arrive", || Scene::nobody().insecure(), || set(&["id=1@/"], None, ""),
            "refused: unreachable"),
        ("the same value writes nothing", || holding(&["id=1@/"]), || set(&["id=1@/"], None, ""), "live"),
        ("it is taken by what is stored at that moment",
            || { let mut scene = Scene::meanwhile(|_| {}); if let Some(Stored::Live(now)) = &mut scene.stored {
                offers(&["one=1@/"]).iter().for_each(|offer| Arc::make_mut(now).vault.take(offer)); } scene },
            || set(&["~two=2@/"], None, ""), "updated; change v5 ttl=1860 vault=[one=1@/ two=2@/]"),
        ("with an update it is one write", || holding(&["id=1@/"]), || set(&["~id=2@/", "~b=3@/x"], Some(r#"{"b":2}"#), ""),
            r#"updated; change v4 ttl=1860 vault=[id=2@/ b=3@/x] data={"a":1,"b":2}"#),
        ("an update that does not fit refuses the cookies too", Scene::live,
            || set(&["id=2@/"], Some(r#"[{"op":"remove","path":"/nope"}]"#), ""), "refused: misfit"),
        ("clear does not empty it", || holding(&["id=1@/"]), || change(None, "clear"), "updated; change v4 ttl=1860 data={}"),
        ("what is over is forgotten with the next write", || holding(&["id=1@/", "old=2@/+0"]), || change(Some(r#"{"b":2}"#), ""),
            r#"updated; change v4 ttl=1860 vault=[id=1@/] data={"a":1,"b":2}"#),
        ("to forget is no reason to write", || holding(&["old=2@/+0"]), || change(Some(r#"{"a":1}"#), ""), "live"),
        ("it ends with the session", || holding(&["id=1@/"]), || set(&["id@/"], None, "destroy"),
            "destroyed; bury v4 ttl=10 retired=[old+10]; delete"),
        ("a deletion beside destroy ends a session that was rotated meanwhile too", Scene::rotated, || set(&["id@/"], None, "destroy"),
            "destroyed; bury v5 ttl=10 retired=[old+7 newer+10]; delete"),
        ("a new cookie beside destroy begins a new session, without the old cookies", || holding(&["id=1@/", "b=2@/"]),
            || set(&["id=3@/"], None, "").ending(),
            "destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 vault=[id=3@/]; issue a new ticket"),
    ]);
}

#[test]
#[rustfmt::skip]
fn when_the_value_of_a_vaulted_cookie_changes_the_session_is_rotated() {
    hold(&[
        ("another value", || holding(&["id=1@/"]), || set(&["id=2@/"], None, ""),
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] vault=[id=2@/]; issue a rotated ticket"),
        ("a first value in a session that was there", Scene::live, || set(&["id=1@/"], None, ""),
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] vault=[id=1@/]; issue a rotated ticket"),
        ("another path is another cookie", || holding(&["id=1@/"]), || set(&["id=2@/x"], None, ""),
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] vault=[id=1@/ id=2@/x]; issue a rotated ticket"),
        ("one that was over", || holding(&["id=1@/+0"]), || set(&["id=1@/"], None, ""),
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] vault=[id=1@/]; issue a rotated ticket"),
        ("a deletion", || holding(&["id=1@/"]), || set(&["id@/"], None, ""), "updated; change v4 ttl=1860 vault=[]"),
        ("a deletion that comes with a new value", || holding(&["id=1@/"]), || set(&["id@/", "id=2@/"], None, ""),
            "rotated; change v4 ttl=1860 secret=fresh retired=[old+10] vault=[id=2@/]; issue a rotated ticket"),
        ("there and back", || holding(&["id=1@/"]), || set(&["id=2@/", "id=1@/"], None, ""), "live"),
        ("volatile: changing these does not rotate", || holding(&["csrf=1@/"]), || set(&["~csrf=2@/"], None, ""),
            "updated; change v4 ttl=1860 vault=[csrf=2@/]"),
        ("rotate=?0: no automatic rotation", || holding(&["id=1@/"]), || set(&["id=2@/"], None, "rotate=?0"),
            "updated; change v4 ttl=1860 vault=[id=2@/]"),
        ("what was changed meanwhile counts",
            || { let mut scene = holding(&["id=1@/"]); scene.stored = holding(&["id=2@/"]).stored; scene },
            || set(&["id=2@/"], None, ""), "live"),
        ("a rotation needs a cookie that arrives", || holding(&["id=1@/"]).insecure(), || set(&["id=2@/"], None, ""),
            "refused: unreachable"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_vaulted_cookie_with_an_expiry_makes_the_session_last_as_long() {
    hold(&[
        ("persistent, with deadlines at least that long", Scene::nobody, || set(&["id=1@/+86400"], None, ""),
            "created; create v1 ttl=86400 deadline=+86400 idle=86400 persistent=true vault=[id=1@/+86400]; issue a new ticket for 86400s"),
        ("shorter ones shorten nothing", Scene::nobody, || set(&["id=1@/+60"], None, ""),
            "created; create v1 ttl=1860 persistent=true vault=[id=1@/+60]; issue a new ticket for 43200s"),
        ("the longest counts", Scene::nobody, || set(&["a=1@/+86400", "b=1@/+90000", "c=1@/"], None, ""),
            "created; create v1 ttl=90000 deadline=+90000 idle=90000 persistent=true vault=[a=1@/+86400 b=1@/+90000 c=1@/]; issue a new ticket for 90000s"),
        ("clamped", || Scene::nobody().policy(|policy| {
                (policy.max_idle_timeout, policy.max_absolute_timeout) = (secs(40_000), secs(50_000));
            }), || set(&["id=1@/+86400"], None, ""),
            "created; create v1 ttl=40060 deadline=+50000 idle=40000 persistent=true vault=[id=1@/+86400]; issue a new ticket for 50000s"),
        ("the browser is told of a later deadline", || holding(&["id=1@/+86400"]), || set(&["id=1@/+90000"], None, ""),
            "updated; change v4 ttl=90000 deadline=+90000 idle=90000 persistent=true vault=[id=1@/+90000]; issue the same ticket for 90000s"),
        ("control attributes come last", Scene::nobody, || set(&["id=1@/+86400"], None, "persistent=?0, idle=60, lifetime=600"),
            "created; create v1 ttl=66 deadline=+600 idle=60 vault=[id=1@/+86400]; issue a new ticket"),
        ("one that is deleted again means nothing", Scene::nobody, || set(&["id=1@/+86400", "id@/", "b=1@/"], None, ""),
            "created; create v1 ttl=1860 vault=[b=1@/]; issue a new ticket"),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_vault_counts_towards_max_bytes() {
    // {"a":1} has 7 bytes, and ["app","id","/","1",null], has 26.
    fn room(bytes: usize) -> Scene { Scene::live().policy(|policy| policy.max_bytes = bytes) }
    hold(&[
        ("with the data", || room(33), || set(&["~id=1@/"], None, ""), "updated; change v4 ttl=1860 vault=[id=1@/]"),
        ("and not a byte more", || room(32), || set(&["~id=1@/"], None, ""), "refused: too large"),
        ("data that grows beside it", || Scene { policy: room(34).policy, ..holding(&["id=1@/"]) }, || change(Some(r#"{"a":123}"#), ""),
            "refused: too large"),
        ("data that makes room for it", || room(33), || set(&["~id=123456@/"], Some(r#"{"a":null}"#), ""),
            "updated; change v4 ttl=1860 vault=[id=123456@/] data={}"),
        ("what is over does not count", || Scene { policy: room(15).policy, ..holding(&["id=1@/+0"]) }, || change(Some(r#"{"a":123}"#), ""),
            r#"updated; change v4 ttl=1860 vault=[] data={"a":123}"#),
        ("what is too large since the limit was lowered stays", || Scene { policy: room(9).policy, ..holding(&["id=1@/"]) },
            || change(None, "idle=60"), "updated; change v4 ttl=66 idle=60"),
    ]);
}

/// The same said by a server of an upstream with affinity.
fn at_home(server: &str, said: Change) -> Change {
    said.served_by(Some(served_by(server)))
}

fn kept_by(server: &'static str) -> Scene {
    Scene::with(|record| record.homes.note(&served_by(server)))
}

#[test]
#[rustfmt::skip]
fn the_server_that_answers_is_noted_with_a_write_and_never_asks_for_one() {
    hold(&[
        ("whoever creates it keeps it", Scene::nobody, || at_home("x", change(Some(r#"{"a":1}"#), "")),
            r#"created; create v1 ttl=1860 home=x data={"a":1}; issue a new ticket"#),
        ("also a visitor's", || Scene { create: Create::Always, ..Scene::nobody() }, || at_home("x", change(None, "")),
            "created; create v1 ttl=1860 home=x; issue a new ticket"),
        ("an answer alone creates nothing", Scene::nobody, || at_home("x", change(None, "")), "none"),
        ("nor does it write", Scene::live, || at_home("x", change(None, "")), "live"),
        ("nor does a change that changes nothing", Scene::live, || at_home("x", change(Some("{}"), "idle=default")), "live"),
        ("one that was there before is noted with the next write", Scene::live, || at_home("x", change(None, "idle=60")),
            "updated; change v4 ttl=66 idle=60 home=x"),
        ("it stays", || kept_by("x"), || at_home("x", change(None, "idle=60")), "updated; change v4 ttl=66 idle=60"),
        ("another one takes over", || kept_by("x"), || at_home("y", change(None, "idle=60")),
            "updated; change v4 ttl=66 idle=60 home=y"),
        ("without affinity nobody is noted or forgotten", || kept_by("x"), || change(None, "idle=60"),
            "updated; change v4 ttl=66 idle=60"),
        ("a session in its place is kept by whoever made it", || kept_by("x"), || at_home("y", change(Some(r#"{"b":1}"#), "destroy")),
            r#"destroyed; bury v4 ttl=10 retired=[old+10]; create v1 ttl=1860 home=y data={"b":1}; issue a new ticket"#),
    ]);
}
