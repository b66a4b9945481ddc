//! A JSON Schema of `relay.toml`, for editors: made from the table of keys, with the words of `docs/config.md`.
//!
//! Editors complete and mark with it what `check` would say. What a rule says (ranges, what goes together) is not in it.

use serde_json::{Map, Value, json};

use super::keys::{FILE, Key, Shape};

const REFERENCE: &str = include_str!("../../docs/config.md");
const DURATION: &str = r"^([0-9]+(d|h|ms|m|s))+$";
const SIZE: &str = r"^[0-9]+ *(B|KiB|MiB|GiB|kB|MB|GB)$";

/// The schema of the whole file, in draft 7, which TOML editors read.
pub fn schema() -> Value {
    let Value::Object(file) = table(FILE, "") else { return Value::Null };
    let mut schema = Map::from_iter([
        ("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#")),
        ("$comment".to_owned(), json!("Made by `dmz-relay schema`.")),
        ("title".to_owned(), json!("relay.toml of dmz-relay")),
    ]);
    schema.extend(file);
    Value::Object(schema)
}

fn table(keys: &[Key], path: &str) -> Value {
    // A secret has the same keys wherever it stands, and one card for each.
    let path = if keys.iter().any(|key| key.name == "credential") { "<secret>" } else { path };
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), described(key, path))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (Value::Object(table), false) = (&mut table, required.is_empty()) {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

fn described(key: &Key, path: &str) -> Value {
    let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
    let mut value = value(&key.shape, &path);
    if let (Value::Object(value), Some(text)) = (&mut value, card(&path)) {
        value.insert("description".to_owned(), json!(text));
    }
    value
}

fn value(shape: &Shape, path: &str) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Word(words) | Shape::Choice(words) => json!({ "enum": words }),
        Shape::Duration => json!({ "type": "string", "pattern": DURATION }),
        Shape::Size => json!({ "type": "string", "pattern": SIZE }),
        Shape::Whole(i64::MIN, i64::MAX) => json!({ "type": "integer" }),
        Shape::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::List(each) => json!({ "type": "array", "items": value(each, path) }),
        Shape::Table(keys) => table(keys, path),
        Shape::Named(each) => {
            json!({ "type": "object", "additionalProperties": value(each, &format!("{path}.<name>")) })
        }
        Shape::OneOf(keys) => {
            let Value::Object(mut one) = table(keys, path) else { return Value::Null };
            one.extend([("minProperties".to_owned(), json!(1)), ("maxProperties".to_owned(), json!(1))]);
            Value::Object(one)
        }
        Shape::Either(_, shapes) => {
            let right = shapes.iter().filter(|shape| !matches!(shape, Shape::Refused(_)));
            let mut forms: Vec<Value> = right.map(|shape| value(shape, path)).collect();
            match forms.len() {
                1 => forms.pop().unwrap_or_default(),
                _ => json!({ "anyOf": forms }),
            }
        }
        Shape::Refused(_) | Shape::Reserved => json!({ "not": {} }),
    }
}

/// What the reference says of a key: its meaning and its default.
fn card(path: &str) -> Option<String> {
    let (_, rest) = REFERENCE.split_once(&format!("### `{path}`\n"))?;
    let card = rest.split("\n#").next()?;
    let part = |name: &str| card.lines().find_map(|line| line.strip_prefix(&format!("- **{name}:** ")));
    let meaning = part("Meaning")?;
    Some(match part("Default") {
        Some(default) => format!("{meaning}\n\nDefault: {default}"),
        None => meaning.to_owned(),
    })
}
