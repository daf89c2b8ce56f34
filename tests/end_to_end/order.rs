//! Contract 5, the order of errors and the table: each row, and each pair of neighbours, sees the change refused whole.
//! What is stored is the same to the byte afterwards, the browser is told of no cookie, and nothing of the
//! application's answer is left.

use std::collections::BTreeMap;

use crate::support::{Answer, Ask, Browser, Gate, Relay, Store, World, world};

const DATA: &str = r#"{"user":"ada","list":[1]}"#;
const HALF: &str = r#"{"half":"done, and never to be seen"}"#;

type Kind = (u16, &'static str);
const INVALID: Kind = (502, "invalid-update");
const UNAVAILABLE: Kind = (503, "store-unavailable");
const ENDED: Kind = (409, "session-ended");
const INSECURE: Kind = (502, "insecure-transport");
const CONFLICT: Kind = (409, "version-conflict");
const TOO_LARGE: Kind = (502, "session-too-large");

/// A site with HTTPS in front of one proxy and without it in front of another; both reach Redis through a relay.
struct Scene<'a> {
    w: &'a World,
    relay: &'a Relay,
    /// With a session.
    browser: Browser,
    /// The same browser, where cookies do not arrive.
    insecure: Browser,
}

fn scene(test: impl FnOnce(&Scene)) {
    world(Store::Redis, |w| {
        let relay = Relay::to(w.redis().port());
        let config = format!(
            "session.max_bytes = \"1KiB\"\nlisten.scheme = \"https\"\n[store]\nurl = \"{}\"\ntimeout = \"500ms\"\n\
             save_timeout = \"1s\"\non_failure = \"anonymous\"",
            relay.url()
        );
        let browser = w.browser_at(&w.proxy_with(&config), "https", "shop.example");
        let insecure = browser.through(&w.proxy_with(&config.replace("listen.scheme = \"https\"\n", "")));
        browser.update(DATA);
        test(&Scene { w, relay: &relay, browser, insecure });
    });
}

/// One change that must be refused.
struct Refused<'a> {
    scene: &'a Scene<'a>,
    browser: &'a Browser,
    ask: Ask,
    answer: Answer,
}

impl Scene<'_> {
    /// Every value of a session in Redis, as it stands there.
    fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let keys = self.w.redis().sessions().into_iter();
        keys.map(|key| (key.clone(), self.w.redis().command(&["GET", &key]))).collect()
    }

    fn ticket(&self) -> String {
        self.browser.ticket().expect("a ticket")
    }

    fn refuses(&self, answer: Answer) -> Refused<'_> {
        Refused { scene: self, browser: &self.browser, ask: Ask::get("/"), answer }
    }

    /// A ticket that a rotation retired.
    fn retired(&self) -> String {
        let ticket = self.ticket();
        self.browser.control("rotate");
        ticket
    }
}

impl Refused<'_> {
    fn with(mut self, ticket: &str) -> Self {
        self.ask = self.ask.ticket(ticket);
        self
    }

    fn by_nobody(mut self) -> Self {
        self.ask = self.ask.without_cookies();
        self
    }

    /// Where a cookie does not arrive, with this ticket.
    fn insecurely(mut self) -> Self {
        self.browser = &self.scene.insecure;
        self
    }

    #[track_caller]
    fn as_(self, kind: Kind) {
        self.after(|| {}, kind);
    }

    /// The request has been given its session when `meanwhile` happens.
    #[track_caller]
    fn after(self, meanwhile: impl FnOnce(), (status, kind): Kind) {
        let gate = Gate::new();
        let answer = self.answer.header("X-Of-The-Answer", "1").body("the answer").after(&gate);
        let pending = self.browser.start(self.ask, answer);
        gate.arrived();
        meanwhile();
        let (jar, before) = (self.scene.browser.ticket(), self.scene.stored());
        gate.release();
        let reply = pending.reply().refused(status, kind).without_cookie();
        assert_eq!(reply.header("x-of-the-answer"), None);
        assert!(!reply.text().contains("the answer"));
        self.scene.relay.release();
        assert_eq!(self.scene.stored(), before, "a refused change was stored");
        assert_eq!(self.scene.browser.ticket(), jar);
    }
}

