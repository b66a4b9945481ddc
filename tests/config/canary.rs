//! No secret in any report, warning or `Debug`.

use crate::material::{CANARY, Material, fixtures};

#[test]
fn no_report_and_no_debug_shows_a_secret() {
    let material = Material::new();
    let mut seen = 0;
    for (name, text) in fixtures("bad").into_iter().chain(fixtures("good")) {
        let shown = match material.load(&text) {
            Ok(loaded) => {
                seen += 1;
                format!("{loaded:?} {loaded:#?} {:?}", loaded.warnings)
            }
            Err(report) => {
                let json = serde_json::to_string(&report).expect("serializes");
                format!("{report} {report:?} {json}")
            }
        };
        assert!(!shown.contains(CANARY), "{name} shows a secret");
        assert!(!shown.contains("canary-inline"), "{name} shows what stood in place of a secret");
        assert!(!shown.contains("PRIVATE KEY"), "{name} shows a key");
    }
    assert!(seen > 3);
}

/// The canary test can fail: the secrets are really read.
#[test]
fn the_canary_is_alive() {
    let material = Material::new();
    let secret = std::fs::read_to_string(material.path("secrets/good")).expect("reads");
    assert!(secret.contains(CANARY));
}
