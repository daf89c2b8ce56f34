use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::session::document::{MAX_DEPTH, TooDeep};

const PLENTY: usize = 1 << 20;

fn merge_patch(text: &str) -> Patch {
    Patch::merge_from(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn operations(text: &str) -> Patch {
    Patch::operations_from(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A document with any root.
fn rooted(text: &str) -> Document {
    let mut document = Document::empty();
    document.set(&Pointer::root(), Json::parse(text).unwrap()).unwrap();
    document
}

fn applied(patch: &Patch, before: &str, budget: usize) -> Result<String, DoesNotFit> {
    let mut document = rooted(before);
    patch.apply(&mut document, budget).map(|()| document.to_text())
}

fn patched(before: &str, patch: &str) -> Result<String, DoesNotFit> {
    applied(&operations(patch), before, PLENTY)
}

fn places(pointers: &[Pointer]) -> Vec<String> {
    pointers.iter().map(Pointer::to_string).collect()
}

// --- reading -----------------------------------------------------------------------------------------------------

#[test]
fn the_first_character_says_which_kind_of_patch_it_is() {
    let merge = br#"{"a":1}"#;
    let list = br#"[{"op":"add","path":"/a","value":1}]"#;
    for (value, parsed) in
        [(&merge[..], merge_patch(r#"{"a":1}"#)), (list, operations(std::str::from_utf8(list).unwrap()))]
    {
        assert!(Patch::parse(value).unwrap() == parsed);
        assert!(Patch::parse(&[b" \t ", value, b" \t "].concat()).unwrap() == parsed);
        let encoded = [
            BASE64_URL_SAFE.encode(value),
            BASE64_URL_SAFE_NO_PAD.encode(value),
            format!(" {} ", BASE64_URL_SAFE_NO_PAD.encode(value)),
        ];
        for text in encoded {
            assert!(Patch::parse(text.as_bytes()).unwrap() == parsed, "{text}");
        }
    }
}

#[test]
fn utf_8_and_white_space_inside_base64url_are_fine() {
    let value = BASE64_URL_SAFE_NO_PAD.encode("\n{\"é\": \"😀>?\"}\n");
    assert_eq!(applied(&Patch::parse(value.as_bytes()).unwrap(), "{}", 0).unwrap(), r#"{"é":"😀>?"}"#);
    assert_eq!(applied(&Patch::parse("{\"é\":1}".as_bytes()).unwrap(), "{}", 0).unwrap(), r#"{"é":1}"#);
}

#[test]
fn base64url_is_strict_about_alphabet_padding_and_trailing_bits() {
    assert!(Patch::parse(b"e30").is_ok() && Patch::parse(b"e30=").is_ok());
    for text in ["", "  ", "e3", "e30==", "e31", "e3 0", "e30\n", "e+/=", "W10+", "W10/", "nonsense!", "a", "%7B%7D"] {
        assert!(
            matches!(Patch::parse(text.as_bytes()), Err(PatchError::Encoding(_) | PatchError::NeitherKind)),
            "{text:?}"
        );
    }
    assert!(matches!(Patch::parse(b"e31"), Err(PatchError::Encoding(_))));
}

#[test]
fn base64url_of_anything_else_than_a_patch_is_refused() {
    for text in ["", "1", "null", "\"{}\"", "e30", "true"] {
        let value = BASE64_URL_SAFE_NO_PAD.encode(text);
        assert!(matches!(Patch::parse(value.as_bytes()), Err(PatchError::NeitherKind)), "{text}");
    }
}

#[test]
fn what_is_not_utf_8_is_refused_also_inside_base64url() {
    let bytes = b"{\"a\":\"\xff\"}";
    assert!(matches!(Patch::parse(bytes), Err(PatchError::Unicode(_))));
    assert!(matches!(Patch::parse(BASE64_URL_SAFE.encode(bytes).as_bytes()), Err(PatchError::Unicode(_))));
}

#[test]
fn what_is_not_json_or_repeats_a_key_is_refused() {
    for text in [
        "{",
        "{}{}",
        "{\"a\":1,\"a\":2}",
        "[",
        "[{}",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":NaN}",
    ] {
        assert!(matches!(Patch::parse(text.as_bytes()), Err(PatchError::Json(_))), "{text}");
    }
    let twice = r#"[{"op":"remove","op":"remove","path":"/a"}]"#;
    assert!(matches!(Patch::parse(twice.as_bytes()), Err(PatchError::Json(DocumentError::DuplicateKey))));
}

#[test]
fn an_operation_must_be_one_of_rfc_6902() {
    for (operation, fault) in [
        ("1", "not an object"),
        (r#"{"path":"/a","value":1}"#, "`op` is missing"),
        (r#"{"op":"spam","path":"/a","value":1}"#, "`op` is not one of add, remove, replace, move, copy, test"),
        (r#"{"op":"ADD","path":"/a","value":1}"#, "`op` is not one of add, remove, replace, move, copy, test"),
        (r#"{"op":1,"path":"/a"}"#, "`op` is not one of add, remove, replace, move, copy, test"),
        (r#"{"op":"remove"}"#, "`path` is missing"),
        (r#"{"op":"remove","path":"a"}"#, "`path` is not a JSON Pointer"),
        (r#"{"op":"remove","path":"/~2"}"#, "`path` is not a JSON Pointer"),
        (r#"{"op":"remove","path":null}"#, "`path` is not a JSON Pointer"),
        (r#"{"op":"add","path":"/a"}"#, "`value` is missing"),
        (r#"{"op":"replace","path":"/a"}"#, "`value` is missing"),
        (r#"{"op":"test","path":"/a"}"#, "`value` is missing"),
        (r#"{"op":"move","path":"/a"}"#, "`from` is missing"),
        (r#"{"op":"copy","path":"/a","from":"b"}"#, "`from` is not a JSON Pointer"),
    ] {
        let text = format!(r#"[{{"op":"remove","path":"/x"}},{operation}]"#);
        match Patch::parse(text.as_bytes()) {
            Err(PatchError::Operation { index: 1, fault: found }) => assert_eq!(found, fault, "{operation}"),
            other => panic!("{operation}: {other:?}"),
        }
    }
    assert!(matches!(Patch::operations_from("{}"), Err(PatchError::NotAList)));
}

#[test]
fn unknown_members_of_an_operation_are_ignored_and_null_is_a_value() {
    let patch = r#"[{"op":"add","path":"/a","value":null,"from":7,"xyz":[{}]}]"#;
    assert_eq!(patched("{}", patch).unwrap(), r#"{"a":null}"#);
}

#[test]
fn messages_and_debug_output_never_show_data() {
    let secret = r#"[{"op":"secret","path":"secret","value":"secret"}]"#;
    let error = Patch::parse(secret.as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
    let patches = [merge_patch(r#"{"secret":"secret"}"#), operations(r#"[{"op":"remove","path":"/secret"}]"#)];
    assert!(!format!("{patches:?}").contains("secret"));
}

#[test]
fn only_an_empty_object_and_an_empty_list_are_empty() {
    assert!(merge_patch("{ }").is_empty() && operations("[ ]").is_empty());
    for text in [r#"{"a":null}"#, r#"{"a":{}}"#, "[]", "null"] {
        assert!(!merge_patch(text).is_empty(), "{text}");
    }
    assert!(!operations(r#"[{"op":"test","path":"","value":{}}]"#).is_empty());
    assert_eq!(patched(r#"{"b":1}"#, "[]").unwrap(), r#"{"b":1}"#);
    assert_eq!(applied(&merge_patch("{}"), r#"{"b":1}"#, 0).unwrap(), r#"{"b":1}"#);
}

// --- merge patches -----------------------------------------------------------------------------------------------

#[test]
fn a_merge_patch_does_what_rfc_7396_appendix_a_says() {
    for (before, patch, after) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        assert_eq!(applied(&merge_patch(patch), before, 0).unwrap(), after, "{before} {patch}");
    }
}

#[test]
fn a_merge_keeps_the_place_of_keys_that_are_there_and_appends_new_ones() {
    for (before, patch, after) in [
        (r#"{"z":1,"a":2,"m":3}"#, r#"{"m":4,"new":5,"z":6,"also":7}"#, r#"{"z":6,"a":2,"m":4,"new":5,"also":7}"#),
        (r#"{"z":1,"a":2,"m":3}"#, r#"{"z":null,"b":1,"m":null}"#, r#"{"a":2,"b":1}"#),
        (
            r#"{"a":{"y":1,"x":2}}"#,
            r#"{"a":{"x":3,"w":[null,{"n":null}]}}"#,
            r#"{"a":{"y":1,"x":3,"w":[null,{"n":null}]}}"#,
        ),
        (r#"{"a":1}"#, r#"{"a":{"b":1,"c":null}}"#, r#"{"a":{"b":1}}"#),
    ] {
        assert_eq!(applied(&merge_patch(patch), before, 0).unwrap(), after, "{before} {patch}");
    }
}

#[test]
fn a_merge_of_many_keys_does_the_same_as_one_of_few() {
    let object = |members: Vec<String>| format!("{{{}}}", members.join(","));
    let before = object((0..10_000).map(|n| format!(r#""k{n}":{n}"#)).collect());
    let change = |n: usize| match n {
        n if n % 3 == 0 => format!(r#""k{n}":null"#),
        n => format!(r#""k{n}":{}"#, n * 2),
    };
    let patch = object((5_000..15_000).rev().map(change).collect());
    let kept = (0..5_000).map(|n| format!(r#""k{n}":{n}"#));
    let changed = (5_000..10_000).filter(|n| n % 3 != 0).map(|n| format!(r#""k{n}":{}"#, n * 2));
    let added = (10_000..15_000).rev().filter(|n| n % 3 != 0).map(|n| format!(r#""k{n}":{}"#, n * 2));
    let after = object(kept.chain(changed).chain(added).collect());
    assert_eq!(applied(&merge_patch(&patch), &before, 0).unwrap(), after);
}

// --- JSON Patch --------------------------------------------------------------------------------------------------

#[test]
fn a_json_patch_does_what_rfc_6902_appendix_a_says() {
    for (before, patch, after) in [
        // A.1 to A.4
        (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"foo":"bar","baz":"qux"}"#),
        (
            r#"{"foo":["bar","baz"]}"#,
            r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
            r#"{"foo":["bar","qux","baz"]}"#,
        ),
        (r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
        (r#"{"foo":["bar","qux","baz"]}"#, r#"[{"op":"remove","path":"/foo/1"}]"#, r#"{"foo":["bar","baz"]}"#),
        // A.5 to A.8
        (
            r#"{"baz":"qux","foo":"bar"}"#,
            r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
            r#"{"baz":"boo","foo":"bar"}"#,
        ),
        (
            r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
            r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
            r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
        ),
        (
            r#"{"foo":["all","grass","cows","eat"]}"#,
            r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
            r#"{"foo":["all","cows","eat","grass"]}"#,
        ),
        (
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
            r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        ),
        // A.10, A.11, A.14, A.16
        (
            r#"{"foo":"bar"}"#,
            r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            r#"{"foo":"bar","child":{"grandchild":{}}}"#,
        ),
        (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#, r#"{"foo":"bar","baz":"qux"}"#),
        (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
        (
            r#"{"foo":["bar"]}"#,
            r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
            r#"{"foo":["bar",["abc","def"]]}"#,
        ),
    ] {
        assert_eq!(patched(before, patch).as_deref(), Ok(after), "{before} {patch}");
    }
    // A.9, A.12, A.13, A.15
    for (before, patch, misfit) in [
        (r#"{"baz":"qux"}"#, r#"[{"op":"test","path":"/baz","value":"bar"}]"#, DoesNotFit::Test(0)),
        (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#, DoesNotFit::Place(0)),
        (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":"10"}]"#, DoesNotFit::Test(0)),
    ] {
        assert_eq!(patched(before, patch), Err(misfit), "{before} {patch}");
    }
    let twice = r#"[{"op":"add","path":"/baz","value":"qux","op":"remove"}]"#;
    assert!(matches!(Patch::operations_from(twice), Err(PatchError::Json(DocumentError::DuplicateKey))));
}

#[test]
fn replaced_members_keep_their_place_and_removed_ones_leave_the_order() {
    for (patch, after) in [
        (r#"[{"op":"add","path":"/a","value":9}]"#, r#"{"z":1,"a":9,"m":[1,2]}"#),
        (r#"[{"op":"replace","path":"/z","value":9}]"#, r#"{"z":9,"a":2,"m":[1,2]}"#),
        (r#"[{"op":"copy","from":"/a","path":"/z"}]"#, r#"{"z":2,"a":2,"m":[1,2]}"#),
        (r#"[{"op":"move","from":"/a","path":"/z"}]"#, r#"{"z":2,"m":[1,2]}"#),
        (r#"[{"op":"move","from":"/z","path":"/z"}]"#, r#"{"z":1,"a":2,"m":[1,2]}"#),
        (r#"[{"op":"remove","path":"/z"}]"#, r#"{"a":2,"m":[1,2]}"#),
        (r#"[{"op":"replace","path":"/m/0","value":[]}]"#, r#"{"z":1,"a":2,"m":[[],2]}"#),
        (r#"[{"op":"add","path":"/m/2","value":3}]"#, r#"{"z":1,"a":2,"m":[1,2,3]}"#),
    ] {
        assert_eq!(patched(r#"{"z":1,"a":2,"m":[1,2]}"#, patch).as_deref(), Ok(after), "{patch}");
    }
}

#[test]
fn a_place_that_is_not_there_does_not_fit() {
    for operation in [
        r#""add","path":"/missing/x","value":1"#,
        r#""add","path":"/s/x","value":1"#,
        r#""add","path":"/m/3","value":1"#,
        r#""add","path":"/m/01","value":1"#,
        r#""add","path":"/m/-1","value":1"#,
        r#""add","path":"/m/1e0","value":1"#,
        r#""add","path":"/m/x","value":1"#,
        r#""add","path":"/m/-/x","value":1"#,
        r#""add","path":"/m/99999999999999999999","value":1"#,
        r#""remove","path":"/missing""#,
        r#""remove","path":"/m/2""#,
        r#""remove","path":"/m/-""#,
        r#""remove","path":"""#,
        r#""replace","path":"/missing","value":1"#,
        r#""replace","path":"/m/2","value":1"#,
        r#""replace","path":"/m/-","value":1"#,
        r#""move","from":"/missing","path":"/a""#,
        r#""move","from":"/missing","path":"/missing""#,
        r#""move","from":"/m/-","path":"/a""#,
        r#""move","from":"/o","path":"/o/p/q""#,
        r#""move","from":"","path":"/a""#,
        r#""copy","from":"/missing","path":"/a""#,
        r#""copy","from":"/m/-","path":"/a""#,
        r#""test","path":"/missing","value":null"#,
        r#""test","path":"/m/-","value":2"#,
    ] {
        let patch = format!(
            r#"[{{"op":"test","path":"","value":{{"o":{{"p":{{}}}},"s":"x","m":[1,2]}}}},{{"op":{operation}}}]"#
        );
        assert_eq!(patched(r#"{"m":[1,2],"s":"x","o":{"p":{}}}"#, &patch), Err(DoesNotFit::Place(1)), "{operation}");
    }
}

#[test]
fn a_name_that_only_begins_like_another_is_not_its_child() {
    assert_eq!(patched(r#"{"a":1}"#, r#"[{"op":"move","from":"/a","path":"/ab"}]"#).as_deref(), Ok(r#"{"ab":1}"#));
}

#[test]
fn a_value_can_be_copied_into_itself() {
    let patch = r#"[{"op":"copy","from":"/a","path":"/a/b"}]"#;
    assert_eq!(patched(r#"{"a":{"c":1}}"#, patch).as_deref(), Ok(r#"{"a":{"c":1,"b":{"c":1}}}"#));
}

#[test]
fn test_compares_meaning() {
    let before = r#"{"n":1.0,"big":12345678901234567890123,"o":{"a":1,"b":[1e400]}}"#;
    for (path, value, fits) in [
        ("/n", "1", true),
        ("/n", "1.00", true),
        ("/n", "\"1\"", false),
        ("/big", "12345678901234567890123", true),
        ("/big", "12345678901234567890124", false),
        ("/o", r#"{"b":[10e399],"a":1}"#, true),
        ("/o", r#"{"b":[1e401],"a":1}"#, false),
    ] {
        let patch = format!(r#"[{{"op":"test","path":"{path}","value":{value}}}]"#);
        let expected = if fits { Ok(before.to_owned()) } else { Err(DoesNotFit::Test(0)) };
        assert_eq!(patched(before, &patch), expected, "{path} {value}");
    }
}

#[test]
fn the_root_may_be_anything_in_between_and_the_caller_asks_at_the_end() {
    let there_and_back = r#"[{"op":"replace","path":"","value":[1]},{"op":"add","path":"/-","value":2},
        {"op":"test","path":"","value":[1,2]},{"op":"add","path":"","value":{"a":1}},{"op":"copy","from":"","path":"/b"}]"#;
    assert_eq!(patched("{}", there_and_back).as_deref(), Ok(r#"{"a":1,"b":{"a":1}}"#));
    assert_eq!(patched(r#"{"a":[1]}"#, r#"[{"op":"move","from":"/a","path":""}]"#).as_deref(), Ok("[1]"));
    for patch in [operations(r#"[{"op":"replace","path":"","value":null}]"#), merge_patch("[]")] {
        let mut document = Document::empty();
        patch.apply(&mut document, 0).unwrap();
        assert!(!document.is_object() && !document.is_empty());
    }
}

#[test]
fn numbers_and_keys_pass_through_patches_unchanged() {
    let magic = r#"{"$serde_json::private::Number":"1","n":[1.10,1e400,-0]}"#;
    for patch in [
        format!(
            r#"[{{"op":"add","path":"/__proto__","value":{magic}}},{{"op":"copy","from":"/__proto__","path":"/exp"}}]"#
        ),
        format!(r#"{{"__proto__":{magic},"exp":{magic}}}"#),
    ] {
        let after = applied(&Patch::parse(patch.as_bytes()).unwrap(), "{}", PLENTY).unwrap();
        assert_eq!(after, format!(r#"{{"__proto__":{magic},"exp":{magic}}}"#));
    }
}

#[test]
fn copies_are_counted_before_they_are_made() {
    let doubling = |times: usize| {
        let copy = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
        operations(&format!("[{}]", vec![copy; times].join(",")))
    };
    let before = format!(r#"{{"a":["{}"]}}"#, "x".repeat(1_000));
    assert!(applied(&doubling(6), &before, 64 * 1024).is_ok());
    assert_eq!(applied(&doubling(4_000), &before, 64 * 1024), Err(DoesNotFit::TooLarge(6)));
    assert_eq!(applied(&doubling(1), &before, 0), Err(DoesNotFit::TooLarge(0)));
    assert!(applied(&operations(r#"[{"op":"move","from":"/a","path":"/b"}]"#), &before, 0).is_ok());
}

#[test]
fn what_is_removed_again_counts_all_the_same() {
    let pair = r#"{"op":"copy","from":"/a","path":"/b"},{"op":"remove","path":"/b"}"#;
    let patch = operations(&format!("[{}]", vec![pair; 100].join(",")));
    assert_eq!(applied(&patch, &format!(r#"{{"a":"{}"}}"#, "x".repeat(998)), 50_000), Err(DoesNotFit::TooLarge(100)));
}

#[test]
fn no_chain_of_operations_nests_deeper_than_a_document_may() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let inner = format!("/a{}", "/0".repeat(99));
    let there = format!("/b{}", "/0".repeat(99));
    for operation in [
        format!(r#"{{"op":"add","path":"{inner}/-","value":{deep}}}"#),
        format!(r#"{{"op":"replace","path":"{inner}","value":{deep}}}"#),
        format!(r#"{{"op":"copy","from":"/b","path":"{inner}/-"}}"#),
        format!(r#"{{"op":"move","from":"/b","path":"{inner}/-"}}"#),
    ] {
        let before = format!(r#"{{"a":{deep},"b":{deep}}}"#);
        assert_eq!(patched(&before, &format!("[{operation}]")), Err(DoesNotFit::TooDeep(0)), "{operation}");
    }
    let deepest =
        format!(r#"[{{"op":"add","path":"/a","value":{0}}},{{"op":"add","path":"{there}","value":1}}]"#, deep);
    let before = format!(r#"{{"b":{deep}}}"#);
    Document::parse(&patched(&before, &deepest).unwrap()).unwrap();
    assert_eq!(Document::empty().set(&Pointer::parse(&"/a".repeat(MAX_DEPTH + 1)).unwrap(), Json::Null), Err(TooDeep));
}

// --- rights ------------------------------------------------------------------------------------------------------

#[test]
fn a_merge_patch_writes_its_leaves() {
    for (patch, written) in [
        ("{}", &[][..]),
        (r#"{"a":1}"#, &["/a"]),
        (r#"{"b":{"d":null,"c":[1]},"a":{}}"#, &["/a", "/b/c", "/b/d"]),
        (r#"{"a/b":{"~":1}}"#, &["/a~1b/~0"]),
        ("[]", &[""]),
        ("null", &[""]),
    ] {
        assert_eq!(places(&merge_patch(patch).writes()), written, "{patch}");
        assert!(merge_patch(patch).reads().is_empty());
    }
}

#[test]
fn operations_write_their_path_and_where_something_is_moved_from() {
    for (patch, written, read) in [
        ("[]", &[][..], &[][..]),
        (r#"[{"op":"add","path":"/a","value":{"b":1}}]"#, &["/a"], &[]),
        (r#"[{"op":"remove","path":"/a/b"},{"op":"replace","path":"/a","value":1}]"#, &["/a"], &[]),
        (r#"[{"op":"move","from":"/a/b","path":"/c"}]"#, &["/a/b", "/c"], &["/a/b"]),
        (r#"[{"op":"copy","from":"/a/b","path":"/c"}]"#, &["/c"], &["/a/b"]),
        (r#"[{"op":"test","path":"/a","value":1},{"op":"test","path":"/a/b","value":1}]"#, &[], &["/a"]),
        (r#"[{"op":"replace","path":"/ab","value":1},{"op":"replace","path":"/a","value":1}]"#, &["/a", "/ab"], &[]),
        (r#"[{"op":"replace","path":"","value":{}},{"op":"remove","path":"/a"}]"#, &[""], &[]),
    ] {
        assert_eq!(places(&operations(patch).writes()), written, "{patch}");
        assert_eq!(places(&operations(patch).reads()), read, "{patch}");
    }
}

#[test]
fn what_shifts_the_elements_of_an_array_writes_the_array() {
    for (operation, written) in [
        (r#"{"op":"add","path":"/a/0","value":1}"#, &["/a"][..]),
        (r#"{"op":"remove","path":"/a/0"}"#, &["/a"]),
        (r#"{"op":"move","from":"/a/0","path":"/b/1"}"#, &["/a", "/b"]),
        (r#"{"op":"copy","from":"/a/0","path":"/b/1"}"#, &["/b"]),
        (r#"{"op":"replace","path":"/a/0","value":1}"#, &["/a/0"]),
        (r#"{"op":"add","path":"/a/-","value":1}"#, &["/a/-"]),
        (r#"{"op":"add","path":"/a/0/b","value":1}"#, &["/a/0/b"]),
        (r#"{"op":"add","path":"/0","value":1}"#, &["/0"]),
    ] {
        assert_eq!(places(&operations(&format!("[{operation}]")).writes()), written, "{operation}");
    }
}

#[test]
fn what_grew_out_of_texts_is_as_it_would_be_read() {
    let many = |from: usize| {
        let members: Vec<_> = (from..from + 30).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut text = Text::from("{}");
    for patch in [
        many(0),
        many(20),
        r#"{"k3":{"a":{"b":null,"c":{}}},"k4":null,"k49":[1]}"#.to_owned(),
        format!(r#"{{"k3":{}}}"#, many(0)),
        format!(r#"{{"k3":{}}}"#, many(30)),
        r#"{"k5":null,"last":"a"}"#.to_owned(),
        format!(r#"{{"last":"{}"}}"#, "x".repeat(1 << 16)),
        r#"{"last":"b"}"#.to_owned(),
    ] {
        let patch = merge_patch(&patch);
        let document = applied(&patch, &text, 0).unwrap();
        text = patch.splice(&text).unwrap_or_else(|| document.as_str().into());
        assert_eq!(&*text, document, "{patch:?}");
    }
    let deep = |letter: char| format!(r#"{{"a":{}}}"#, many(0).replace('k', &letter.to_string()));
    let grown = merge_patch(&deep('y')).splice(&deep('x').into()).unwrap();
    assert!(merge_patch(r#"{"a":{"z":1}}"#).splice(&grown).is_none(), "too many keys within");
    let more = merge_patch(r#"{"b":1}"#);
    assert_eq!(&*more.splice(&grown).unwrap(), applied(&more, &grown, 0).unwrap());
}

// --- against an oracle -------------------------------------------------------------------------------------------

fn small_json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        "[a-c\"é]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc0~/]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn small_object() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::btree_map("[abc0]", small_json(4), 0..5)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
}

fn small_operation() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    let path = || prop_oneof![8 => "(/([abc]|0|1|~0|~1)){1,3}", 1 => "(/[ab]){1,2}/-", 1 => Just("/a/01".to_owned())];
    prop_oneof![
        3 => (path(), small_json(2)).prop_map(|(path, value)| json!({"op": "add", "path": path, "value": value})),
        2 => path().prop_map(|path| json!({"op": "remove", "path": path})),
        2 => (path(), small_json(2)).prop_map(|(path, value)| json!({"op": "replace", "path": path, "value": value})),
        2 => (path(), path()).prop_map(|(path, from)| json!({"op": "move", "path": path, "from": from})),
        2 => (path(), path()).prop_map(|(path, from)| json!({"op": "copy", "path": path, "from": from})),
        1 => (path(), small_json(1)).prop_map(|(path, value)| json!({"op": "test", "path": path, "value": value})),
    ]
}

fn value(document: &Document) -> serde_json::Value {
    serde_json::from_str(&document.to_text()).unwrap()
}

/// Whether nothing differs but in these places.
fn same_outside(one: &serde_json::Value, two: &serde_json::Value, places: &[Pointer]) -> bool {
    let blank = |value: &serde_json::Value| {
        let mut document = rooted(&value.to_string());
        for place in places {
            document.remove(place);
        }
        document.to_text()
    };
    blank(one) == blank(two)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn merging_does_what_json_patch_does(before in small_object(), patch in small_json(4)) {
        let mut document = rooted(&before.to_string());
        merge_patch(&patch.to_string()).apply(&mut document, 0).unwrap();
        let mut expected = before;
        json_patch::merge(&mut expected, &patch);
        prop_assert_eq!(value(&document), expected);
    }

    #[test]
    fn merging_texts_does_what_merging_documents_does(before in small_object(), patch in small_json(4), escapes: bool) {
        let written = |text: String| if escapes { text } else { text.replace("\\\"", "d") };
        let before = written(before.to_string());
        let (plain, pretty) = (written(patch.to_string()), written(serde_json::to_string_pretty(&patch).unwrap()));
        let (patch, is_object) = (merge_patch(&plain), plain.starts_with('{'));
        prop_assert!(merge_patch(&pretty) == patch, "spaces mean nothing");
        match patch.splice(&before.as_str().into()) {
            Some(text) => prop_assert_eq!(&*text, applied(&patch, &before, 0).unwrap()),
            None => prop_assert!(before.contains('\\') || plain.contains('\\') || !is_object),
        }
    }

    #[test]
    fn texts_into_which_was_merged_are_merged_as_any_other(before in small_object(), patches in prop::collection::vec(small_object(), 2..5)) {
        let written = |json: &serde_json::Value| json.to_string().replace("\\\"", "d");
        let mut text = Text::from(written(&before));
        for patch in patches.iter().map(|patch| merge_patch(&written(patch))) {
            let fresh = Text::from(&*text);
            text = patch.splice(&text).unwrap();
            prop_assert_eq!(&text, &patch.splice(&fresh).unwrap());
            prop_assert_eq!(&*text, applied(&patch, &fresh, 0).unwrap());
        }
    }

    #[test]
    fn merging_twice_changes_nothing_more(before in small_object(), patch in small_object()) {
        let patch = merge_patch(&patch.to_string());
        let once = applied(&patch, &before.to_string(), 0).unwrap();
        prop_assert_eq!(applied(&patch, &once, 0).unwrap(), once);
    }

    #[test]
    fn one_operation_does_what_json_patch_does(before in small_object(), operation in small_operation()) {
        let list = serde_json::Value::from(vec![operation]);
        let mut document = rooted(&before.to_string());
        let ours = operations(&list.to_string()).apply(&mut document, PLENTY);
        let oracle: json_patch::Patch = serde_json::from_value(list.clone()).unwrap();
        let mut expected = before;
        match json_patch::patch_unsafe(&mut expected, &oracle) {
            Ok(()) => {
                prop_assert_eq!(ours, Ok(()), "{}", list);
                prop_assert_eq!(value(&document), expected);
            }
            Err(_) => prop_assert!(ours.is_err(), "{list}"),
        }
    }

    #[test]
    fn a_list_of_operations_does_what_json_patch_does(before in small_object(), list in prop::collection::vec(small_operation(), 0..6)) {
        let list = serde_json::Value::from(list);
        let mut document = rooted(&before.to_string());
        let ours = operations(&list.to_string()).apply(&mut document, PLENTY);
        let oracle: json_patch::Patch = serde_json::from_value(list.clone()).unwrap();
        let mut expected = before;
        match json_patch::patch_unsafe(&mut expected, &oracle) {
            Ok(()) => {
                prop_assert_eq!(ours, Ok(()), "{}", list);
                prop_assert_eq!(value(&document), expected);
            }
            Err(_) => prop_assert!(ours.is_err(), "{list}"),
        }
    }

    #[test]
    fn an_operation_changes_only_what_it_says_it_writes(before in small_object(), operation in small_operation()) {
        let patch = operations(&serde_json::Value::from(vec![operation]).to_string());
        let mut document = rooted(&before.to_string());
        if patch.apply(&mut document, PLENTY).is_ok() {
            let mut places = patch.writes();
            // `-` is a place in a document only once something is there: the last element
            places.iter_mut().filter(|place| place.tokens().last().is_some_and(|last| &**last == "-")).for_each(|place| {
                *place = place.parent().unwrap();
            });
            prop_assert!(same_outside(&before, &value(&document), &places), "{before} {:?}", places);
        }
    }

    #[test]
    fn no_field_line_makes_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Patch::parse(&line);
    }
}