fn large() -> String {
    format!(r#"{{"blob":"{}"}}"#, "x".repeat(2_000))
}

const MISFIT: &str = r#"[{"op":"add","path":"/absent/0","value":1}]"#;
const NO_OBJECT: &str = r#"[{"op":"replace","path":"","value":[1]}]"#;

#[test]
fn every_row_of_the_table_that_an_answer_can_earn_is_refused_whole() {
    scene(|scene| {
        let narrow = ["revoke-subject=bob", "unknown", "idle=0", "idle=-1", "lifetime=x", "subject=5", "if-version=x"];
        for control in narrow {
            scene.refuses(Answer::updating(HALF).control(control)).as_(INVALID);
        }
        let long = format!("subject=\"{}\"", "x".repeat(257));
        scene.refuses(Answer::updating(HALF).control(&long)).as_(INVALID);
        for (line, kind) in [
            ("{", INVALID),
            ("[{\"op\":\"drop\",\"path\":\"/user\"}]", INVALID),
            ("[{\"op\":\"add\",\"path\":\"user\",\"value\":1}]", INVALID),
            ("{\"a\":1,\"a\":2}", INVALID),
            (&*large(), TOO_LARGE),
            (MISFIT, CONFLICT),
            ("[{\"op\":\"test\",\"path\":\"/user\",\"value\":\"eve\"}]", CONFLICT),
            ("[{\"op\":\"remove\",\"path\":\"/list/1\"}]", CONFLICT),
        ] {
            // After a good line, before one, and beside every other verb.
            scene.refuses(Answer::updating(HALF).update(line)).as_(kind);
            scene.refuses(Answer::updating(line).update(HALF).control("rotate, persistent, idle=60")).as_(kind);
            scene.refuses(Answer::updating(HALF).update(line).control("clear, subject=eve, revoke-others")).as_(kind);
        }
        scene.refuses(Answer::updating(HALF).update(NO_OBJECT).control("rotate")).as_(INVALID);
        for (line, kind) in [("{", INVALID), (MISFIT, CONFLICT), (&*large(), TOO_LARGE), (NO_OBJECT, INVALID)] {
            scene.refuses(Answer::updating(line).control("destroy")).as_(kind);
        }
        scene.refuses(Answer::updating(HALF).control("if-version=2, rotate")).as_(CONFLICT);
        scene.refuses(Answer::updating(HALF)).after(|| scene.relay.swallow(), UNAVAILABLE);
        assert_eq!(scene.browser.data(), DATA);
        let retired = scene.retired();
        scene.refuses(Answer::updating(HALF)).with(&retired).as_(ENDED);
        let here = scene.ticket();
        scene.refuses(Answer::updating(HALF).control("rotate")).insecurely().with(&here).as_(INSECURE);
        scene.refuses(Answer::updating(HALF)).insecurely().by_nobody().as_(INSECURE);
        assert_eq!(scene.browser.data(), DATA);
    });
}

#[test]
fn one_what_cannot_be_read_or_is_not_allowed_comes_before_two_the_store() {
    scene(|scene| {
        let ticket = scene.ticket();
        for (answer, kind) in [
            (Answer::updating("{"), INVALID),
            (Answer::updating(HALF).control("unknown"), INVALID),
            (Answer::updating(HALF).control("rotate, revoke-subject=bob"), INVALID),
            (Answer::updating(HALF), UNAVAILABLE),
            (Answer::controlling("destroy"), UNAVAILABLE),
            (Answer::controlling("rotate"), UNAVAILABLE),
        ] {
            scene.relay.swallow();
            scene.refuses(answer).with(&ticket).as_(kind);
        }
        assert_eq!(scene.browser.data(), DATA);
    });
}

#[test]
fn two_the_store_comes_before_three_a_retired_ticket() {
    scene(|scene| {
        let retired = scene.retired();
        scene.relay.swallow();
        scene.refuses(Answer::updating(HALF)).with(&retired).as_(UNAVAILABLE);
        scene.refuses(Answer::updating(HALF)).with(&retired).as_(ENDED);
    });
}

#[test]
fn three_a_retired_ticket_or_several_come_before_four_a_cookie_that_does_not_arrive() {
    scene(|scene| {
        let other = scene.browser.twin();
        other.ask(Ask::get("/").without_cookies(), Answer::updating(DATA)).passed(200);
        let both = format!("{}; __Host-session={}", scene.ticket(), other.ticket().expect("another ticket"));
        let retired = scene.retired();
        for answer in [
            Answer::updating(HALF).control("rotate"),
            Answer::updating(HALF).control("destroy"),
            Answer::controlling("subject=eve"),
        ] {
            scene.refuses(answer.clone()).insecurely().with(&retired).as_(ENDED);
            let live = both.replacen(&retired, &scene.ticket(), 1);
            scene.refuses(answer.clone()).insecurely().with(&live).as_(ENDED);
            scene.refuses(answer).insecurely().with(&scene.ticket()).as_(INSECURE);
        }
        assert_eq!(other.data(), DATA);
    });
}

#[test]
fn four_a_cookie_that_does_not_arrive_comes_before_five_an_end_meanwhile() {
    scene(|scene| {
        let rotation = || Answer::updating(HALF).control("rotate");
        let ticket = scene.ticket();
        scene.refuses(rotation()).insecurely().with(&ticket).after(|| drop(scene.retired()), INSECURE);
        let ticket = scene.ticket();
        scene.refuses(rotation()).with(&ticket).after(|| drop(scene.retired()), ENDED);
        let ticket = scene.ticket();
        let end = || drop(scene.browser.control("destroy"));
        scene.refuses(rotation()).insecurely().with(&ticket).after(end, INSECURE);
    });
}

#[test]
fn five_an_end_meanwhile_comes_before_six_the_version() {
    scene(|scene| {
        let outdated = || Answer::updating(HALF).control("if-version=77");
        scene.refuses(outdated()).after(|| drop(scene.retired()), ENDED);
        scene.refuses(outdated()).as_(CONFLICT);
        scene.refuses(outdated()).after(|| drop(scene.browser.control("destroy")), ENDED);
    });
}

#[test]
fn six_the_version_comes_before_seven_what_does_not_fit_and_eight_the_size() {
    scene(|scene| {
        for (line, alone) in [(NO_OBJECT, INVALID), (&*large(), TOO_LARGE), (MISFIT, CONFLICT)] {
            scene.refuses(Answer::updating(line).control("if-version=77")).as_(CONFLICT);
            scene.refuses(Answer::updating(line).control("if-version=1")).as_(alone);
            let meanwhile = || drop(scene.browser.update(r#"{"n":1}"#));
            scene.refuses(Answer::updating(line).control("if-version=1")).after(meanwhile, CONFLICT);
            scene.browser.control("destroy");
            scene.browser.update(DATA);
        }
    });
}

#[test]
fn seven_what_does_not_fit_comes_before_eight_the_size() {
    scene(|scene| {
        scene.refuses(Answer::updating(&large()).update(MISFIT)).as_(CONFLICT);
        scene.refuses(Answer::updating(MISFIT).update(&large())).as_(CONFLICT);
        scene.refuses(Answer::updating(&large()).update(MISFIT)).by_nobody().as_(CONFLICT);
        scene.refuses(Answer::updating(&large())).as_(TOO_LARGE);
    });
}

#[test]
fn eight_the_size_comes_before_nine_the_store() {
    scene(|scene| {
        // Of a session that is to be made, all is known before the store is asked.
        scene.refuses(Answer::updating(&large())).by_nobody().after(|| scene.relay.swallow(), TOO_LARGE);
        scene.refuses(Answer::updating(HALF)).by_nobody().after(|| scene.relay.swallow(), UNAVAILABLE);
        // Of one that is there, whether it has ended comes first, and only the store knows that.
        scene.refuses(Answer::updating(&large())).after(|| scene.relay.swallow(), UNAVAILABLE);
        assert_eq!(scene.browser.data(), DATA);
    });
}
