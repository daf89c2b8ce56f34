//! The PROXY header, versions 1 and 2: pure, bytes to the client's address. `ppp` reads it; what is decided here is when
//! there are enough bytes for it and how many there may be.

use std::net::IpAddr;

use ppp::{PartialResult, v1, v2};

/// A text header is never longer, its line end included.
const LONGEST_TEXT: usize = 107;
/// Nor is a binary one that is of any use to us (nginx has the same limit).
const LONGEST_BINARY: usize = 4096;
const TEXT: &[u8] = b"PROXY ";

/// What a header says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Its address; it may have none (a Unix socket at the other proxy).
    Client(Option<IpAddr>),
    /// Nothing: the other proxy speaks for itself (`LOCAL`), or does not know (`UNKNOWN`).
    Nobody,
}

/// The header at the beginning and its length; `None` if there is more to come.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Named, usize)>, &'static str> {
    let begins = |prefix: &[u8]| bytes.starts_with(prefix) || prefix.starts_with(bytes);
    if begins(v2::PROTOCOL_PREFIX) {
        binary(bytes)
    } else if begins(TEXT) {
        text(bytes)
    } else {
        Err("the connection begins with something else")
    }
}

/// `ppp` takes half an address for a wrong one, so it sees whole lines only.
fn text(bytes: &[u8]) -> Result<Option<(Named, usize)>, &'static str> {
    let Some(end) = bytes.windows(2).take(LONGEST_TEXT - 1).position(|window| window == b"\r\n") else {
        return if bytes.len() < LONGEST_TEXT { Ok(None) } else { Err("longer than 107 bytes") };
    };
    let length = end + 2;
    let header = v1::Header::try_from(&bytes[..length]).map_err(|_| "not valid in version 1")?;
    let named = match header.addresses {
        v1::Addresses::Tcp4(addresses) => Named::Client(Some(addresses.source_address.into())),
        v1::Addresses::Tcp6(addresses) => Named::Client(Some(addresses.source_address.into())),
        v1::Addresses::Unknown => Named::Nobody,
    };
    Ok(Some((named, length)))
}

fn binary(bytes: &[u8]) -> Result<Option<(Named, usize)>, &'static str> {
    if let Some([high, low]) = bytes.get(14..16)
        && 16 + usize::from(u16::from_be_bytes([*high, *low])) > LONGEST_BINARY
    {
        return Err("longer than 4 KiB");
    }
    let header = v2::Header::try_from(bytes);
    if header.is_incomplete() {
        return Ok(None);
    }
    let header = header.map_err(|_| "not valid in version 2")?;
    let named = match (header.command, header.addresses) {
        (v2::Command::Local, _) | (v2::Command::Proxy, v2::Addresses::Unspecified) => Named::Nobody,
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => Named::Client(Some(addresses.source_address.into())),
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => Named::Client(Some(addresses.source_address.into())),
        (v2::Command::Proxy, v2::Addresses::Unix(_)) => Named::Client(None),
    };
    Ok(Some((named, header.len())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(address: &str) -> Named {
        Named::Client(Some(address.parse().unwrap()))
    }

    fn version_2(command_and_version: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([command_and_version, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    fn sound() -> Vec<(Vec<u8>, Named)> {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 1, 0, 0, 80];
        let mut v6 = [0; 36];
        v6[15] = 1;
        let long = [&v4[..], &[4, 0x0f, 0x00], &[0; 0x0f00]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 256 80\r\n".to_vec(), client("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::1 ::1 65535 443\r\n".to_vec(), client("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Named::Nobody),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Named::Nobody),
            (version_2(0x21, 0x11, &v4), client("192.0.2.7")),
            (version_2(0x21, 0x21, &v6), client("::1")),
            (version_2(0x21, 0x11, &long), client("192.0.2.7")),
            (version_2(0x21, 0x31, &[0; 216]), Named::Client(None)),
            (version_2(0x21, 0x31, &[0; 230]), Named::Client(None)),
            (version_2(0x20, 0x00, &[]), Named::Nobody),
            (version_2(0x20, 0x11, &v4), Named::Nobody),
            (version_2(0x21, 0x00, &[]), Named::Nobody),
        ]
    }

    #[test]
    fn a_header_names_the_client_however_it_is_cut_and_ends_where_it_ends() {
        for (header, named) in sound() {
            let mut bytes = header.clone();
            for end in 1..header.len() {
                assert_eq!(read(&bytes[..end]), Ok(None), "{end} of {header:?}");
            }
            bytes.extend(b"GET / HTTP/1.1\r\n");
            assert_eq!(read(&bytes), Ok(Some((named, header.len()))), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_clear() {
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 100]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXYTCP4".to_vec(),
            b"PROXY TCP4 999.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 99999\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            endless,
            version_2(0x11, 0x11, &[0; 12]),
            version_2(0x2f, 0x11, &[0; 12]),
            version_2(0x21, 0x41, &[0; 12]),
            version_2(0x21, 0x11, &[0; 11]),
            version_2(0x21, 0x11, &[0; 5000])[..16].to_vec(),
            b"\r\n\r\n\0\r\nQUIT\r\n".to_vec(),
        ] {
            assert!(read(&bytes).is_err(), "{bytes:?}: {:?}", read(&bytes));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), version in 0_usize..3) {
            let prefix = [&b""[..], TEXT, v2::PROTOCOL_PREFIX][version];
            let _ = read(&[prefix, &bytes].concat());
        }

        #[test]
        fn no_change_of_a_sound_header_makes_it_panic(which in 0_usize..12, at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let (mut header, _) = sound().remove(which);
            let at = at.index(header.len());
            header[at] = to;
            let _ = read(&header);
        }
    }
}
