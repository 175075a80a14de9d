//! Reads `[router]`: who carries the traffic.
//!
//! Checks what is written; whether a router of the user's answers there is found by its preflight. Keys of
//! an nginx are read in `nginx`, those of Consul in `consul`.

use std::net::SocketAddr;
use std::path::Path;

use drivers::router::{ROUTERS, haproxy};

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, FollowerConfig, HaProxyConfig, RouterConfig};
use super::theirs::{entrances, must_have, program};
use super::{consul, names, nginx, registered, theirs};

/// Keys of a HAProxy, each with an example; those that it may leave out have none.
const KEYS: [(&str, &str); 6] = [
    ("socket", "\"haproxy/master.sock\""),
    ("directory", "\"haproxy\""),
    ("listen", "[\"127.0.0.1:8080\"]"),
    ("tls_listen", ""),
    ("program", ""),
    ("config", ""),
];

/// Reads the section; an absent one means Cutover's own proxy.
pub(crate) fn read(top: &Section<'_>, folder: &Path, reader: &mut Reader) -> RouterConfig {
    let router = Section::within(top, "router", reader);
    match kind(&router, reader) {
        Some("haproxy") => {
            no_proxy_beside(top, &router, "HAProxy", reader);
            others_have(&nginx::ONLY, &router, ("an nginx", "HAProxy"), reader);
            others_have(&consul::ONLY, &router, ("a Consul", "HAProxy alone"), reader);
            RouterConfig::HaProxy(haproxy_of(&router, folder, reader))
        }
        Some("consul") => {
            no_proxy_beside(top, &router, "whoever follows Consul", reader);
            others_have(&nginx::ONLY, &router, ("an nginx", "whoever follows Consul"), reader);
            if consul::follower_is_any(&router, reader) {
                return RouterConfig::Follower(follower_of(&router, folder, reader));
            }
            let found = haproxy_of(&router, folder, reader);
            let consul = Some(consul::read(&router, folder, reader));
            RouterConfig::HaProxy(HaProxyConfig { consul, ..found })
        }
        Some("nginx") => {
            no_proxy_beside(top, &router, "nginx", reader);
            others_have(&["socket"], &router, ("a HAProxy", "nginx"), reader);
            others_have(&consul::ONLY, &router, ("a Consul", "nginx"), reader);
            RouterConfig::Nginx(nginx::read(&router, folder, reader))
        }
        Some(_) => {
            only_haproxy_has(&router, reader);
            let ours = "Cutover's own proxy";
            others_have(&nginx::ONLY, &router, ("an nginx", ours), reader);
            others_have(&consul::ONLY, &router, ("a Consul", ours), reader);
            RouterConfig::Proxy
        }
        None => RouterConfig::Proxy,
    }
}

/// Refuses an app that this router cannot carry as it is written.
pub(crate) fn must_carry(
    router: &RouterConfig,
    app: &AppConfig,
    section: &Section<'_>,
    reader: &mut Reader,
) {
    registered::told(router, section, reader);
    let marks = app.rollout.targets.iter().map(|target| &target.mark);
    let (carrier, found) = match router {
        RouterConfig::Proxy => return,
        RouterConfig::HaProxy(_) => {
            let path = app.health.path.as_deref();
            let objection = haproxy::objection(&app.hosts, &app.path_prefix, path);
            let found = objection.into_iter().chain(marks.filter_map(haproxy::unfit)).collect();
            (("HAProxy", "errorfile"), found)
        }
        RouterConfig::Nginx(_) => {
            let objection = drivers::router::nginx::objection(&app.hosts, &app.path_prefix);
            let unfit = marks.filter_map(drivers::router::nginx::unfit);
            (("nginx", "error_page"), objection.into_iter().chain(unfit).collect())
        }
        RouterConfig::Follower(_) => {
            let found = registered::unfit(app).into_iter().collect();
            (("whoever follows Consul", "error pages"), found)
        }
    };
    theirs::refuse(carrier, (app, section), found, reader);
}

