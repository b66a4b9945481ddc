//! The networks of each format as texts, and when the file was made.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

use super::{FeedError, Format, Part};

/// Texts of networks in the order of the file, and its date.
type Found = (Vec<String>, Option<i64>);

pub(super) fn texts(bytes: &[u8], format: Format, part: &Part) -> Result<Found, FeedError> {
    match format {
        Format::Github => github(bytes, &part.member),
        Format::Aws => aws(bytes, part),
        Format::Google => google(bytes, part),
        Format::Atlassian => atlassian(bytes, part),
        Format::Text => text(bytes),
    }
}

fn json<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, FeedError> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
}

/// Without what the file says: the place is enough.
fn unreadable(error: &serde_json::Error) -> FeedError {
    let why = if error.is_data() { "a member is missing, or is not what it should be" } else { "it is no whole JSON" };
    FeedError::Unreadable(format!("{why}, line {} column {}", error.line(), error.column()))
}

/// Whether a filter holds for one of these values.
fn wanted<'v>(filter: &[String], mut values: impl Iterator<Item = &'v str>) -> bool {
    filter.is_empty() || values.any(|value| filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value)))
}

/// One member; the others are not kept, whatever they are.
fn github(bytes: &[u8], member: &str) -> Result<Found, FeedError> {
    struct Member<'m>(&'m str);
    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<Vec<String>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<String>()? {
                if name != self.0 {
                    map.next_value::<IgnoredAny>()?;
                } else if found.replace(map.next_value()?).is_some() {
                    return Err(A::Error::custom("a member that stands twice"));
                }
            }
            Ok(found)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found =
        serde::Deserializer::deserialize_map(&mut reader, Member(member)).map_err(|error| unreadable(&error))?;
    reader.end().map_err(|error| unreadable(&error))?;
    let found = found.ok_or_else(|| FeedError::Unreadable(format!("it has no member {member:?}")))?;
    Ok((found, None))
}

fn aws(bytes: &[u8], part: &Part) -> Result<Found, FeedError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "syncToken")]
        sync_token: Option<String>,
        #[serde(rename = "createDate")]
        create_date: Option<String>,
        prefixes: Vec<Prefix>,
        ipv6_prefixes: Vec<Prefix>,
    }
    #[derive(Deserialize)]
    struct Prefix {
        #[serde(alias = "ip_prefix", alias = "ipv6_prefix")]
        prefix: String,
        region: String,
        service: String,
    }
    let file: File = json(bytes)?;
    let is_wanted = |prefix: &Prefix| {
        wanted(&part.services, std::iter::once(&*prefix.service))
            && wanted(&part.regions, std::iter::once(&*prefix.region))
    };
    let networks = file.prefixes.into_iter().chain(file.ipv6_prefixes).filter(is_wanted);
    let date = file.create_date.and_then(|text| date(&text, "%Y-%m-%d-%H-%M-%S"));
    let date = date.or_else(|| file.sync_token?.parse().ok());
    Ok((networks.map(|prefix| prefix.prefix).collect(), date))
}

fn google(bytes: &[u8], part: &Part) -> Result<Found, FeedError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "creationTime")]
        creation_time: Option<String>,
        prefixes: Vec<Prefix>,
    }
    #[derive(Deserialize)]
    struct Prefix {
        #[serde(alias = "ipv4Prefix", alias = "ipv6Prefix")]
        prefix: String,
        service: Option<String>,
        scope: Option<String>,
    }
    let file: File = json(bytes)?;
    let is_wanted = |prefix: &Prefix| {
        wanted(&part.services, prefix.service.as_deref().into_iter())
            && wanted(&part.regions, prefix.scope.as_deref().into_iter())
    };
    let networks = file.prefixes.into_iter().filter(is_wanted).map(|prefix| prefix.prefix);
    Ok((networks.collect(), file.creation_time.and_then(|text| date(&text, "%Y-%m-%dT%H:%M:%S%.f"))))
}

fn atlassian(bytes: &[u8], part: &Part) -> Result<Found, FeedError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "creationDate")]
        creation_date: Option<String>,
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        cidr: String,
        #[serde(default)]
        region: Vec<String>,
        #[serde(default)]
        product: Vec<String>,
        #[serde(default)]
        direction: Vec<String>,
    }
    let file: File = json(bytes)?;
    let is_wanted = |item: &Item| {
        wanted(&part.regions, item.region.iter().map(String::as_str))
            && wanted(&part.products, item.product.iter().map(String::as_str))
            && wanted(&part.directions, item.direction.iter().map(String::as_str))
    };
    let networks = file.items.into_iter().filter(is_wanted).map(|item| item.cidr);
    Ok((networks.collect(), file.creation_date.and_then(|text| date(&text, "%Y-%m-%dT%H:%M:%S%.f"))))
}

fn text(bytes: &[u8]) -> Result<Found, FeedError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FeedError::Unreadable("it is no UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok((entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect(), None))
}

/// All of them are UTC, or say no zone; hours do not matter where days are counted.
fn date(text: &str, form: &str) -> Option<i64> {
    let read = jiff::civil::DateTime::strptime(form, text.trim_end_matches('Z')).ok()?;
    Some(read.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}
