use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
    time::Duration,
};

use super::*;

/// Counts how often somebody was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A talk, whoever moves its bytes, and everybody who asks.
struct Table {
    talk: Talk,
    bell: Arc<Bell>,
    mover: Arc<Bell>,
    begun: Instant,
    woken: Vec<Waker>,
}

impl Table {
    fn new() -> Self {
        let (bell, mover) = (Arc::default(), Arc::default());
        Self { talk: Talk::default(), bell, mover, begun: Instant::now(), woken: Vec::new() }
    }

    fn after(&self, millis: u64) -> Instant {
        self.begun + Duration::from_millis(millis)
    }

    fn ask(&mut self, word: &str, replies: usize, patience: u64) -> Option<usize> {
        let expected = Expected { replies, bytes: 100, deadline: self.after(patience) };
        self.talk.ask(|out| out.extend_from_slice(word.as_bytes()), expected, &Arc::clone(&self.bell).into())
    }

    fn sent(&mut self) -> String {
        let mut buffer = Vec::new();
        self.talk.leave(&mut buffer, &Arc::clone(&self.mover).into());
        String::from_utf8(buffer).unwrap()
    }

    /// How many were woken by these bytes, and how many bytes were no whole reply.
    fn hear(&mut self, bytes: &[u8]) -> Result<(usize, usize), Fault> {
        let heard = self.talk.hear(bytes, bytes.len(), &mut self.woken)?;
        Ok((self.woken.drain(..).count(), bytes.len() - heard))
    }

    fn expire(&mut self, at: u64) -> (usize, Result<(), Fault>) {
        let expired = self.talk.expire(self.after(at), &mut self.woken);
        (self.woken.drain(..).count(), expired)
    }

    fn take(&mut self, place: Option<usize>) -> Option<Answer> {
        self.talk.take(place.unwrap(), Waker::noop())
    }
}

fn numbers(numbers: &[i64]) -> Option<Answer> {
    Some(Ok(numbers.iter().copied().map(Value::Int).collect()))
}

#[test]
fn questions_that_wait_together_leave_together_and_wake_who_sends_them_once() {
    let mut table = Table::new();
    assert_eq!(table.sent(), "");
    for word in ["a", "b", "c"] {
        table.ask(word, 1, 10);
    }
    assert_eq!(table.mover.0.load(Ordering::Relaxed), 1);
    assert_eq!(table.sent(), "abc");
    assert_eq!(table.sent(), "");
    table.ask("d", 1, 10);
    assert_eq!(table.mover.0.load(Ordering::Relaxed), 2);
}

#[test]
fn each_is_given_its_own_replies_in_order() {
    let mut table = Table::new();
    let (one, two, three) = (table.ask("", 1, 10), table.ask("", 2, 10), table.ask("", 1, 10));
    assert_eq!(table.hear(b":1\r\n:2\r\n").unwrap(), (1, 0));
    assert_eq!(table.take(two), None);
    assert_eq!(table.take(one), numbers(&[1]));
    assert_eq!(table.hear(b":3\r\n:4\r\n").unwrap(), (2, 0));
    assert_eq!((table.take(three), table.take(two)), (numbers(&[4]), numbers(&[2, 3])));
    assert!(table.talk.places.is_empty() && table.talk.questions.is_empty() && table.talk.awaited == 0);
}

#[test]
fn replies_find_their_question_however_they_are_cut() {
    let all = b"$5\r\n:9\r\n-\r\n:2\r\n*2\r\n:3\r\n$-1\r\n:4\r\n";
    for cut in 0..all.len() {
        let mut table = Table::new();
        let (one, two) = (table.ask("", 2, 10), table.ask("", 2, 10));
        let mut rest = Vec::new();
        for piece in [&all[..cut], &all[cut..]] {
            rest.extend_from_slice(piece);
            let heard = table.talk.hear(&rest, piece.len(), &mut table.woken).unwrap();
            rest.drain(..heard);
        }
        let first = vec![Value::BulkString(b":9\r\n-".to_vec()), Value::Int(2)];
        let second = vec![Value::Array(vec![Value::Int(3), Value::Nil]), Value::Int(4)];
        assert_eq!((table.take(one), table.take(two)), (Some(Ok(first)), Some(Ok(second))), "cut at {cut}");
        assert!(rest.is_empty());
    }
}

#[test]
fn a_question_that_was_given_up_keeps_its_place_in_line() {
    let mut table = Table::new();
    let (first, second) = (table.ask("", 2, 10), table.ask("", 1, 10));
    table.hear(b":1\r\n").unwrap();
    table.talk.give_up(first.unwrap());
    let third = table.ask("", 1, 10);
    assert_eq!(table.hear(b":2\r\n").unwrap(), (0, 0), "nobody is woken for it");
    assert_eq!(table.hear(b":3\r\n:4\r\n").unwrap(), (2, 0));
    assert_eq!((table.take(second), table.take(third)), (numbers(&[3]), numbers(&[4])));
    assert!(table.talk.places.is_empty());
}

