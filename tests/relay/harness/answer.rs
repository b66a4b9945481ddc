//! What a sender got back.

/// The only fields that go out.
const ALLOWED: [&str; 8] = [
    "content-length",
    "date",
    "x-request-id",
    "content-type",
    "content-encoding",
    "allow",
    "retry-after",
    "connection",
];

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Checks what holds for every answer: no field that is not on the list, none twice.
    pub fn new(status: u16, fields: Vec<(String, String)>, body: Vec<u8>) -> Self {
        let answer = Self { status, fields, body };
        if status >= 200 {
            let mut names: Vec<_> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
            assert!(names.iter().all(|name| ALLOWED.contains(name)), "{answer:?}");
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{answer:?}");
            for name in ["date", "x-request-id"] {
                assert!(answer.field(name).is_some(), "no {name}: {answer:?}");
            }
            // RFC 9110, section 8.6: no length where there can be no content.
            assert_eq!(answer.field("content-length").is_some(), status != 204, "{answer:?}");
        }
        answer
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> &str {
        self.field("x-request-id").unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}
