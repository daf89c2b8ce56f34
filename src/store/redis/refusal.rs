//! The server's own "no", as opposed to a connection that failed: its first word, and nothing else of it. A server may
//! say anything, and repeats what it was sent.

use redis::ServerError;

use crate::store::StoreError;

/// The error that a reply is.
pub(super) fn refused(error: &ServerError) -> StoreError {
    StoreError::Refused(code(error).to_owned())
}

/// `READONLY`, `OOM` ...
pub(super) fn code(error: &ServerError) -> &str {
    match error.code() {
        "ERR" => word(error.details().and_then(of_command).unwrap_or("ERR")),
        code => word(code),
    }
}

/// Redis before 7.0 says that a script failed, and only then why: `Error running script (call to f_1f9e): @user_script:2:
/// @user_script: 2: -OOM command not allowed`.
fn of_command(said: &str) -> Option<&str> {
    let (_, said) = said.strip_prefix("Error running script")?.rsplit_once("@user_script")?;
    let why = said.trim_start_matches([':', ' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-']);
    match why.starts_with("The user executing the script can't") {
        true => Some("NOPERM"),
        false => why.split(' ').next(),
    }
}

fn word(code: &str) -> &str {
    let is_code = (1..=32).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if is_code { code } else { "ERR" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_found_also_where_a_script_was_refused() {
        let wrapped = |why: &str| format!("ERR Error running script (call to f_1f9e): @user_script:2: {why}");
        for (said, expected) in [
            ("READONLY You can't write against a read only replica.", "READONLY"),
            ("ERR unknown command `FOO`, with args beginning with: `s3cret`", "ERR"),
            ("s3cret", "ERR"),
            ("", "ERR"),
            (&"A".repeat(33), "ERR"),
            (&wrapped("@user_script: 2: -READONLY You can't write"), "READONLY"),
            (&wrapped("@user_script: 12: -OOM command not allowed"), "OOM"),
            (&wrapped("WRONGTYPE Operation against a key"), "WRONGTYPE"),
            (&wrapped("@user_script: 2: The user executing the script can't run this command"), "NOPERM"),
            (&wrapped("@user_script: 2: Wrong number of args"), "ERR"),
            ("ERR Error running script", "ERR"),
        ] {
            let reply = redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap();
            let redis::Value::ServerError(error) = reply else { panic!("{said}") };
            assert_eq!(code(&error), expected, "{said}");
        }
    }
}
