//! `forward_headers`, in recipes and on routes: entries, and what is wrong with one.

use crate::domain::FieldPattern;
use crate::domain::field_list::NotForwardable;

/// Reads an entry behind others; or what is wrong with it, and what helps. The entry itself is the caller's to show.
pub(crate) fn field_pattern(text: &str, before: &[FieldPattern]) -> Result<FieldPattern, (String, &'static str)> {
    let pattern = FieldPattern::parse(text).map_err(|why| match why {
        NotForwardable::Unreadable => (
            "is neither a field name nor a beginning of names".to_owned(),
            "write letters, digits and \"-\": \"X-Acme-Event\", or \"X-Acme-*\" for all that begin so",
        ),
        NotForwardable::Reserved(what) if text.ends_with('*') => (
            format!("would let in a name that never goes to an upstream from a sender: one that {what}"),
            "write more of the beginning, or the names",
        ),
        NotForwardable::Reserved(what) => (
            format!("never goes to an upstream from a sender: it {what}"),
            "remove it; what an application shall read there, upstream_headers sets",
        ),
    })?;
    let same = |other: &FieldPattern| other.to_string().eq_ignore_ascii_case(&pattern.to_string());
    if before.iter().any(same) {
        return Err(("is listed twice; case makes no difference".to_owned(), "remove one"));
    }
    Ok(pattern)
}
