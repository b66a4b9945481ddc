//! "Did you mean": the nearest known word for one that is not known.

use super::recipe::builtin_names;

const ALL_PROVIDERS: &str = "`dmz-relay providers` lists them all";

/// The known word that was probably meant, if one is near enough.
pub fn nearest<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let found = found.to_ascii_lowercase();
    let bound = (found.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| *distance <= bound || (found.len() > 3 && word.starts_with(found.as_str())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// More words than this do not stand behind a near match: they would bury it.
const FEW: usize = 8;

/// A help line: the near match, and what is known where that is little or nothing is near; `none` when nothing is known.
pub fn suggest<'k>(found: &str, known: impl IntoIterator<Item = &'k str> + Clone, none: &str) -> String {
    let list: Vec<&str> = known.clone().into_iter().collect();
    if list.is_empty() {
        return none.to_owned();
    }
    let all = list.join(", ");
    match nearest(found, known) {
        Some(word) if list.len() > FEW => format!("did you mean \"{word}\"?"),
        Some(word) => format!("did you mean \"{word}\"? known: {all}"),
        None => format!("known: {all}"),
    }
}

/// A help line for a provider's name: the near match and where all are listed, because they are too many for a line.
pub fn suggest_provider<'k>(found: &str, own: impl IntoIterator<Item = &'k str>) -> String {
    let all = own.into_iter().chain(builtin_names().iter().copied());
    match nearest(found, all) {
        Some(word) => format!("did you mean \"{word}\"? {ALL_PROVIDERS}"),
        None => ALL_PROVIDERS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["provider", "secrets", "path"];
        assert_eq!(nearest("secrest", known), Some("secrets"));
        assert_eq!(nearest("Provider", known), Some("provider"));
        assert_eq!(nearest("pth", known), Some("path"));
        assert_eq!(nearest("zzzzzz", known), None);
    }

    #[test]
    fn help_lists_what_is_known() {
        assert_eq!(suggest("gitub", ["github", "gitlab"], "-"), "did you mean \"github\"? known: github, gitlab");
        assert_eq!(suggest("x", [], "there are none"), "there are none");
        let many = ["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "provider"];
        assert_eq!(suggest("provdier", many, "-"), "did you mean \"provider\"?");
        assert!(suggest("zzzzzz", many, "-").starts_with("known: a1, b2"));
    }

    #[test]
    fn an_unknown_provider_gets_a_near_one_and_no_list_of_hundreds() {
        let help = suggest_provider("gitub", ["acme"]);
        assert_eq!(help, "did you mean \"github\"? `dmz-relay providers` lists them all");
        assert_eq!(suggest_provider("zzzzzz", ["acme"]), "`dmz-relay providers` lists them all");
        assert!(suggest_provider("acne", ["acme"]).starts_with("did you mean \"acme\"?"));
    }
}
