use proptest::prelude::*;

use super::*;

fn document(text: &str) -> Document {
    Document::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn every_digit_of_a_number_is_kept() {
    for number in [
        "0",
        "-0",
        "-0.0",
        "1.10",
        "1E5",
        "1e+05",
        "1e400",
        "-1e-400",
        "12345678901234567890123",
        "0.30000000000000004441",
        "1e999999999999",
    ] {
        let text = format!(r#"{{"a":{number},"b":[{number},{{"c":{number}}}]}}"#);
        assert_eq!(document(&text).to_text(), text);
    }
}

#[test]
fn keys_keep_their_order_and_none_is_special() {
    for text in [
        r#"{"z":1,"a":2,"10":3,"9":4,"__proto__":{"x":1},"exp":5,"":6}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#,
        r#"{"a":{"$serde_json::private::Number":"nonsense"},"b":[{"$serde_json::private::RawValue":"nonsense"}]}"#,
    ] {
        assert_eq!(document(text).to_text(), text);
    }
    let magic = document(r#"{"$serde_json::private::Number":"1"}"#);
    assert_eq!(magic.get(&pointer("/$serde_json::private::Number")).and_then(Json::as_str), Some("1"));
}

#[test]
fn white_space_is_not_kept() {
    let spaced = " \t\r\n{ \"a\" \n:\t[ ] , \"b\":{ } ,\"c\" : [ 1 , \"x , : y\" , [ 2 ] , { \"d\" : null } ] } \n";
    assert_eq!(document(spaced).to_text(), r#"{"a":[],"b":{},"c":[1,"x , : y",[2],{"d":null}]}"#);
}

#[test]
fn a_string_is_its_content_however_it_was_escaped() {
    for (written, canonical) in [
        (r#""\u0061""#, r#""a""#),
        (r#""\/""#, r#""/""#),
        (r#""\u00e9\u000A\u001f\u007f""#, "\"é\\n\\u001f\u{7f}\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""\"\\\b\f\n\r\t""#, r#""\"\\\b\f\n\r\t""#),
        (r#""\u2028\u0000""#, "\"\u{2028}\\u0000\""),
        (r#""""#, r#""""#),
    ] {
        assert_eq!(document(&format!(r#"{{{written}:{written}}}"#)).to_text(), format!("{{{canonical}:{canonical}}}"));
    }
    assert_eq!(json(r#""\u0061\nb""#).as_str(), Some("a\nb"));
    assert_eq!(Json::string("a\nb").to_text(), r#""a\nb""#);
    assert_eq!(json("1").as_str(), None);
}

#[test]
fn what_is_not_json_is_a_syntax_error() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\"::1}",
        "{\"a\":,1}",
        "{\"a\",1}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{null:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":nul}",
        "{\"a\":truE}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":0x1}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"b}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[,[1]]}",
        "{\"a\":[1,,2]}",
        "{\"a\":[:1]}",
        "{\"a\":[1}",
        "{\"a\":[1}]",
        "{\"a\":1//\n}",
        "\u{feff}{}",
        "{\u{a0}}",
    ] {
        assert!(matches!(Document::parse(text), Err(DocumentError::Syntax(_))), "{text}");
    }
}

#[test]
fn a_lone_surrogate_is_a_syntax_error_in_values_and_keys() {
    for string in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0061""#, r#""\ud800\ud800""#, r#""\ud800x""#] {
        for text in [format!(r#"{{"a":{string}}}"#), format!(r#"{{{string}:1}}"#)] {
            assert!(matches!(Document::parse(&text), Err(DocumentError::Syntax(_))), "{text}");
        }
    }
}

#[test]
fn a_key_that_occurs_twice_in_an_object_is_an_error_at_any_depth() {
    let many: String = (0..100).map(|n| format!(r#""k{n}":{n},"#)).collect();
    for text in [
        r#"{"a":1,"a":1}"#.to_owned(),
        r#"{"a":1,"b":2,"\u0061":3}"#.to_owned(),
        r#"{"x":[[{"y":{"a":1,"a":2}}]]}"#.to_owned(),
        format!(r#"{{{many}"k50":1}}"#),
    ] {
        assert!(matches!(Document::parse(&text), Err(DocumentError::DuplicateKey)), "{text}");
    }
    document(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#);
    document(&format!(r#"{{{many}"k100":1}}"#));
}

#[test]
fn nesting_has_a_limit_and_never_overflows_the_stack() {
    let deepest = format!(r#"{{"a":{}}}"#, nested("[", "]", MAX_DEPTH - 1));
    assert_eq!(document(&deepest).to_text(), deepest);
    let deepest = format!("{}1{}", r#"{"a":"#.repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    assert_eq!(document(&deepest).to_text(), deepest);
    for depth in [MAX_DEPTH + 1, 10_000, 1_000_000] {
        assert!(matches!(Json::parse(&nested("[", "]", depth)), Err(DocumentError::TooDeep)), "{depth}");
        assert!(matches!(Json::parse(&"[".repeat(depth)), Err(DocumentError::TooDeep)), "{depth}");
        assert!(matches!(Json::parse(&r#"{"a":"#.repeat(depth)), Err(DocumentError::TooDeep)), "{depth}");
    }
    assert!(Json::parse(&"]".repeat(10_000)).is_err());
}

#[test]
fn the_root_of_a_document_is_an_object() {
    for text in ["[]", "1", "null", "true", r#""{}""#] {
        assert!(matches!(Document::parse(text), Err(DocumentError::NotAnObject)), "{text}");
    }
}

#[test]
fn an_empty_document_is_an_object_without_members() {
    assert_eq!(Document::empty().to_text(), "{}");
    assert!(Document::empty().is_empty() && Document::empty().is_object());
    assert!(document(" { } ").is_empty());
    assert!(!document(r#"{"a":null}"#).is_empty());
}

#[test]
fn messages_and_debug_output_never_show_data() {
    let full = document(r#"{"secret":["secret"]}"#);
    assert!(!format!("{full:?}{:?}", full.get(&pointer("/secret/0"))).contains("secret"));
    for text in [r#"{"secret":1,"secret":2}"#, r#"{"secret":secret}"#, r#""secret""#, r#"{"secret":"secret\ud800"}"#] {
        let error = Document::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn a_pointer_finds_what_rfc_6901_section_5_says() {
    let example =
        document(r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#);
    for (place, found) in [
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", r#""bar""#),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        (r"/i\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(example.get(&pointer(place)).map(Json::to_text).as_deref(), Some(found), "{place}");
    }
    assert_eq!(example.get(&Pointer::root()), Some(example.root()));
    for place in ["/foo/2", "/foo/-", "/foo/00", "/foo/bar", "/foo/0/x", "/missing", "//"] {
        assert_eq!(example.get(&pointer(place)), None, "{place}");
    }
}

#[test]
fn set_makes_parents_and_replaces_what_cannot_be_one() {
    for (before, place, after) in [
        ("{}", "/a/b/c", r#"{"a":{"b":{"c":9}}}"#),
        (r#"{"x":1,"a":2,"y":3}"#, "/a", r#"{"x":1,"a":9,"y":3}"#),
        (r#"{"a":1}"#, "/a/b", r#"{"a":{"b":9}}"#),
        (r#"{"a":null}"#, "/a/b", r#"{"a":{"b":9}}"#),
        (r#"{"a":{"x":1}}"#, "/a/0", r#"{"a":{"x":1,"0":9}}"#),
        (r#"{"a":[1,2]}"#, "/a/1", r#"{"a":[1,9]}"#),
        (r#"{"a":[1,2]}"#, "/a/2", r#"{"a":[1,2,9]}"#),
        (r#"{"a":[1,2]}"#, "/a/-", r#"{"a":[1,2,9]}"#),
        (r#"{"a":[1,2]}"#, "/a/-/b", r#"{"a":[1,2,{"b":9}]}"#),
        (r#"{"a":[1,2]}"#, "/a/3", r#"{"a":{"3":9}}"#),
        (r#"{"a":[1,2]}"#, "/a/b", r#"{"a":{"b":9}}"#),
        (r#"{"a":1}"#, "", "9"),
    ] {
        let mut changed = document(before);
        changed.set(&pointer(place), json("9")).unwrap();
        assert_eq!(changed.to_text(), after, "{before} {place}");
    }
}

#[test]
fn set_refuses_to_nest_too_deep() {
    let mut changed = document(r#"{"a":1}"#);
    let place = pointer(&"/a".repeat(MAX_DEPTH));
    assert_eq!(changed.set(&place, json("[]")), Err(TooDeep));
    assert_eq!(changed.to_text(), r#"{"a":1}"#);
    assert_eq!(changed.set(&place, json("1")), Ok(()));
    document(&changed.to_text());
}

#[test]
fn remove_takes_out_one_value_and_keeps_the_order_of_the_others() {
    for (before, place, taken, after) in [
        (r#"{"a":1,"b":2,"c":3}"#, "/a", Some("1"), r#"{"b":2,"c":3}"#),
        (r#"{"a":{"b":[1,2,3]}}"#, "/a/b/1", Some("2"), r#"{"a":{"b":[1,3]}}"#),
        (r#"{"a":[1]}"#, "/a/1", None, r#"{"a":[1]}"#),
        (r#"{"a":[1]}"#, "/a/-", None, r#"{"a":[1]}"#),
        (r#"{"a":1}"#, "/a/b", None, r#"{"a":1}"#),
        (r#"{"a":1}"#, "/b/c", None, r#"{"a":1}"#),
        (r#"{"a":1}"#, "", Some(r#"{"a":1}"#), "{}"),
    ] {
        let mut changed = document(before);
        assert_eq!(changed.remove(&pointer(place)).map(|json| json.to_text()).as_deref(), taken, "{before} {place}");
        assert_eq!(changed.to_text(), after, "{before} {place}");
    }
}

#[test]
fn a_projection_shows_the_given_places_and_nothing_else() {
    let full = r#"{"cart":{"items":[{"id":1,"p":2},{"id":3},4],"total":3},"secret":1,"user":{"name":"a"}}"#;
    for (places, seen) in [
        (&["/user", "/cart/total"][..], r#"{"cart":{"total":3},"user":{"name":"a"}}"#),
        (&[], "{}"),
        (&[""], full),
        (&["/missing", "/user/missing", "/secret/x"], "{}"),
        (&["/user/name", "/user"], r#"{"user":{"name":"a"}}"#),
        (&["/cart/items/1"], r#"{"cart":{"items":[null,{"id":3}]}}"#),
        (&["/cart/items/0/id"], r#"{"cart":{"items":[{"id":1}]}}"#),
        (&["/cart/items/-", "/cart/items/01"], "{}"),
    ] {
        let places: Vec<_> = places.iter().map(|place| pointer(place)).collect();
        assert_eq!(document(full).project(&places).to_text(), seen, "{places:?}");
    }
}

#[test]
fn equality_looks_at_meaning() {
    for (one, two) in
        [(r#"{"a":1,"b":[1.0,{"c":10}]}"#, r#"{"b":[1,{"c":1e1}],"a":1.00}"#), (r#""\u0061""#, r#""a""#), ("[]", "[ ]")]
    {
        assert!(json(one).equals(&json(two)) && json(two).equals(&json(one)), "{one} {two}");
    }
    for (one, two) in [
        ("[1,2]", "[2,1]"),
        ("[1]", "[1,1]"),
        (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1}"#, r#"{"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":2}"#),
        ("1", r#""1""#),
        ("0", "false"),
        ("null", "false"),
        ("true", "false"),
        ("{}", "[]"),
        ("\"e\u{301}\"", "\"\u{e9}\""),
    ] {
        assert!(!json(one).equals(&json(two)) && !json(two).equals(&json(one)), "{one} {two}");
    }
}

#[test]
fn equality_of_large_objects_looks_at_every_member_in_any_order() {
    let object = |keys: &mut dyn Iterator<Item = usize>| {
        json(&format!("{{{}}}", keys.map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",")))
    };
    let forth = object(&mut (0..10_000));
    assert!(forth.equals(&object(&mut (0..10_000).rev())));
    assert!(!forth.equals(&object(&mut (1..10_001))));
}

/// Any JSON text of moderate size, with white space and escapes in unusual places.
fn any_json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?";
    let string = any::<String>().prop_map(|content| Json::string(&content).to_text());
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number, string];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![Just("$serde_json::private::Number".to_owned()), ".{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|members| {
                let members = members.iter().map(|(key, value)| format!("{}:{value}", Json::string(key).to_text()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// The same text with white space wherever it may be.
fn spaced(text: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::from("\n"), false, false);
    for character in text.chars() {
        let toggles = character == '"' && !escaped;
        escaped = in_string && character == '\\' && !escaped;
        let structural = !in_string && "[]{},:".contains(character);
        in_string ^= toggles;
        out.push_str(if structural { " \t" } else { "" });
        out.push(character);
        out.push_str(if structural { "\r\n" } else { "" });
    }
    out
}

proptest! {
    #[test]
    fn what_was_read_is_written_as_the_same_text(text in any_json()) {
        let text = format!(r#"{{"root":{text}}}"#);
        prop_assert_eq!(document(&text).to_text(), text.clone());
        prop_assert_eq!(document(&spaced(&text)).to_text(), text.clone());
        prop_assert!(json(&text).equals(&json(&spaced(&text))));
        let weight = json(&text).weight();
        prop_assert!(weight * 6 >= text.len() && weight <= text.len() * 3, "{} {}", weight, text.len());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in r#"[\[\]{},:"\\ua0-9eE.+\-tfn \t]{0,40}"#) {
        let _ = Json::parse(&text);
    }

    #[test]
    fn the_reader_accepts_what_serde_json_accepts_but_for_repeated_keys(text in r#"[\[\]{},:"1a ]{0,12}"#) {
        let ours = Json::parse(&text);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => match ours {
                Ok(json) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json.to_text()).unwrap(), value),
                Err(error) => prop_assert!(matches!(error, DocumentError::DuplicateKey)),
            },
            Err(_) => prop_assert!(ours.is_err()),
        }
    }

    #[test]
    fn a_projection_finds_in_every_place_what_the_whole_has_there(text in any_json(), at in "(/[ab01]){0,3}", b in "(/[ab01]){0,3}") {
        let full = document(&format!(r#"{{"a":{{"b":{text},"a":[[{text}],{text}]}},"0":{text}}}"#));
        let places = [pointer(&at), pointer(&b)];
        let seen = full.project(&places);
        for place in &places {
            prop_assert_eq!(seen.get(place), full.get(place));
        }
    }
}
