//! Live runs: real clients, a real PostgreSQL, a real identity provider, and the gateway as a process.
//!
//! Nothing here is skipped in silence: a component that is missing fails the test with a sentence that says how it is
//! had (`cargo xtask setup`). What was started ends with the test program, however that ends.

mod api;
mod archive;
mod bearer;
mod canary;
mod compare;
mod conflicts;
mod console;
mod desk;
mod drivers;
mod failures;
mod guards;
mod hashes;
mod held;
mod identity;
mod killed;
mod kinds;
mod large;
mod maker;
mod masking;
mod native;
mod patterns;
mod people;
mod provision;
mod raw;
mod recordings;
mod roles;
mod schema;
mod smith;
mod startup;
mod store;
mod supply;
mod terminal;
mod windows;

use std::sync::LazyLock;
use xtask::cast::Person;
use xtask::fault::{Fault, Outcome};
use xtask::scene::{Choice, Scene, build};
use xtask::tools::Places;

/// One scene for all live tests of this program: starting one takes seconds.
static SCENE: LazyLock<Result<Scene, String>> = LazyLock::new(|| fresh("shared", &Choice::default()));

/// Starts another scene, for a test that changes the policy or stops a part. `name` is its folder.
fn fresh(name: &str, choice: &Choice) -> Result<Scene, String> {
    let start = || {
        build_once()?;
        let places = Places::find()?;
        Scene::start(&places, &places.target.join("live").join(name), choice)
    };
    start().map_err(|fault: Fault| fault.to_string())
}

/// Builds the programs under test, so that no test ever runs yesterday's.
fn build_once() -> Outcome<()> {
    static BUILT: LazyLock<Outcome<()>> = LazyLock::new(|| build(&Places::find()?, "debug"));
    BUILT.clone()
}

/// The shared scene.
fn scene() -> &'static Scene {
    match &*SCENE {
        Ok(scene) => scene,
        Err(fault) => panic!("the live scene did not start: {fault}"),
    }
}

/// A token for one of the cast.
fn token(person: &Person) -> String {
    scene().token(person).expect("the development identity provider gives tokens")
}