#[test]
fn an_answer_that_nobody_takes_is_let_go() {
    let mut table = Table::new();
    let (one, two) = (table.ask("", 1, 10), table.ask("", 1, 10));
    table.hear(b":1\r\n").unwrap();
    table.talk.give_up(one.unwrap());
    table.hear(b":2\r\n").unwrap();
    assert_eq!(table.take(two), numbers(&[2]));
    assert!(table.talk.places.is_empty());
}

#[test]
fn a_reply_that_comes_too_late_is_nobody_elses() {
    let mut table = Table::new();
    let (first, second) = (table.ask("", 1, 10), table.ask("", 1, 30));
    assert_eq!(table.talk.check(), Some(table.after(10)));
    assert_eq!(table.expire(9), (0, Ok(())));
    assert_eq!(table.expire(10), (1, Ok(())));
    assert_eq!(table.talk.check(), Some(table.after(30)));
    assert_eq!(table.take(first), Some(Err(Silence::Late)));
    // Its place may be taken by the next question while its reply is still under way.
    let third = table.ask("", 1, 40);
    assert_eq!(table.hear(b":1\r\n:2\r\n:3\r\n").unwrap(), (2, 0));
    assert_eq!((table.take(second), table.take(third)), (numbers(&[2]), numbers(&[3])));
    assert_eq!(table.expire(100), (0, Ok(())));
    assert_eq!(table.talk.check(), None);
}

#[test]
fn the_question_whose_time_ends_first_need_not_be_the_first() {
    let mut table = Table::new();
    let (first, second) = (table.ask("", 1, 30), table.ask("", 1, 10));
    assert_eq!(table.talk.check(), Some(table.after(10)));
    assert_eq!(table.expire(10), (1, Ok(())));
    assert_eq!((table.take(first), table.take(second)), (None, Some(Err(Silence::Late))));
}

/// Else nobody would ever notice a dead connection of which everybody tires before their time.
#[test]
fn a_question_that_was_given_up_and_is_not_answered_in_time_ends_the_talk() {
    let mut table = Table::new();
    let first = table.ask("", 1, 10);
    table.talk.give_up(first.unwrap());
    assert_eq!(table.expire(10), (0, Err(Fault::Stuck)));
    assert!(table.talk.places.is_empty());
}

#[test]
fn whoever_waits_when_the_connection_breaks_is_told_and_nobody_asks_any_more() {
    let mut table = Table::new();
    let (one, two, three) = (table.ask("", 1, 10), table.ask("", 1, 10), table.ask("", 1, 10));
    table.hear(b":1\r\n").unwrap();
    table.talk.give_up(two.unwrap());
    table.talk.end(&mut table.woken);
    assert_eq!(table.woken.len(), 1);
    assert_eq!((table.take(one), table.take(three)), (numbers(&[1]), Some(Err(Silence::Broken))));
    assert_eq!(table.ask("", 1, 10), None);
    assert!(table.talk.places.is_empty());
}

#[test]
fn what_nobody_asked_for_is_no_answer_to_the_next_question() {
    let mut table = Table::new();
    assert_eq!(table.hear(b":1\r\n"), Err(Fault::Nonsense));
    let mut table = Table::new();
    table.ask("", 1, 10);
    assert_eq!(table.hear(b":1\r\n:2\r\n"), Err(Fault::Nonsense));
    let mut table = Table::new();
    table.ask("", 1, 10);
    assert_eq!(table.hear(b"HTTP/1.1 400 Bad Request\r\n"), Err(Fault::Nonsense));
}

#[test]
fn more_than_the_awaited_answers_can_measure_is_not_listened_to() {
    let mut table = Table::new();
    let one = table.ask("", 1, 10);
    let text = [format!("${}\r\n", SLACK).as_bytes(), &vec![b'x'; SLACK as usize]].concat();
    assert_eq!(table.talk.hear(&text, text.len(), &mut table.woken), Ok(0), "a hundred bytes are left");
    assert_eq!(table.talk.hear(&text, 100 - 10, &mut table.woken), Ok(0));
    assert_eq!(table.talk.hear(&text, 1, &mut table.woken), Err(Fault::TooLarge));
    assert_eq!(table.take(one), None);
}

#[test]
fn every_answer_begins_the_count_anew() {
    let mut table = Table::new();
    let text = [format!("${}\r\n", SLACK).as_bytes(), &vec![b'x'; SLACK as usize], b"\r\n"].concat();
    for _ in 0..3 {
        let place = table.ask("", 1, 10);
        assert_eq!(table.hear(&text), Ok((1, 0)));
        assert!(matches!(table.take(place), Some(Ok(_))));
    }
    assert_eq!(table.talk.arrived, 0);
}
