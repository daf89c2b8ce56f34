//! `docs/openapi.json`, as far as the admin listener can be held against it: every answer that a test gets must be described,
//! with its media type and the whole shape of its body.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::Reply;

/// Path, method, status.
pub(super) type Seen = (String, String, u16);

pub(super) struct Description {
    document: Value,
    seen: Mutex<BTreeSet<Seen>>,
}

impl Description {
    pub(super) fn read() -> Self {
        let document = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("an OpenAPI document");
        Self { document, seen: Mutex::default() }
    }

    /// Paths with their methods, in capitals.
    pub(super) fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.document["paths"].as_object().expect("paths");
        let methods = |item: &Value| -> Vec<String> {
            let keys = item.as_object().expect("a path item").keys();
            keys.filter(|key| *key != "parameters").map(|method| method.to_uppercase()).collect()
        };
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|method| (path.clone(), method))).collect()
    }

    /// Everything that is described.
    pub(super) fn described(&self) -> BTreeSet<Seen> {
        let statuses = |(path, method): &(String, String)| -> Vec<u16> {
            let responses = &self.document["paths"][path][method.to_lowercase()]["responses"];
            responses.as_object().expect("responses").keys().map(|status| status.parse().expect("a status")).collect()
        };
        let operations = self.operations().into_iter();
        operations
            .flat_map(|(path, method)| {
                let statuses = statuses(&(path.clone(), method.clone()));
                statuses.into_iter().map(move |status| (path.clone(), method.clone(), status))
            })
            .collect()
    }

    /// Everything that was answered.
    pub(super) fn seen(&self) -> BTreeSet<Seen> {
        self.seen.lock().expect("what was seen").clone()
    }

    /// Holds an answer against the description. `405` and paths that do not exist are described in words.
    #[track_caller]
    pub(super) fn check(&self, method: &str, target: &str, reply: &Reply) {
        let path = target.split('?').next().unwrap_or_default();
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {target}");
        let Some(path) = self.path(path).filter(|_| reply.status != 405) else {
            return self.check_problem(reply);
        };
        let described_as = if method == "HEAD" { "get" } else { &method.to_lowercase() };
        let response = &self.document["paths"][&path][described_as]["responses"][reply.status.to_string()];
        assert!(!response.is_null(), "{method} {target} is answered {} {}", reply.status, reply.text());
        let response = self.resolved(response);
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        match content {
            None => assert!(reply.body.is_empty() && reply.header("content-type").is_none(), "{method} {target}"),
            Some((media_type, content)) => {
                assert_eq!(reply.header("content-type"), Some(media_type.as_str()), "{method} {target}");
                if method != "HEAD" {
                    self.check_body(&content["schema"], media_type, reply);
                }
            }
        }
        self.seen.lock().expect("what was seen").insert((path, method.to_owned(), reply.status));
    }

    fn check_problem(&self, reply: &Reply) {
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        if !reply.body.is_empty() {
            self.check_body(&self.document["components"]["schemas"]["Problem"], "json", reply);
        }
    }

    fn check_body(&self, schema: &Value, media_type: &str, reply: &Reply) {
        if !media_type.contains("json") {
            return assert!(!reply.body.is_empty());
        }
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        if let Err(fault) = self.fits(&body, schema) {
            panic!("{fault}: {body}");
        }
        if media_type.contains("problem") {
            assert_eq!(body["status"], reply.status, "{body}");
        }
    }

    fn path(&self, path: &str) -> Option<String> {
        let paths = self.document["paths"].as_object().expect("paths");
        let same = |described: &str| {
            let (asked, described): (Vec<_>, Vec<_>) = (path.split('/').collect(), described.split('/').collect());
            asked.len() == described.len()
                && described.iter().zip(asked).all(|(d, a)| *d == a || (d.starts_with('{') && !a.is_empty()))
        };
        paths.keys().find(|described| *described == path).or_else(|| paths.keys().find(|path| same(path))).cloned()
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.document.pointer(place.trim_start_matches('#')).expect("what is referred to"),
            None => value,
        }
    }

    /// As much of JSON Schema as the document uses.
    fn fits(&self, value: &Value, schema: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kind = if kind == "integer" && schema["type"] == "number" { "number" } else { kind };
        let allowed = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|allowed| allowed == kind),
            one => one == kind,
        };
        let listed = schema["enum"].as_array().is_none_or(|words| words.contains(value));
        if !allowed || !listed {
            return Err(format!("{value} is no {schema}"));
        }
        match value {
            Value::Array(elements) => elements.iter().try_for_each(|element| self.fits(element, &schema["items"])),
            Value::Object(object) if schema["additionalProperties"] == false => {
                let properties = schema["properties"].as_object().expect("properties");
                let required = schema["required"].as_array().expect("required");
                let missing = required.iter().find(|name| !object.contains_key(name.as_str().unwrap_or_default()));
                if let Some(missing) = missing {
                    return Err(format!("{missing} is missing"));
                }
                object.iter().try_for_each(|(name, value)| match properties.get(name) {
                    Some(schema) => self.fits(value, schema),
                    None => Err(format!("{name} is not described")),
                })
            }
            _ => Ok(()),
        }
    }
}
