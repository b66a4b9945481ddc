//! Closed lists of words that are written to the history and read back, perhaps by another version of this program.

/// An enum with one word for each variant, and `Unknown` for a word that this version does not write. Log, metric, history, API and
/// commands have the same word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// Another version of this program wrote a word that this one does not know.
            Unknown,
        }

        impl $name {
            /// Every one that this version writes.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ Self::Unknown => "unknown" }
            }

            /// What a word stands for.
            pub fn parse(word: &str) -> Self {
                Self::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or(Self::Unknown)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Ok(Self::parse(&word))
            }
        }
    };
}
pub(super) use words;
