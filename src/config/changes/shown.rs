//! A value of the file as a change shows it: short, on one line, and without what may be a secret.

use toml::Value;

use crate::config::masked::masked;

/// Characters of one value.
const LONGEST: usize = 80;
/// Elements of one list.
const MOST: usize = 8;

/// Tables whose values may be secrets, wherever they stand: headers and parameters, sent or required.
const GUARDED: [&str; 3] = ["headers", "upstream_headers", "upstream_query"];

/// Whether the values at this path may be secrets. References to secrets are none.
pub(super) fn may_be_secret(path: &[String]) -> bool {
    path.iter().skip(1).any(|part| GUARDED.contains(&part.as_str()))
}

/// The value, in TOML's form.
pub(super) fn shown(path: &[String], value: &Value) -> String {
    let mut text = String::new();
    write(&mut path.to_vec(), value, &mut text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn write(path: &mut Vec<String>, value: &Value, text: &mut String) {
    match value {
        Value::Table(table) => {
            // A reference names where a secret lies; that is worth knowing.
            text.push('{');
            for (at, (key, value)) in table.iter().enumerate() {
                text.push_str(if at == 0 { " " } else { ", " });
                text.push_str(key);
                text.push_str(" = ");
                path.push(key.clone());
                if is_reference(key) {
                    text.push_str(&value.to_string())
                } else {
                    write(path, value, text)
                }
                path.pop();
            }
            text.push_str(" }");
        }
        Value::Array(list) => {
            text.push('[');
            for (at, value) in list.iter().take(MOST).enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                write(path, value, text);
            }
            if list.len() > MOST {
                text.push_str(&format!(", and {} more", list.len() - MOST));
            }
            text.push(']');
        }
        Value::String(_) if may_be_secret(path) => text.push_str("\"***\""),
        Value::String(plain) => text.push_str(&Value::String(masked(plain).into_owned()).to_string()),
        other => text.push_str(&other.to_string()),
    }
}

fn is_reference(key: &str) -> bool {
    matches!(key, "file" | "credential" | "env" | "id")
}
