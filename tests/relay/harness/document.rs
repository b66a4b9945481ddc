//! What `docs/openapi.json` says of an answer of the admin listener.

use dmz_relay::control::admin::ENDPOINTS;
use serde_json::{Value, json};

pub fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

/// The template that a path is of.
pub fn template(path: &str) -> &'static str {
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len() && template.iter().zip(&path).all(|(part, of)| part == of || *part == "{id}")
    };
    ENDPOINTS.iter().find(|endpoint| fits(endpoint.path)).unwrap_or_else(|| panic!("no endpoint for {path}")).path
}

/// Fails unless the document describes this answer: its status, its content type and, member by member, its JSON.
pub fn holds(method: &str, path: &str, status: u16, content_type: &str, body: &[u8]) {
    let document = document();
    let path = path.split('?').next().unwrap();
    let operation = &document["paths"][template(path)][method.to_ascii_lowercase()];
    let answer = &operation["responses"][status.to_string()];
    let what = format!("{method} {path}: {status} {content_type}");
    assert!(answer.is_object(), "{what} is not described");
    let bare = content_type.split(';').next().unwrap();
    let schema = &answer["content"][bare]["schema"];
    assert!(schema.is_object(), "{what} is described as {answer}");
    if bare == "application/json" {
        let value: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = problems(&document, schema, &value);
        assert!(found.is_empty(), "{what}: {found:#?} in {value:#}");
    }
}

pub fn problems(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [schema],
    });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path)).collect()
}
