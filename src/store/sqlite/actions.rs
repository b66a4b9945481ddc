//! The table of actions: one row each, the newest are kept.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::base::UnixMillis;
use crate::domain::ActionResult;
use crate::store::action::{Action, ActionPage, ActionQuery, KEPT, KEPT_REFUSED, PAGE};

use super::columns::columns;

/// Rows of a page when the query does not say.
const DEFAULT_ROWS: usize = 50;
/// Actions after which the oldest go.
const EVERY: i64 = 64;

columns! {
    /// Of the table `actions`.
    enum Column {
        id,
        at,
        action,
        result,
        status,
        uid,
        user,
        pid,
        place,
        request_id,
        count,
        detail,
        token,
    }
}

pub(super) fn insert(connection: &Connection, action: &Action) -> rusqlite::Result<()> {
    let sql = "INSERT INTO actions (at, action, result, status, uid, user, pid, place, request_id, count, detail, token) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let Action { at, action, result, status, uid, user, pid, from, request_id, count, detail, token } = action;
    let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    connection.prepare_cached(sql)?.execute(params![
        at.0,
        action,
        result.as_str(),
        status,
        uid,
        user,
        pid,
        from,
        request_id,
        count,
        detail,
        token
    ])?;
    // It looks at every row.
    if connection.last_insert_rowid() % EVERY == 0 {
        prune(connection, "=", KEPT_REFUSED)?;
        prune(connection, "<>", KEPT)?;
    }
    Ok(())
}

/// Deletes the oldest of those that were refused, or of the others.
fn prune(connection: &Connection, refused: &str, kept: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM actions WHERE result {refused} ?2 AND id <= \
         (SELECT id FROM actions WHERE result {refused} ?2 ORDER BY id DESC LIMIT 1 OFFSET ?1)"
    );
    connection.prepare_cached(&sql)?.execute(params![kept, ActionResult::Refused.as_str()]).map(drop)
}

/// Adds to the count of the action that has this token.
pub(super) fn count(connection: &Connection, token: &str, more: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE actions SET count = coalesce(count, 0) + ?2 WHERE token = ?1";
    connection.prepare_cached(sql)?.execute(params![token, i64::try_from(more).unwrap_or(i64::MAX)]).map(drop)
}

pub(super) fn page(connection: &Connection, query: &ActionQuery) -> rusqlite::Result<ActionPage> {
    let ActionQuery { since, until, action, result, user, request_id, before, limit } = query;
    let mut conditions: Vec<&str> = vec!["1"];
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    add("at >= ?", since.map(|at| at.0.into()));
    add("at < ?", until.map(|at| at.0.into()));
    add("action = ?", text(action));
    add("result = ?", result.map(|result| Value::Text(result.as_str().to_owned())));
    match user.as_ref().map(|user| (user, user.parse::<u32>())) {
        Some((_, Ok(uid))) => add("uid = ?", Some(i64::from(uid).into())),
        Some((name, Err(_))) => add("user = ?", Some(Value::Text(name.clone()))),
        None => {}
    }
    add("request_id = ?", text(request_id));
    add("id < ?", before.map(Value::Integer));
    let limit = if *limit == 0 { DEFAULT_ROWS } else { (*limit).min(PAGE) };
    let conditions = conditions.join(" AND ");
    // One more than is wanted says whether there are more.
    let sql = format!("SELECT {} FROM actions WHERE {conditions} ORDER BY id DESC LIMIT {}", Column::LIST, limit + 1);
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(values), read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let next = found.get(limit.saturating_sub(1)).filter(|_| found.len() > limit).map(|(id, _)| *id);
    Ok(ActionPage { actions: found.into_iter().take(limit).map(|(_, action)| action).collect(), next })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Action)> {
    let text = |column: Column| column.of::<Option<String>>(row).map(|text| text.map(Into::into));
    let word = |column: Column| column.of::<String>(row).map(Into::into);
    let action = Action {
        at: UnixMillis(Column::at.of(row)?),
        action: word(Column::action)?,
        result: ActionResult::parse(&Column::result.of::<String>(row)?),
        status: Column::status.of(row)?,
        uid: Column::uid.of(row)?,
        user: text(Column::user)?,
        pid: Column::pid.of(row)?,
        from: word(Column::place)?,
        request_id: text(Column::request_id)?,
        count: Column::count.of::<Option<i64>>(row)?.map(i64::unsigned_abs),
        detail: text(Column::detail)?,
        token: text(Column::token)?,
    };
    Ok((Column::id.of(row)?, action))
}
