//! A client that writes HTTP/2 frames as the test says, sound or not. Header blocks are literals without indexing, so that
//! names and values are the bytes that the test wrote.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that was received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GO_AWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;

    /// The error code of a reset or a `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == Self::GO_AWAY { 4 } else { 0 };
        self.payload[at..at + 4].iter().fold(0, |code, byte| code << 8 | u32::from(*byte))
    }

    /// The status of a response whose `:status` is in the static table or a literal, as ours always are.
    pub(crate) fn status(&self) -> u16 {
        match self.payload.iter().position(|byte| byte & 0xe0 != 0x20).map(|at| &self.payload[at..]) {
            Some([indexed @ 0x88..=0x8e, ..]) => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            Some([0x48, 3, digits @ ..]) => String::from_utf8_lossy(&digits[..3]).parse().expect("a status"),
            Some([0x48, length @ (0x82 | 0x83), one, two, three, ..]) => {
                huffman_digits([*one, *two, if *length == 0x83 { *three } else { 0xff }, 0xff])
            }
            _ => panic!("no status in {:?}", self.payload),
        }
    }
}

/// Three digits in the Huffman code of HPACK: `0` to `2` have five bits, the others six.
fn huffman_digits(bytes: [u8; 4]) -> u16 {
    let (mut bits, mut number) = (u32::from_be_bytes(bytes), 0);
    for _ in 0..3 {
        let (five, six) = (bits >> 27, bits >> 26);
        let (digit, length) = if five <= 2 { (five, 5) } else { (six - 0x19 + 3, 6) };
        number = number * 10 + digit;
        bits <<= length;
    }
    u16::try_from(number).expect("a status")
}

/// A raw connection.
pub(crate) struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Connects; nothing is sent.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connecting to the proxy");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a limit");
        Self { stream }
    }

    /// Connects and says the preface and empty settings.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut frames = Self::silent(address);
        frames.raw(PREFACE).expect("the preface");
        frames.frame(Frame::SETTINGS, 0, 0, b"").expect("settings");
        frames
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.raw(&Self::encoded(kind, flags, stream, payload))
    }

    /// A request without a body.
    pub(crate) fn request(&mut self, stream: u32, fields: &[(&str, &[u8])]) -> io::Result<()> {
        self.raw(&Self::encoded_request(stream, fields))
    }

    pub(crate) fn encoded_request(stream: u32, fields: &[(&str, &[u8])]) -> Vec<u8> {
        Self::encoded(Frame::HEADERS, Frame::END_STREAM | Frame::END_HEADERS, stream, &Self::block(fields))
    }

    /// A head, or trailers.
    pub(crate) fn headers(&mut self, stream: u32, fields: &[(&str, &[u8])], flags: u8) -> io::Result<()> {
        self.frame(Frame::HEADERS, flags, stream, &Self::block(fields))
    }

    /// A frame as bytes.
    pub(crate) fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// A header block of literals.
    pub(crate) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            string(name.as_bytes(), &mut block);
            string(value, &mut block);
        }
        block
    }

    /// Whether the other side has closed the connection, found out without reading frames one by one.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut waste = [0; 1];
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a limit");
        let closed = match self.stream.peek(&mut waste) {
            Ok(0) => true,
            Ok(_) => self.stream.take_error().is_ok_and(|error| error.is_some()) || self.is_cut(),
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        self.stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        closed
    }

    /// Whether the kernel says that the other side has hung up, whatever is still to be read.
    fn is_cut(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut watched = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        let _ = poll(&mut watched, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }));
        watched[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// The next frame; `None` at the end of the connection, however it came.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let mut payload = vec![0; number(&head[..3]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]) & 0x7fff_ffff, payload })
    }

    /// The next frame of one of these kinds; `None` if the connection ends before.
    pub(crate) fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// Another handle, to read while somebody writes.
    pub(crate) fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().expect("a second handle") }
    }

    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    let mut left = text.len();
    if left < 127 {
        out.push(u8::try_from(left).expect("less than 127"));
    } else {
        out.push(127);
        left -= 127;
        while left >= 128 {
            out.push(u8::try_from(left % 128 + 128).expect("a byte"));
            left /= 128;
        }
        out.push(u8::try_from(left).expect("less than 128"));
    }
    out.extend(text);
}

#[test]
fn a_status_is_read_however_it_is_written() {
    let frame = |payload: &[u8]| Frame { kind: Frame::HEADERS, flags: 4, stream: 1, payload: payload.to_vec() };
    assert_eq!(frame(&[0x88]).status(), 200);
    assert_eq!(frame(&[0x20, 0x8c, 0x88]).status(), 400);
    assert_eq!(frame(b"\x48\x03405").status(), 405);
    // RFC 7541, appendix C.6.1: "302".
    assert_eq!(frame(&[0x48, 0x82, 0x64, 0x02, 0x58]).status(), 302);
    assert_eq!(frame(&[0x48, 0x83, 0x69, 0x90, 0xff, 0x58]).status(), 431);
}
