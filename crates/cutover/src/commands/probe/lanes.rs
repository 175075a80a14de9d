//! The lanes of `cutover probe`: from the command line, or from a file.
//!
//! It tries no lane; whether the target serves it is found out by the prober.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ::probe::Options;
use model::{Fault, Kind, Lane};
use serde::Deserialize;

use crate::{cli, duration};

/// Slow lanes get as little: each of their attempts lasts for seconds.
const SLOW_PART: f64 = 0.1;

/// How long what is slow on purpose takes by itself.
const SLOWNESS: Duration = Duration::from_secs(2);

/// Stands for every lane that the target serves.
const ALL: &str = "all";

/// One table of the file. What a lane has no use for is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Its part of the rate, in proportion to the others'.
    share: Option<f64>,
    path: Option<String>,
    /// Length of an upload.
    bytes: Option<usize>,
    /// Live sockets.
    sockets: Option<u16>,
    /// The longest rest of an idle connection.
    rest: Option<String>,
}

/// Sets lanes, shares and paths.
pub(super) fn set(options: &mut Options, arguments: &cli::Probe) -> Result<(), Fault> {
    places(options, &arguments.places);
    options.websocket_path.clone_from(&arguments.websocket_path);
    options.sockets = arguments.sockets;
    let shares = match &arguments.lanes_file {
        Some(file) => from_file(options, file)?,
        None => named(options, &arguments.lanes)?,
    };
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    options.lanes = shares.into_iter().map(|(lane, share)| (lane, share / sum)).collect();
    Ok(())
}

/// Those of the command line.
fn named(options: &mut Options, names: &[String]) -> Result<Vec<(Lane, f64)>, Fault> {
    options.lanes_if_served = names.iter().any(|name| name == ALL);
    if !options.lanes_if_served {
        return names.iter().map(|name| lane(name).map(|lane| (lane, usual(lane)))).collect();
    }
    if names.len() > 1 {
        return Err(Fault::new(Kind::Usage, format!("`{ALL}` names every lane already"))
            .help(format!("write --lanes {ALL}, or the lanes that must run by their names")));
    }
    Ok(Lane::ALL.map(|lane| (lane, usual(lane))).into())
}

/// The lanes in words.
pub(super) fn names(options: &Options) -> String {
    if options.lanes_if_served {
        return "all lanes that it serves".to_owned();
    }
    options.lanes.iter().map(|(lane, _)| lane.name()).collect::<Vec<_>>().join(", ")
}

fn places(options: &mut Options, places: &cli::Places) {
    options.upload_path.clone_from(&places.upload_path);
    options.download_path.clone_from(&places.download_path);
    options.events_path.clone_from(&places.events_path);
    options.orders_path.clone_from(&places.orders_path);
    options.slowness = places.slowness.unwrap_or(SLOWNESS.min(options.timeout / 2));
    options.idle_most = places.idle_most;
}

/// Requests over kept connections get twice what the others get.
fn usual(lane: Lane) -> f64 {
    match lane {
        Lane::KeepAlive => 2.0,
        lane if lane.slow() => SLOW_PART,
        _ => 1.0,
    }
}

fn lane(name: &str) -> Result<Lane, Fault> {
    Lane::ALL.into_iter().find(|lane| lane.name() == name).ok_or_else(|| {
        let known = Lane::ALL.map(Lane::name).join(", ");
        Fault::new(Kind::Usage, format!("there is no lane `{}`", name.escape_debug()))
            .help(format!("use some of {known}, or {ALL}"))
    })
}

fn from_file(options: &mut Options, file: &Path) -> Result<Vec<(Lane, f64)>, Fault> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Fault::environment(format!("{} cannot be read: {e}", file.display())))?;
    read(options, &text).map_err(|fault| {
        Fault::new(Kind::Usage, format!("{}: {}", file.display(), fault.what))
            .help(fault.help.unwrap_or_else(|| EXAMPLE.to_owned()))
    })
}

const EXAMPLE: &str = "a lane is a table, such as [upload] with share = 0.1 and path = \"/upload\"";

fn read(options: &mut Options, text: &str) -> Result<Vec<(Lane, f64)>, Fault> {
    let tables: BTreeMap<String, Table> = toml::from_str(text)
        .map_err(|error| Fault::new(Kind::Usage, error.message().to_owned()))?;
    if tables.is_empty() {
        return Err(Fault::new(Kind::Usage, "it names no lane"));
    }
    let mut shares = Vec::new();
    for (name, table) in tables {
        let lane = lane(&name)?;
        let share = table.share.unwrap_or_else(|| usual(lane));
        if !(share > 0.0 && share.is_finite()) {
            return Err(Fault::new(Kind::Usage, format!("the share of {name} is not above 0")));
        }
        apply(options, lane, table)?;
        shares.push((lane, share));
    }
    shares.sort_by_key(|(lane, _)| *lane);
    Ok(shares)
}

