//! The recipes that come with the relay. Adding one is a line here, a file and its vectors.

use std::sync::{Arc, OnceLock};

use super::{RawRecipe, Recipe, compile_recipe};
use crate::config::report::Problems;

macro_rules! recipes {
    ($($name:literal),+ $(,)?) => {
        const NAMES: &[&str] = &[$($name),+];
        static RECIPES: [Shipped; NAMES.len()] = [$(Shipped {
            name: $name,
            text: include_str!(concat!("../../../providers/", $name, ".toml")),
            compiled: OnceLock::new(),
        }),+];
    };
}

recipes![
    "bitbucket",
    "dastra",
    "github",
    "gitlab",
    "intercom",
    "line",
    "linear",
    "octolis",
    "oktave",
    "paddle",
    "shopify",
    "slack",
    "square",
    "standard-webhooks",
    "stripe",
    "svix",
    "telegram",
    "twilio",
    "zoom",
];

struct Shipped {
    name: &'static str,
    text: &'static str,
    compiled: OnceLock<Option<Arc<Recipe>>>,
}

/// The recipe of this name, compiled at first use. A test compiles every one, so that none can be missing at run time.
pub fn builtin(name: &str) -> Option<Arc<Recipe>> {
    let shipped = RECIPES.iter().find(|shipped| shipped.name == name)?;
    let compile = || {
        let mut problems = Problems::new(format!("providers/{name}.toml"), shipped.text);
        let raw: RawRecipe = toml::from_str(shipped.text).ok()?;
        compile_recipe(name, &raw, "", &mut problems).map(Arc::new)
    };
    shipped.compiled.get_or_init(compile).clone()
}

/// Every name, sorted.
pub fn builtin_names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_recipe_compiles() {
        assert!(NAMES.is_sorted());
        for shipped in &RECIPES {
            let raw: RawRecipe =
                toml::from_str(shipped.text).unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            let mut problems = Problems::new(format!("providers/{}.toml", shipped.name), shipped.text);
            let recipe = compile_recipe(shipped.name, &raw, "", &mut problems);
            assert_eq!(
                problems.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>(),
                Vec::<String>::new()
            );
            let recipe = recipe.unwrap();
            assert!(builtin(shipped.name).is_some_and(|found| *found.id == *shipped.name));
            assert!(recipe.confidence.is_some(), "{} says how well it is known", shipped.name);
            assert!(recipe.docs.is_some() || *recipe.id == *"octolis", "{} says where it is from", shipped.name);
            if let (Some(deadline), Some(timeout)) = (recipe.deadline, recipe.timeout) {
                assert!(deadline < timeout, "{}", shipped.name);
            }
        }
    }
}
