//! The feeds that were in force, kept beside the store: so that a restart does not take a file that a running relay refused.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::replace::replace;
use crate::guards::access::{Feed, Networks};

/// The folder, beside the store's file.
const FOLDER: &str = "feeds";
/// Largest file that is taken for one: every network as a line of its own.
const LARGEST: u64 = 16 << 20;

/// Where feeds are kept.
#[derive(Clone, Debug)]
pub struct KeptFeeds(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    identity: String,
    date: i64,
    networks: Vec<String>,
}

impl KeptFeeds {
    /// Those of the relay whose store has this file.
    pub fn beside(store: &Path) -> Self {
        Self(store.with_file_name(FOLDER))
    }

    /// The networks that were in force last, and their date. What cannot be read is as if it had not been kept.
    pub fn read(&self, name: &str, identity: &str) -> Option<(Networks, i64)> {
        let file = File::open(self.path(name)).ok()?;
        let kept: Kept = serde_json::from_reader(io::Read::take(file, LARGEST)).ok()?;
        let networks: Option<Networks> = kept.networks.iter().map(|text| text.parse::<ipnet::IpNet>().ok()).collect();
        let networks = networks.filter(|networks| !networks.is_empty())?;
        (kept.name == name && kept.identity == identity).then_some((networks, kept.date))
    }

    /// Keeps what is in force.
    pub fn keep(&self, feed: &Feed) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let kept = Kept {
            name: feed.name.to_string(),
            identity: feed.identity.clone(),
            date: feed.date,
            networks: feed.networks.lines().collect(),
        };
        let text = serde_json::to_vec(&kept).map_err(io::Error::from)?;
        let path = self.path(&feed.name);
        if fs::read(&path).is_ok_and(|known| known == text) {
            return Ok(());
        }
        replace(&path, &text)
    }

    /// A list's name is the operator's, and may hold what no file's name may.
    fn path(&self, name: &str) -> PathBuf {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(name));
        self.0.join(format!("{}.json", digest.get(..32).unwrap_or(&digest)))
    }
}