fn apply(options: &mut Options, lane: Lane, table: Table) -> Result<(), Fault> {
    let useless = |key: &str| {
        Err(Fault::new(Kind::Usage, format!("the lane {} has no `{key}`", lane.name())))
    };
    if let Some(path) = table.path {
        match lane {
            Lane::Websocket => options.websocket_path = path,
            Lane::Upload => options.upload_path = path,
            Lane::Download => options.download_path = path,
            Lane::Events => options.events_path = path,
            Lane::Orders => options.orders_path = path,
            Lane::KeepAlive | Lane::Fresh | Lane::Http2 | Lane::Idle => return useless("path"),
        }
    }
    match (table.bytes, lane) {
        (Some(bytes), Lane::Upload) => options.upload_bytes = bytes,
        (Some(_), _) => return useless("bytes"),
        (None, _) => {}
    }
    match (table.sockets, lane) {
        (Some(sockets), Lane::Websocket) => options.sockets = sockets,
        (Some(_), _) => return useless("sockets"),
        (None, _) => {}
    }
    match (table.rest, lane) {
        (Some(rest), Lane::Idle) => {
            let read = duration::argument(&rest);
            options.idle_most =
                read.map_err(|why| Fault::new(Kind::Usage, format!("`rest` of idle: {why}")))?;
        }
        (Some(_), _) => return useless("rest"),
        (None, _) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ::probe::{Options, Target};
    use model::{Class, Lane};

    use super::{named, read};

    #[test]
    fn a_file_names_lanes_with_shares_and_paths() {
        let mut options = Options::new(Target::parse("http://a/").unwrap(), 10);
        let text =
            "[upload]\nshare = 0.5\npath = \"/up\"\nbytes = 7\n[fresh]\n[idle]\nrest = \"3s\"";
        let lanes = read(&mut options, text).unwrap();
        assert_eq!(lanes, [(Lane::Fresh, 1.0), (Lane::Idle, 1.0), (Lane::Upload, 0.5)]);
        assert_eq!((options.upload_path.as_str(), options.upload_bytes), ("/up", 7));
        assert_eq!(options.idle_most.as_secs(), 3);
    }

    #[test]
    fn all_stands_for_every_lane_and_for_itself() {
        let mut options = Options::new(Target::parse("http://a/").unwrap(), 10);
        let mut of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let lanes = named(&mut options, &names).map_err(|fault| fault.what)?;
            Ok::<_, String>((lanes.len(), options.lanes_if_served))
        };
        assert_eq!(of(&["all"]), Ok((Lane::ALL.len(), true)));
        assert_eq!(of(&["fresh", "idle"]), Ok((2, false)));
        assert_eq!(of(&["fresh", "all"]), Err("`all` names every lane already".to_owned()));
    }

    #[test]
    fn the_page_on_the_prober_has_a_file_that_is_read_and_names_every_lane_and_class() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/probe.md");
        let page = std::fs::read_to_string(page).unwrap();
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let mut options = Options::new(Target::parse("http://a/").unwrap(), 10);
        let lanes: Vec<Lane> =
            read(&mut options, example).unwrap().into_iter().map(|(lane, _)| lane).collect();
        assert_eq!(lanes.len(), 5, "{lanes:?}");
        assert_eq!((options.sockets, options.upload_bytes), (20, 1024 * 1024));
        for row in Lane::ALL.map(|lane| format!("\n| `{}` | ", lane.name())) {
            assert!(page.contains(&row), "{row}");
        }
        for row in Class::ALL.map(|class| format!("\n| {} | ", class.name())) {
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn what_a_file_should_not_say_is_refused_by_name() {
        for (text, why) in [
            ("", "no lane"),
            ("[dove]", "no lane `dove`"),
            ("[fresh]\npath = \"/x\"", "fresh has no `path`"),
            ("[fresh]\nshare = 0", "share of fresh"),
            ("[fresh]\nshare = nan", "share of fresh"),
            ("[fresh]\nspeed = 1", "speed"),
            ("[idle]\nrest = \"3\"", "its unit"),
            ("fresh", ""),
        ] {
            let mut options = Options::new(Target::parse("http://a/").unwrap(), 10);
            let fault = read(&mut options, text).unwrap_err();
            assert!(fault.what.contains(why), "{text}: {}", fault.what);
        }
    }
}
