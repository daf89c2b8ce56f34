//! The sentences of the contract's section 6: what an unmodified application says without knowing it.

use super::*;

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
