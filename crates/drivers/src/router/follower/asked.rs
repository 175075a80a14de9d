//! Asks the follower as a user would, and reads from whom an answer is. Nothing is repeated, nothing judged.

use std::net::SocketAddr;
use std::time::Duration;

use model::{Fault, Kind};
use tokio::task::JoinSet;

use super::AppSetup;
use crate::check::{Answer, Kept, ask};
use crate::router::reachable;

/// Headers in which the sample app, or a server before it, says which instance answers, and which version.
const INSTANCE: [&str; 2] = ["x-app-instance", "x-cutover-instance"];
const VERSION: &str = "x-cutover-version";
/// Longest that an answer may take.
const LIMIT: Duration = Duration::from_secs(1);

/// What an answer says of its origin; never neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) instance: Option<String>,
    pub(super) version: Option<String>,
}

/// Who answered, or why that is not known, in words.
pub(super) type Heard = Result<Who, String>;

/// Asks `n` times at once, each on a connection of its own.
pub(super) async fn fresh(entrance: SocketAddr, setup: &AppSetup, n: usize) -> Vec<Heard> {
    let mut all = JoinSet::new();
    for _ in 0..n {
        let setup = setup.clone();
        all.spawn(async move {
            let asked = ask(reachable(entrance), &setup.host, &setup.path, LIMIT).await;
            asked.map_err(|none| none.words).and_then(|answer| origin(&answer, &setup))
        });
    }
    all.join_all().await
}

/// Opens a connection and asks on it once; `None` when nobody answers, and nothing in it when the answer
/// ends it.
pub(super) async fn keep(entrance: SocketAddr, setup: &AppSetup) -> Option<Option<Kept>> {
    let mut kept = Kept::open(reachable(entrance), &setup.host, LIMIT).await.ok()?;
    kept.send(&setup.path).await.ok()?;
    Some(kept.receive(LIMIT).await.ok()?.1)
}

/// Asks once more on a connection that is kept.
pub(super) async fn again(mut kept: Kept, setup: &AppSetup) -> (Heard, Option<Kept>) {
    let asked = match kept.send(&setup.path).await {
        Ok(()) => kept.receive(LIMIT).await,
        Err(none) => Err(none),
    };
    match asked {
        Ok((answer, kept)) => (origin(&answer, setup), kept),
        Err(none) => (Err(none.words), None),
    }
}

/// True when the other side has closed it.
pub(super) async fn is_over(kept: &mut Kept) -> bool {
    tokio::time::timeout(Duration::from_millis(1), kept.ended()).await.is_ok()
}

/// Refuses a follower whose answers do not say from whom they are.
pub(super) async fn names_its_origin(entrance: SocketAddr, setup: &AppSetup) -> Result<(), Fault> {
    let (name, entrance) = (&setup.name, reachable(entrance));
    let asked = ask(entrance, &setup.host, &setup.path, LIMIT).await;
    let answer = asked.map_err(|none| {
        let what = format!("whoever follows Consul does not answer on {entrance}: {}", none.words);
        Fault::new(Kind::Environment, what).help("start it, or mend `listen` under [router]")
    })?;
    origin(&answer, setup).map(drop).map_err(|why| {
        let what = format!("nobody could see whether Consul is followed for {name}: {why}");
        Fault::new(Kind::Config, what).note(format!("asked for {} on {entrance}", setup.path)).help(format!(
            "let the app say its version in `{}` (another name: `version_header` under [app.{name}.probe]) \
             and have it passed on",
            setup.version_header
        ))
    })
}

fn origin(answer: &Answer, setup: &AppSetup) -> Heard {
    let field = |name: &str| answer.field(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let instance = INSTANCE.iter().find_map(|name| field(name));
    let version = field(&setup.version_header).or_else(|| field(VERSION));
    if instance.is_none() && version.is_none() {
        let status = answer.status;
        return Err(format!("an answer ({status}) says neither its version nor its instance"));
    }
    Ok(Who { instance, version })
}
