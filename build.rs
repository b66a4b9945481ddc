//! Writes the table of shipped recipes: one row for each `providers/<name>/recipe.toml`, sorted by name. A recipe is a folder, and
//! no list names it.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<()> {
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("providers");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        if folder.join(&name).join("recipe.toml").is_file() {
            names.push(name.into_string().map_err(|name| Error::other(format!("{} is not UTF-8", name.display())))?);
        }
    }
    names.sort_unstable();
    let mut table = format!("static RECIPES: [Shipped; {}] = [\n", names.len());
    for name in &names {
        let text = folder.join(name).join("recipe.toml");
        let _ = writeln!(table, "    Shipped::new({name:?}, include_str!({text:?})),");
    }
    table += "];\n";
    fs::write(Path::new(&variable("OUT_DIR")?).join("recipes.rs"), table)
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| Error::other(format!("{name}: {error}")))
}
