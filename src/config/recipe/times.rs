//! Where a request has its time, and how far from now it may be.

use std::time::Duration;

use toml::Spanned;

use super::raw::RawTimestamp;
use super::words::{Parts, Scope, sole};
use crate::scheme::compiled::{TimePlace, TimeSpec};
use crate::scheme::source::Source;
use crate::scheme::timestamp::{TimeFormat, Window};
use crate::scheme::wrapping::Item;

/// A window wider than this is none.
pub(super) const MAX_TOLERANCE: Duration = Duration::from_secs(7 * 24 * 3600);
pub(super) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

pub(super) fn timestamp(raw: &Spanned<RawTimestamp>, scope: &mut Scope<'_>) -> Option<TimeSpec> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let source = |source: Option<Source>| source.map(TimePlace::Source);
    let parts = Parts {
        header: raw.header.as_ref(),
        query: raw.query.as_ref(),
        form: raw.form.as_ref(),
        json: raw.json.as_ref(),
    };
    let mut places: Vec<Option<TimePlace>> = scope.parts(parts, "timestamp").into_iter().map(source).collect();
    places.extend(raw.claim.as_ref().map(|text| source(scope.claim(text, "timestamp.claim"))));
    places.extend(raw.item.as_ref().map(|name| Some(TimePlace::Item(Item::Named(name.get_ref().as_str().into())))));
    let position = raw.position.as_ref().map(|at| usize::from(*at.get_ref()));
    places.extend(position.map(|at| Some(TimePlace::Item(Item::Position(at)))));
    let format = match &raw.format {
        None => Some(TimeFormat::Unix),
        Some(text) => scope.word(text, "timestamp.format", &TimeFormat::ALL, TimeFormat::as_str),
    };
    let back = raw.tolerance.as_ref();
    let back = back.map_or(Some(DEFAULT_TOLERANCE), |text| scope.duration(text, "timestamp.tolerance", MAX_TOLERANCE));
    let ahead = raw.tolerance_ahead.as_ref();
    let ahead = ahead.map_or(back, |text| scope.duration(text, "timestamp.tolerance_ahead", MAX_TOLERANCE));
    let place = sole(places, span.clone(), "timestamp", scope);
    if raw.informative && (raw.tolerance.is_some() || raw.tolerance_ahead.is_some()) {
        scope.problem(Some(span), "timestamp", "an informative time has no tolerance", None);
        return None;
    }
    let window = if raw.informative { None } else { Some(Window { back: back?, ahead: ahead? }) };
    Some(TimeSpec { place: place?, format: format?, window, expires: None })
}
