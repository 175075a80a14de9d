//! Which configuration a worker runs, by its own words: the generated `server` on the control address
//! answers with generation, worker, version and app.
//!
//! One answer is that of one worker; what the others run is not said by it.

use std::net::SocketAddr;
use std::time::Duration;

use model::{AppName, Class, Fault, Kind};

use crate::check::ask;

/// Longest an answer may take.
const LIMIT: Duration = Duration::from_secs(2);

/// What a worker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) generation: u64,
    /// The worker.
    pub(super) pid: u32,
    /// That of nginx.
    pub(super) version: String,
}

/// The name of the server that answers for an app.
pub(super) fn host(app: &AppName) -> String {
    format!("{app}.cutover")
}

/// Asks a worker about an app. Of kind `Environment` when nobody answers.
pub(super) async fn hear(control: SocketAddr, app: &AppName) -> Result<Heard, Fault> {
    match ask(control, &host(app), "/", LIMIT).await {
        Ok(answer) if answer.status == 200 => {
            read(&answer.body_head, app).ok_or_else(|| foreign(control, app))
        }
        Ok(_) => Err(foreign(control, app)),
        // Somebody is there and does not speak HTTP.
        Err(odd) if odd.class == Class::WrongContent => Err(foreign(control, app)),
        Err(none) if none.class == Class::Refused => Err(not_included(control)),
        Err(none) => {
            let what = format!("nginx does not answer on {control}: {}", none.words);
            Err(Fault::environment(what).help("is it overloaded or being started? look at its log"))
        }
    }
}

fn not_included(control: SocketAddr) -> Fault {
    Fault::new(Kind::Config, format!("nginx does not listen on {control}, its control address"))
        .note("the files in `directory` say so to it; it has not read them")
        .help("put `include DIRECTORY/*.conf;` into its `http { }`, then reload it once")
}

fn foreign(control: SocketAddr, app: &AppName) -> Fault {
    let what = format!("what answers on {control} is not what was written for {app}");
    Fault::new(Kind::Config, what).help(
        "put `include DIRECTORY/*.conf;` into its `http { }` and reload it once, or name a \
               free loopback port as `control` under [router]",
    )
}

/// `GENERATION PID VERSION APP`.
pub(super) fn read(text: &str, app: &AppName) -> Option<Heard> {
    let mut words = text.split(' ');
    let (generation, pid, version) = (words.next()?, words.next()?, words.next()?);
    if words.next()? != app.as_str() || words.next().is_some() {
        return None;
    }
    let (generation, pid) = (generation.parse().ok()?, pid.parse().ok()?);
    Some(Heard { generation, pid, version: version.to_owned() })
}

/// True from that version on, such as `1.27.4`.
pub(super) fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    [number(), number(), number()] >= wanted
}

#[cfg(test)]
mod tests {
    use super::{at_least, read};
    use model::AppName;

    #[test]
    fn only_what_was_written_for_the_app_is_believed() {
        let app = AppName::new("demo").unwrap();
        let heard = read("17 4711 1.30.6 demo", &app).unwrap();
        assert_eq!((heard.generation, heard.pid, heard.version.as_str()), (17, 4711, "1.30.6"));
        for odd in ["", "17", "x 1 1.30.6 demo", "17 1 1.30.6 demo-1", "17 1 1.30.6 demo more"] {
            assert_eq!(read(odd, &app), None, "{odd}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("1.27.4", [1, 27, 4]) && at_least("1.30.6", [1, 27, 4]));
        assert!(!at_least("1.27.3", [1, 27, 4]) && !at_least("1.9", [1, 27, 4]));
    }
}