/// The name of the router; `None` when it was refused.
fn kind(router: &Section<'_>, reader: &mut Reader) -> Option<&'static str> {
    let Some(field) = router.field("kind") else { return Some(ROUTERS[0].name) };
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    let known = ROUTERS.iter().map(|entry| entry.name).collect::<Vec<_>>();
    if let Some(found) = known.iter().find(|name| **name == text) {
        return Some(found);
    }
    let help = match names::nearest(text, &known) {
        Some(nearest) => format!("did you mean `kind = \"{nearest}\"`?"),
        None => format!("this version knows {}", names::list(&known)),
    };
    reader.push(Diagnostic::new(format!("unknown router `{text}`")).at(&span, "").help(help));
    None
}

/// Two would carry the same traffic.
fn no_proxy_beside(top: &Section<'_>, router: &Section<'_>, carrier: &str, reader: &mut Reader) {
    let (Some(proxy), Some(kind)) = (top.field("proxy"), router.field("kind")) else { return };
    reader.push(
        Diagnostic::new(format!(
            "`[proxy]` is Cutover's own proxy, and here {carrier} carries the traffic"
        ))
        .at(&proxy.span, "nobody would listen there")
        .also(&kind.span, "so this one is not started")
        .help(format!(
            "remove `[proxy]`, and write under `[router]` where {carrier} listens: `listen = \
             [\"…\"]`"
        )),
    );
}

/// Refuses keys of another kind; `whose` are they, and who carries the traffic.
fn others_have(
    keys: &[&'static str],
    router: &Section<'_>,
    (whose, carrier): (&str, &str),
    reader: &mut Reader,
) {
    for field in keys.iter().filter_map(|key| router.field(key)) {
        let what =
            format!("`{}` is for {whose}, and here {carrier} carries the traffic", field.key);
        reader.push(Diagnostic::new(what).at(&field.span, "").help("remove the line"));
    }
}

fn only_haproxy_has(router: &Section<'_>, reader: &mut Reader) {
    for field in KEYS.iter().filter_map(|(key, _)| router.field(key)) {
        let ours = matches!(field.key, "listen" | "tls_listen");
        let home = if ours { "write it under `[proxy]`, or " } else { "" };
        reader.push(
            Diagnostic::new(format!(
                "`{}` is for a HAProxy, and here Cutover's own proxy carries the traffic",
                field.key
            ))
            .at(&field.span, "")
            .help(format!("{home}write `kind = \"haproxy\"`, or remove the line")),
        );
    }
}

fn follower_of(router: &Section<'_>, folder: &Path, reader: &mut Reader) -> FollowerConfig {
    const WHO: &str = "whoever follows Consul";
    must_have(&[("listen", "[\"127.0.0.1:8080\"]")], router, WHO, reader);
    others_have(&consul::HAPROXY, router, ("a HAProxy that follows it", WHO), reader);
    let (listen, tls_listen) = entrances(router, WHO, reader);
    FollowerConfig { listen, tls_listen, consul: consul::read(router, folder, reader) }
}

fn haproxy_of(router: &Section<'_>, folder: &Path, reader: &mut Reader) -> HaProxyConfig {
    must_have(&KEYS, router, "a HAProxy", reader);
    let path = |text: &str| folder.join(text);
    let config = reader.texts(router.field("config").as_ref()).unwrap_or_default();
    let (listen, tls_listen) = entrances(router, "HAProxy", reader);
    HaProxyConfig {
        socket: socket(router, folder, reader),
        directory: reader.text(router.field("directory")).map_or(folder.to_owned(), path),
        listen,
        tls_listen,
        program: reader.text(router.field("program")).map(|text| program(text, folder)),
        config: config.into_iter().map(|(text, _)| folder.join(text)).collect(),
        consul: None,
    }
}

/// A path, or an address and a port.
fn socket(router: &Section<'_>, folder: &Path, reader: &mut Reader) -> haproxy::Address {
    let field = router.field("socket");
    let span = field.as_ref().map_or(0..0, |field| field.span.clone());
    let text = reader.text(field).unwrap_or("master.sock");
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return haproxy::Address::Tcp(address);
    }
    if let Some(port) = port.filter(|_| !text.contains('/')) {
        let what = format!("`{text}` is neither a path nor an address with a port");
        let help = format!("write \"127.0.0.1:{port}\", or the path of a unix socket");
        reader.push(Diagnostic::new(what).at(&span, "needs an IP address").help(help));
    }
    haproxy::Address::Unix(folder.join(text))
}
