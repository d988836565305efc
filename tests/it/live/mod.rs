//! Live runs: real clients, a real PostgreSQL, a real identity provider, and the gateway as a process.
//!
//! Nothing here is skipped in silence: a component that is missing fails the test with a sentence that says how it is
//! had (`cargo xtask setup`). What was started ends with the test program, however that ends.

mod compare;
mod drivers;
mod native;
mod terminal;

use std::sync::LazyLock;
use xtask::cast::Person;
use xtask::scene::{Choice, Scene, build};
use xtask::service::secret;
use xtask::tools::Places;

/// One scene for all live tests of this program: starting one takes seconds.
static SCENE: LazyLock<Result<Scene, String>> = LazyLock::new(|| {
    let start = || {
        let places = Places::find()?;
        build(&places, "debug")?;
        let folder = places.target.join("live").join(secret()?);
        Scene::start(&places, &folder, &Choice::default())
    };
    start().map_err(|fault| fault.to_string())
});

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
