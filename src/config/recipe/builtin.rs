//! The recipes that come with the relay. `build.rs` finds them: adding one is a folder of `providers/`.

use std::sync::{Arc, LazyLock, OnceLock};

use super::{RawRecipe, Recipe, compile_recipe};
use crate::config::report::Problems;

// `RECIPES`, sorted by name. A text is read when its recipe is first asked for, so that the others cost nothing at the start.
include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

struct Shipped {
    name: &'static str,
    text: &'static str,
    compiled: OnceLock<Option<Arc<Recipe>>>,
}

impl Shipped {
    const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, compiled: OnceLock::new() }
    }
}

/// The recipe of this name, compiled at first use. A test compiles every one, so that none can be missing at run time.
pub fn builtin(name: &str) -> Option<Arc<Recipe>> {
    let shipped = RECIPES.get(RECIPES.binary_search_by(|shipped| shipped.name.cmp(name)).ok()?)?;
    let compile = || {
        let mut problems = Problems::new(format!("providers/{name}/recipe.toml"), shipped.text);
        let raw: RawRecipe = toml::from_str(shipped.text).ok()?;
        compile_recipe(name, &raw, "", &mut problems).map(Arc::new)
    };
    shipped.compiled.get_or_init(compile).clone()
}

/// Every name, sorted.
pub fn builtin_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| RECIPES.iter().map(|shipped| shipped.name).collect());
    &NAMES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::recipe::Evidence;

    #[test]
    fn every_shipped_recipe_compiles() {
        assert!(builtin_names().is_sorted());
        let mut found = Vec::new();
        for shipped in &RECIPES {
            let raw: RawRecipe =
                toml::from_str(shipped.text).unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            let mut problems = Problems::new(format!("providers/{}/recipe.toml", shipped.name), shipped.text);
            let recipe = compile_recipe(shipped.name, &raw, "", &mut problems);
            found.extend(problems.into_sorted().iter().map(ToString::to_string));
            let Some(recipe) = recipe else { continue };
            assert!(builtin(shipped.name).is_some_and(|found| *found.id == *shipped.name));
            let evidence = recipe.evidence.unwrap_or_else(|| panic!("{} says how well it is known", shipped.name));
            assert!(recipe.evidence_date.is_some(), "{} says when it was looked at", shipped.name);
            let read = matches!(evidence, Evidence::Official | Evidence::PublishedVectors);
            let documented = recipe.docs.is_some() || *recipe.id == *"octolis";
            assert!(documented || !read, "{} says where it is from", shipped.name);
            if let (Some(deadline), Some(timeout)) = (recipe.deadline, recipe.timeout) {
                assert!(deadline < timeout, "{}", shipped.name);
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
