//! `${NAME}` in a string is replaced from the environment; `$${` stands for a plain `${`.
//!
//! It works on strings that TOML has already read, so that what a variable holds can never become keys or tables.
//! A `$` that is not followed by `{` stands for itself.

/// Replaces every `${NAME}`, or says what is wrong and what to write instead.
pub(super) fn interpolate(typed: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let mut meant = String::with_capacity(typed.len());
    let mut rest = typed;
    while let Some(dollar) = rest.find("${") {
        if let Some(before) = rest[..dollar].strip_suffix('$') {
            meant.push_str(before);
            meant.push_str("${");
            rest = &rest[dollar + 2..];
            continue;
        }
        meant.push_str(&rest[..dollar]);
        let (name, after) = variable(&rest[dollar + 2..])?;
        meant.push_str(&env(name).ok_or_else(|| {
            (format!("the environment variable {name} is not set"), format!("set {name}, or write the value itself"))
        })?);
        rest = after;
    }
    meant.push_str(rest);
    Ok(meant)
}

fn variable(text: &str) -> Result<(&str, &str), (String, String)> {
    let cure = || "write ${NAME} for an environment variable, or $${ for a plain ${".to_owned();
    let (name, after) = text.split_once('}').ok_or_else(|| ("a ${ is not closed by }".to_owned(), cure()))?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { Ok((name, after)) } else { Err((format!("${{{name}}} does not name a variable"), cure())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_the_escape_is_not() {
        let env = |name: &str| (name == "HOST").then(|| "a.example${X}".to_owned());
        for (typed, meant) in [
            ("redis://${HOST}:6379", Ok("redis://a.example${X}:6379")),
            ("$${HOST} costs $5", Ok("${HOST} costs $5")),
            ("${HOST}${HOST}", Ok("a.example${X}a.example${X}")),
            ("${PORT}", Err("the environment variable PORT is not set")),
            ("${HOST", Err("a ${ is not closed by }")),
            ("${}", Err("${} does not name a variable")),
            ("${a b}", Err("${a b} does not name a variable")),
        ] {
            assert_eq!(
                interpolate(typed, &env).map_err(|(problem, _)| problem),
                meant.map(str::to_owned).map_err(str::to_owned)
            );
        }
    }
}
