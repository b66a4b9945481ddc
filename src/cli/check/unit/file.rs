//! The form of a unit's file: sections, keys, lists that go on, and lines that do.

/// The assignments of `[Service]`, in their order.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    /// Adds what a file says behind what others said.
    pub(super) fn read(&mut self, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.starts_with(['#', ';']) {
                continue;
            }
            // A line that goes on; comments between its parts are none of it.
            while let Some(part) = line.strip_suffix('\\') {
                let next = lines.by_ref().map(str::trim).find(|next| !next.starts_with(['#', ';'])).unwrap_or_default();
                line = format!("{} {next}", part.trim_end());
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "Service") {
                self.0.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// The value of a key that has one: the last.
    pub(super) fn last(&self, key: &str) -> Option<&str> {
        self.of(key).last()
    }

    /// The words of a key that is a list: an empty value empties it.
    pub(super) fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.all(key).flat_map(str::split_whitespace)
    }

    /// Every value of a key that may stand several times: an empty one drops those before it.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let values: Vec<&str> = self.of(key).collect();
        let from = values.iter().rposition(|value| value.is_empty()).map_or(0, |at| at + 1);
        values.into_iter().skip(from)
    }

    fn of(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_the_service_counts_and_lists_can_be_emptied() {
        let mut settings = Settings::default();
        settings.read(
            "[Unit]\nUser=unit\n[Service]\n# User=comment\nUser = a\nReadWritePaths=/one /two\n\
             ExecStart=/bin/a \\\n; between\n  --config /b\n[Install]\nUser=install\n",
        );
        settings.read("[Service]\nReadWritePaths=\nReadWritePaths=/three\n");
        assert_eq!(settings.last("User"), Some("a"));
        assert_eq!(settings.last("ExecStart"), Some("/bin/a --config /b"));
        assert_eq!(settings.words("ReadWritePaths").collect::<Vec<_>>(), ["/three"]);
        assert_eq!(settings.last("Group"), None);
    }
}
