//! The table of keys and the raw types say the same: every form that the table allows can be read, and nothing else.

use std::collections::BTreeSet;

use toml::{Table as Toml, Value};

use super::*;
use crate::config::raw::RawConfig;

/// Every form that a value of this shape may have, the first one the plainest.
fn forms(shape: &Shape) -> Vec<Value> {
    match shape {
        Text | Duration | Size => vec!["x".into()],
        Word(words) | Shape::Choice(words) => words.iter().map(|word| Value::from(*word)).collect(),
        Whole(least, most) => vec![Value::from((*least).max(0)), Value::from(*most), Value::from(*least)],
        Number => vec![Value::from(1.5), Value::from(1)],
        Flag => vec![true.into(), false.into()],
        List(each) => forms(each).into_iter().map(|form| Value::Array(vec![form])).collect(),
        Table(keys) => tables(keys),
        Named(each) => forms(each).into_iter().map(|form| one("name", form)).collect(),
        Shape::OneOf(keys) => {
            keys.iter().flat_map(|key| forms(&key.shape).into_iter().map(|form| one(key.name, form))).collect()
        }
        Either(_, shapes) => shapes.iter().flat_map(forms).collect(),
        Refused(shape) => forms(shape),
        Reserved => vec![1.into()],
    }
}

fn one(name: &str, value: Value) -> Value {
    Value::Table(Toml::from_iter([(name.to_owned(), value)]))
}

/// The table with each key's plainest form, then one for each further form of a key, then without what is not required.
fn tables(keys: &[Key]) -> Vec<Value> {
    let all: Vec<(&Key, Vec<Value>)> = keys.iter().map(|key| (key, forms(&key.shape))).collect();
    let plain: Toml = all.iter().map(|(key, forms)| (key.name.to_owned(), forms[0].clone())).collect();
    let mut tables = vec![plain.clone()];
    for (key, forms) in &all {
        for form in &forms[1..] {
            let mut other = plain.clone();
            other.insert(key.name.to_owned(), form.clone());
            tables.push(other);
        }
    }
    tables
        .push(plain.into_iter().filter(|(name, _)| keys.iter().any(|key| key.required && key.name == name)).collect());
    tables.into_iter().map(Value::Table).collect()
}

fn read(file: &Value) -> Result<RawConfig, String> {
    let text = toml::to_string(file).expect("has a text");
    toml::from_str(&text).map_err(|error| format!("{}\n{text}", error.message()))
}

#[test]
fn whatever_the_table_allows_can_be_read() {
    let files = tables(FILE);
    assert!(files.len() > 200, "{}", files.len());
    for file in files {
        read(&file).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A key that the raw types know and the table does not would be reported as unknown: serde's own list says which it knows.
#[test]
fn the_raw_types_know_no_other_key() {
    let mut seen = BTreeSet::new();
    for file in tables(FILE) {
        compare(&file, &mut Vec::new(), &Table(FILE), &file, &mut seen);
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// Puts an unknown key into every table of a file, one after the other.
fn compare(value: &Value, path: &mut Vec<String>, shape: &Shape, file: &Value, seen: &mut BTreeSet<String>) {
    match (shape, value) {
        (Table(keys) | Shape::OneOf(keys), Value::Table(table)) => {
            let known: BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
            if seen.insert(format!("{} {known:?}", path.join("."))) {
                let stranger = Toml::from_iter([("stranger".to_owned(), Value::from(1))]);
                let mut added = if matches!(shape, Shape::OneOf(_)) { Toml::new() } else { table.clone() };
                added.extend(stranger);
                let error = read(&replaced(file, path, &Value::Table(added))).expect_err("a stranger");
                let told = error.lines().next().unwrap_or_default();
                let mut list: BTreeSet<&str> = told.split('`').skip(3).step_by(2).collect();
                // A part of a request, where a word may stand in its place: serde has one enum for both.
                if path.iter().any(|name| name == "dedupe") {
                    ["signature", "body"].iter().for_each(|word| _ = list.remove(word));
                }
                assert_eq!(list, known, "{}: {told}", path.join("."));
            }
            for (name, value) in table {
                let key = keys.iter().find(|key| key.name == name).expect("made from it");
                path.push(name.clone());
                compare(value, path, &key.shape, file, seen);
                path.pop();
            }
        }
        (Named(each), Value::Table(table)) => {
            for (name, value) in table {
                path.push(name.clone());
                compare(value, path, each, file, seen);
                path.pop();
            }
        }
        (List(each), Value::Array(list)) => {
            path.push("0".to_owned());
            compare(&list[0], path, each, file, seen);
            path.pop();
        }
        (Either(_, shapes), _) => {
            let fits = |shape: &&Shape| {
                matches!((shape, value), (Table(_) | Shape::OneOf(_), Value::Table(_)) | (List(_), Value::Array(_)))
            };
            if let Some(shape) = shapes.iter().find(fits) {
                compare(value, path, shape, file, seen);
            }
        }
        _ => {}
    }
}

fn replaced(file: &Value, path: &[String], value: &Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return value.clone() };
    let mut file = file.clone();
    let place = match &mut file {
        Value::Table(table) => table.get_mut(first).expect("the path's own"),
        Value::Array(list) => &mut list[0],
        _ => panic!("{path:?}"),
    };
    *place = replaced(place, rest, value);
    file
}
